"""A VM whose XML names what only the first host has, a bridge, files, an address; and what each host has instead."""

import shutil
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from lab import Guest, Host, Lab, LabError, context_metadata
from lab.bios_guest import bios_guest_disk
from lab.boot_files import BootFiles

PASSWORD = "T0p-Sec"
DRIVE = "hdc"


class Names(NamedTuple):
    """How a host calls what the VM uses there."""

    bridge: str
    disk: str
    console: str
    log: str
    listen: str
    cpus: str

    @classmethod
    def of(cls, lab: Lab, host: Host, vm: str) -> "Names":
        """Those of a host."""
        letter = host.name[-1]
        own = f"/var/lib/libvirt/site-{letter}"
        cpus = {"a": "0", "b": "0-1"}[letter]
        return cls(f"br-{letter}", f"{own}/{vm}.img", f"{own}/{vm}.console", f"{own}/log/{vm}.log",
                   f"192.0.2.{lab.hosts.index(host) + 1}", cpus)


# The place of each of them in rewrite.d, and what libvirt says of a VM for which it was not changed.
PLACES = {
    "interface.bridge": ("bridge", "Cannot get interface MTU on 'br-a': No such device"),
    "disk.file": ("disk", "Cannot access storage file"),
    "serial.path": ("console", "site-a/vm.console"),
    "serial.log": ("log", "site-a/log/vm.log"),
    "graphics.listen": ("listen", "Failed to bind socket"),
    "cpu.pin": ("cpus", None),
}


def rules(of: Names, to: Names, *, without: str = "") -> str:
    """What a host writes into rewrite.d for VMs that come from another one; all but one place, if it is named."""
    return "".join(f'[[rewrite]]\nchange = "{place}"\nmap = {{ "{getattr(of, name)}" = "{getattr(to, name)}" }}\n'
                   for place, (name, _) in PLACES.items() if place != without)


def furnish(lab: Lab, host: Host, vm: str) -> Names:
    """Makes what a host has under its own names, and two bridges that both have, left and right."""
    names = Names.of(lab, host, vm)
    for bridge in (names.bridge, "left", "right"):
        host.run("ip", "link", "add", bridge, "type", "bridge", check=False)
    host.run("ip", "address", "replace", f"{names.listen}/32", "dev", "lo")
    for file in (names.disk, names.console, names.log):
        place = host.path(str(Path(file).parent))
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o777)
    shutil.copy(bios_guest_disk(), host.path(names.disk))
    return names


class PlacedGuest(Guest):
    """Runs bios_guest.c from a disk of its own. Made, started and asked as a Guest."""

    def __init__(self, lab: Lab, name: str, **options: object) -> None:
        self.names = [furnish(lab, host, name) for host in lab.hosts]
        super().__init__(lab, name, bus="ide", **options)
        self.metadata = self.metadata and context_metadata("ide").replace("hda", DRIVE)
        # One file under each host's name for it, so that it grows wherever the VM runs. Not by way of the host's own
        # mounts, across which there are no links.
        for host, names in zip(lab.hosts, self.names, strict=True):
            link = host.directory / "root" / names.console.lstrip("/")
            link.unlink(missing_ok=True)
            link.hardlink_to(self.console_path)

    def xml(self) -> str:
        names = self.names[0]
        drive = (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{self.image}' "
                 f"startupPolicy='optional'/><target dev='{DRIVE}' bus='ide'/><readonly/></disk>")
        return f"""
<domain type='qemu'>
  <name>{self.name}</name>
  <uuid>{self.uuid}</uuid>
  <metadata>{self.metadata}</metadata>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <cputune><vcpupin vcpu='0' cpuset='{names.cpus}'/></cputune>
  <os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{names.disk}'/><target dev='hda' bus='ide'/>
    </disk>
    {drive if self.metadata else ""}
    <controller type='usb' model='none'/>
    <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='{names.bridge}'/></interface>
    <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='left'/></interface>
    <serial type='file'><source path='{names.console}' append='on'/><log file='{names.log}' append='on'/></serial>
    <graphics type='vnc' passwd='{PASSWORD}'><listen type='address' address='{names.listen}'/></graphics>
    <memballoon model='none'/>
  </devices>
</domain>
"""

    def there(self) -> Names:
        """What its live XML names now. LabError if that does not say the same of one thing everywhere."""
        devices = ElementTree.fromstring(self.live_xml("--security-info"))

        def only(path: str, attribute: str) -> str:
            values = {found.get(attribute, "") for found in devices.iterfind(path)}
            if len(values) != 1:
                raise LabError(f"{path} {attribute}: {values or 'nothing'}")
            return values.pop()

        nic = "./devices/interface/mac[@address='52:54:00:00:00:01']/../source"
        graphics = "./devices/graphics"
        listen = {only(graphics, "listen"), only(f"{graphics}/listen", "address")}
        if len(listen) != 1 or only(graphics, "passwd") != PASSWORD:
            raise LabError(f"graphics: {listen}, {only(graphics, 'passwd')}")
        consoles = {only(f"./devices/{kind}/source", "path") for kind in ("serial", "console")}
        logs = {only(f"./devices/{kind}/log", "file") for kind in ("serial", "console")}
        if len(consoles) != 1 or len(logs) != 1:
            raise LabError(f"serial and console: {consoles}, {logs}")
        return Names(only(nic, "bridge"), only("./devices/disk[@device='disk']/source", "file"), consoles.pop(),
                     logs.pop(), listen.pop(), only("./cputune/vcpupin", "cpuset"))

    def second_bridge(self) -> str:
        """What its second interface is on."""
        nic = "./devices/interface/mac[@address='52:54:00:00:00:02']/../source"
        found = ElementTree.fromstring(self.live_xml()).find(nic)
        return "" if found is None else found.get("bridge", "")

    def _boot_files(self) -> BootFiles:
        # Its disk is all that it needs.
        return BootFiles(Path(), Path())
