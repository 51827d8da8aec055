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
    guest.c, guest_network
                   what runs in the VM
    domain_xml.py  its libvirt XML
    managed_guest.py
                   a VM as OpenStack and other managers write it, from packaging/platforms
    cloud_init.py  cloud-init's own code, looking at the drives of a guest
    debian_guest.py, debian_init, debian/
                   a VM with Debian in it: its disk, its initramfs, the lab's files in it
    network.py     a bridge and a DHCP server of one host
    servers.py, udp_servers.py
                   what a host offers to guests by network
    xen_lab.py     the same with Xen: its hosts, the link between them
    dom0.py        one Xen host, and how to do things there
    dom0_image.py, dom0_init, dom0_start
                   what it boots from: the hypervisor, a Debian with Xen's tools and libvirt
    xen_guest.py   VMs of a Xen host, and their XML
    bios_guest.py, bios_guest.c, bios_guest.S
                   a guest that needs nothing but a BIOS and a CD-ROM drive
    disc.py        discs made by hand, for tests that do without our programs
    boot_files.py  Debian's kernel and an initramfs around guest.c, cached in target/cache
    demo/          what tests/demo shows
    waiting.py     conditions with deadlines
"""

from .cloud_init import what_cloud_init_finds
from .debian_guest import DebianGuest
from .domain_xml import Cdrom, context_metadata, domain_xml
from .disc import make_disc, make_disc_of
from .dom0 import Dom0
from .guest import Guest, Seen
from .host import Event, Host
from .lab import Lab, Migration
from .managed_guest import ManagedGuest, on_page
from .network import Network
from .servers import HERE_NAME, PACKAGE, Servers
from .waiting import GuestDied, LabError, TimedOut, wait_for
from .xen_guest import HvmGuest, PvGuest, xen_metadata
from .xen_lab import XenLab

__all__ = [
    "Cdrom", "DebianGuest", "Dom0", "Event", "Guest", "GuestDied", "HERE_NAME", "Host", "HvmGuest", "Lab", "LabError",
    "ManagedGuest", "Migration", "Network", "PACKAGE", "PvGuest", "Seen", "Servers", "TimedOut", "XenLab",
    "context_metadata", "domain_xml", "make_disc", "make_disc_of", "on_page", "wait_for", "what_cloud_init_finds",
    "xen_metadata",
]
