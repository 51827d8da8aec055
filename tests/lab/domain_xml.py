"""The libvirt XML of a test guest. It names nothing of any host, so it is the same wherever the guest runs."""

from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from .boot_files import BootFiles

IMAGE_DIR = "/var/lib/libvirt/recontext"

# The kind of machine, the name the drive gets and the controllers that libvirt must be told of, by the drive's bus.
MACHINES = {
    "ide": ("pc", "hda", ""),
    "sata": ("q35", "sda", ""),
    "scsi": ("q35", "sda", "<controller type='scsi' model='virtio-scsi'/>"),
    # Nothing for a context yet, and four ports into which something can be plugged.
    "plug": ("q35", "sda", "<controller type='pci' index='0' model='pcie-root'/>"
             + "".join(f"<controller type='pci' index='{port}' model='pcie-root-port'/>" for port in range(1, 5))),
    # The same, on a machine with slots for it.
    "plug-pc": ("pc", "sda", ""),
    "usb": ("q35", "sda", "<controller type='usb' model='qemu-xhci'/>"),
}
FIRMWARE = {
    "bios": "",
    "uefi": "<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader>"
            "<nvram template='/usr/share/OVMF/OVMF_VARS_4M.fd'/>",
}
NO_USB = "<controller type='usb' model='none'/>"


@dataclass(frozen=True)
class Cdrom:
    """A CD-ROM drive; empty without a source."""

    source: str | None = None

    def xml(self, bus: str) -> str:
        source = f"<source file={quoteattr(self.source)} startupPolicy='optional'/>" if self.source else ""
        return (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}"
                f"<target dev='{drive_name(bus)}' bus='{bus}'/><readonly/></disk>")


def drive_name(bus: str) -> str:
    return MACHINES[bus][1]


def context_metadata(bus: str, content: str = "", attributes: str = "") -> str:
    """The element by which a VM asks for context."""
    return (f"<recontext:context xmlns:recontext='urn:virt-recontext:1' target='{drive_name(bus)}' {attributes}>"
            f"{content}</recontext:context>")


def domain_xml(*, name: str, uuid: str, bus: str, cdrom: Cdrom | None, metadata: str, boot: BootFiles,
               command_line: str, console: Path, memory_mib: int = 128, devices: str = "", on_reboot: str = "destroy",
               firmware: str = "bios") -> str:
    """A guest of software emulation that boots a given kernel; its serial console grows a file, wherever it runs.

    devices: the XML of further ones.
    """
    machine, _, controller = MACHINES[bus]
    return f"""
<domain type='qemu'>
  <name>{escape(name)}</name>
  <uuid>{uuid}</uuid>
  <metadata>{metadata}</metadata>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    {FIRMWARE[firmware]}
    <kernel>{boot.kernel}</kernel>
    <initrd>{boot.initramfs}</initrd>
    <cmdline>{escape(command_line)}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom' match='exact'><model>qemu64</model></cpu>
  <on_reboot>{on_reboot}</on_reboot>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    {cdrom.xml(bus) if cdrom else ""}
    {controller}{"" if bus == "usb" else NO_USB}{devices}
    <serial type='file'>
      <source path={quoteattr(str(console))} append='on'/>
      <target port='0'/>
    </serial>
    <memballoon model='none'/>
    <video><model type='none'/></video>
  </devices>
</domain>
"""
