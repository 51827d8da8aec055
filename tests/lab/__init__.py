"""Two libvirt hosts on one machine, guests that tell what they see, and the waiting between them.

    with Lab() as lab:
        a, b = lab.hosts
        guest = Guest(lab, "vm", bus="scsi")
        guest.create(a)
        guest.wait_for_text("monitoring endpoint: a")
        guest.migrate(b)

Needs root and the packages of tests/packages; no KVM. Everything runs in namespaces of the lab's own, holds files only
below its own directory in /tmp, and dies with the process that made it, however that ends. Labs run side by side.

    lab.py         the lab: hosts, the link between them, migration, evidence, clean-up
    host.py        one libvirtd with its own /etc, /run, /var and network, and how to do things there
    host_init.py   PID 1 of a host: its mounts, its log socket
    guest.py       one VM: its life, its console, what it said there
    guest.c        what runs in the VM
    domain_xml.py  its libvirt XML
    debian_guest.py, debian_init, debian/
                   a VM with Debian in it: its disk, its initramfs, the lab's files in it
    disc.py        discs made by hand, for tests that do without our programs
    boot_files.py  Debian's kernel and an initramfs around guest.c, cached in target/cache
    waiting.py     conditions with deadlines
"""

from .debian_guest import DebianGuest
from .domain_xml import Cdrom, context_metadata, domain_xml
from .disc import make_disc, make_disc_of
from .guest import Guest, Seen
from .host import Event, Host
from .lab import Lab, Migration
from .waiting import GuestDied, LabError, TimedOut, wait_for

__all__ = [
    "Cdrom", "DebianGuest", "Event", "Guest", "GuestDied", "Host", "Lab", "LabError", "Migration", "Seen", "TimedOut",
    "context_metadata", "domain_xml", "make_disc", "make_disc_of", "wait_for",
]
