"""Two sites where all has other names: bridge, network, storage, addresses. A VM moves from one to the other.

It is the scenario of Armstrong et al. (Euro-Par 2012): a probe in the VM has to report to the monitor of the site where
the VM is, and reaches it only from an address that this site gives.
"""

import textwrap
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from .. import Cdrom, Guest, Host, Lab, Network, Seen
from ..boot_files import NETWORKED
from .hosts import set_endpoint
from .monitor import Monitor
from .telling import Failed, command, migration, say, start, tell_console

VM = "api"
MAC = "52:54:00:0a:91:01"
RULES = "/etc/virt-recontext/rewrite.d/site.toml"


class Place:
    """One site: what only this one has. All of it is there until the services are closed."""

    def __init__(self, lab: Lab, services: ExitStack, host: Host, bridge: str, subnet: str, storage: str) -> None:
        self.host, self.storage = host, storage
        self.network = services.enter_context(Network(lab, host, bridge, subnet))
        self.monitor = services.enter_context(Monitor(lab, host, self.network.gateway))
        # Where the consoles of VMs can be reached.
        self.console = host.address
        say(f"  {host.name}  bridge {bridge}, DHCP for {subnet}.0/24, disks in {storage}, consoles at {self.console}")

    def mount(self, image: Path) -> None:
        """Both sites have the disk, each by its own path."""
        # Not by way of the host's own mounts, across which there are no links.
        link = self.host.directory / "root" / self.storage.lstrip("/") / image.name
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        link.hardlink_to(image)


def rules(there: Place, here: Place) -> str:
    """What an administrator writes down here once, for all VMs that come from there."""
    return f"""\
[[rewrite]]
change = "interface.bridge"
map = {{ "{there.network.bridge}" = "{here.network.bridge}" }}
new_network = true

[[rewrite]]
change = "disk.file"
from = "{there.storage}/*"
to = "{here.storage}/*"

[[rewrite]]
change = "graphics.listen"
map = {{ "{there.console}" = "{here.console}" }}
"""


def third_act(lab: Lab) -> None:
    """libvirt refuses the VM; with rules it comes, and is at home at once."""
    source, target = lab.hosts
    say("\nNow they are two sites, each with a network, storage and a monitor that the other one does not have:")
    with ExitStack() as services:
        home = Place(lab, services, source, "br-prod", "10.1.0", "/var/lib/libvirt/san")
        away = Place(lab, services, target, "vmbr7", "10.2.0", "/var/lib/libvirt/nfs")
        for place in (home, away):
            set_endpoint(place.host, place.monitor.url)
        guest = networked_guest(lab, home, away)
        guest.define(source)
        command(source, f"virt-recontext enable {VM}")
        start(guest, source)
        first = address(guest, home)
        heard(guest, home)
        tell_console(guest)
        refused(guest, target)
        adapt(guest, home, away)
        move(guest, first, away)


def networked_guest(lab: Lab, home: Place, away: Place) -> Guest:
    """It boots and lives in memory; its disk is there to have a path. Its XML names what is at home."""
    image = lab.shared / f"{VM}.raw"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    image.chmod(0o644)
    for place in (home, away):
        place.mount(image)
    # Read-only, so that libvirt lets it move without being told that both paths are the same storage.
    return Guest(lab, VM, bus="sata", cdrom=Cdrom(), boots=NETWORKED, devices=f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{home.storage}/{image.name}'/>
      <target dev='vda' bus='virtio'/><readonly/>
    </disk>
    <interface type='bridge'>
      <mac address='{MAC}'/><source bridge='{home.network.bridge}'/><model type='virtio'/>
    </interface>
    <graphics type='vnc'><listen type='address' address='{home.console}'/></graphics>""")


def said(guest: Guest, what: str, fits: Callable[[Seen], bool], since: int) -> Seen:
    """The first line from a mark on that fits, once there is one."""
    return guest.lab.wait_for(lambda: next(filter(fits, guest.said()[since:]), None), 60, f"{guest.name}: {what}")


def address(guest: Guest, place: Place, since: int = 0) -> Seen:
    """The guest tells of an address of this place."""
    return said(guest, f"an address of {place.host.name}",
                lambda seen: seen.kind == "address" and seen.rest.startswith(f"{place.network.subnet}."), since)


def heard(guest: Guest, place: Place, since: int = 0) -> Seen:
    """The guest's probe reaches this place's monitor."""
    return said(guest, f"its probe to be heard by the monitor of {place.host.name}",
                lambda seen: (seen.kind, seen.rest) == ("probe", f"heard at {place.monitor.url}"), since)


def refused(guest: Guest, target: Host) -> None:
    """libvirt's own words on a VM that nobody has adapted."""
    source = guest.host
    tried = command(source, f"virsh migrate --live --persistent --undefinesource {guest.name} "
                            f"qemu+tcp://{target.name}/system", check=False)
    if tried.returncode == 0:
        raise Failed(f"{guest.name} went to {target.name} without a rule")
    say(f"\n  ({guest.name} is still {guest.state()} on {source.name}. The bridge and the address would be next.)")


def adapt(guest: Guest, home: Place, away: Place) -> None:
    """The other site's rules, and what they would do."""
    text = rules(home, away)
    away.host.write(RULES, text)
    say(f"\n{away.host.name}:{RULES}")
    say(textwrap.indent(text.rstrip(), "  "))
    command(away.host, f"virsh -c qemu+tcp://{home.host.name}/system dumpxml --migratable {guest.name} | "
                       "virt-recontext preview --rewrite --xml -")


def move(guest: Guest, first: Seen, away: Place) -> None:
    """The migration, until the guest lives by what the other site has."""
    source, mark = guest.host, guest.mark()
    with migration(guest, source, away.host, "--persistent", "--undefinesource") as done:
        now = address(guest, away, mark)
        last = heard(guest, away, mark)
        seconds = time.time() - done.started
        guest.wait_for("event media-change", since=mark)
    old, _, boot = first.rest.split()
    new, _, boot_now = now.rest.split()
    if boot != boot_now:
        raise Failed(f"the guest was rebooted: {boot}, {boot_now}")
    if away.network.address(MAC) != new or new not in away.monitor.heard():
        raise Failed(f"{away.host.name} knows nothing of {new}")
    guest.lab.wait_for(lambda: away.network.bridge in away.host.virsh("dumpxml", "--inactive", VM).stdout, 20,
                       f"the definition of {VM} to name what {away.host.name} has")
    say(f"  (That site's DHCP server has {new} for {MAC}, its monitor has heard from there, and the VM's\n"
        "  definition names what is there, for its next start.)")
    say(f"\n{VM} moved in {seconds:.1f} s from {source.name} to {away.host.name}, from {old} to {new} and to the monitor "
        f"{away.monitor.url};\nup for {last.uptime:.0f} s and never rebooted ({boot}).")
