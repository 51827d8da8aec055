"""VMs of a Xen host: a paravirtualised one with Linux, and a fully virtualised one that needs nothing but a BIOS."""

from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from .bios_guest import bios_guest_disk
from .boot_files import BootFiles
from .dom0 import SHARED
from .guest import Guest
from .xen_lab import XenLab


class PvGuest(Guest):
    """Runs guest.c; its context drive is xvdc. Made, started and asked as a Guest.

    drive: the XML of its drive, if it is to be another one than a CD-ROM's.
    """

    # The drive that the metadata names.
    target = "xvdc"
    console_name = "guest-{}.log"

    def __init__(self, lab: XenLab, name: str, *, drive: str = "", **options: Any) -> None:
        super().__init__(lab, name, **({"bus": "xen"} | options))
        self.drive = drive
        # Where Xen's console daemon appends what it says. A guest of the same name may have been there before.
        self.console_path.unlink()
        self.console_path = lab.shared / "consoles" / self.console_name.format(name)
        self.console_path.unlink(missing_ok=True)
        self._command_line = self._command_line.replace("ttyS0", "hvc0") + " mitigations=off"

    @property
    def console(self) -> str:
        """All that its console ever said; "" before its first start."""
        return super().console if self.console_path.exists() else ""

    def xml(self) -> str:
        """The XML that this guest is made from."""
        drive = self.drive or (cdrom_xml(self.cdrom.source, self.target, self.bus) if self.cdrom else "")
        return f"""
<domain type='xen'>
  <name>{escape(self.name)}</name>
  <uuid>{self.uuid}</uuid>
  <metadata>{self.metadata}</metadata>
  <memory unit='MiB'>{self._memory_mib}</memory>
  <vcpu>1</vcpu>
  {self._system()}
  <on_reboot>{self._on_reboot}</on_reboot>
  <devices>
    {drive}{self._devices}
    <console type='pty'><target type='xen' port='0'/></console>
  </devices>
</domain>
"""

    def remove(self) -> None:
        """Ends it wherever it is and makes every host forget it. Safe to call at any time."""
        for host in self.lab.hosts:
            host.virsh("destroy", self.name, check=False)
            host.virsh("undefine", self.name, check=False)
        self.host = None
        if self in self.lab.guests:
            self.lab.guests.remove(self)

    def _system(self) -> str:
        return f"""<os>
    <type arch='x86_64' machine='xenpv'>linux</type>
    <kernel>{self._boot.kernel}</kernel>
    <initrd>{self._boot.initramfs}</initrd>
    <cmdline>{escape(self._command_line)}</cmdline>
  </os>"""


class HvmGuest(PvGuest):
    """Runs bios_guest.c; its context drive is hdc. Made, started and asked as a Guest."""

    target = "hdc"
    console_name = "{}.serial"

    def __init__(self, lab: XenLab, name: str, **options: Any) -> None:
        disk = lab.share(bios_guest_disk())
        super().__init__(lab, name, bus="ide", memory_mib=64, devices=f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file={quoteattr(f"{SHARED}/{disk.name}")}/><target dev='hda' bus='ide'/>
    </disk>
    <serial type='file'><source path={quoteattr(f"{SHARED}/consoles/{name}.serial")}/><target port='0'/></serial>""",
                         **options)

    def _system(self) -> str:
        return """<os><type arch='x86_64' machine='xenfv'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>"""

    def _boot_files(self) -> BootFiles:
        # Its disk is all that it needs.
        return BootFiles(Path(), Path())


def cdrom_xml(source: str | None, target: str, bus: str) -> str:
    """A CD-ROM drive; empty without a source. The device of the drive is not known from its bus, as with QEMU."""
    file = f"<source file={quoteattr(source)} startupPolicy='optional'/>" if source else ""
    return (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{file}"
            f"<target dev='{target}' bus='{bus}'/><readonly/></disk>")


def xen_metadata(target: str, content: str = "") -> str:
    """The element by which a VM asks for context."""
    return f"<recontext:context xmlns:recontext='urn:virt-recontext:1' target='{target}'>{content}</recontext:context>"
