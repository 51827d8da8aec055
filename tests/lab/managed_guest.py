"""A VM as its manager writes it: made from the XML on the manager's page in packaging/platforms.

All of that XML stays but for what these hosts lack, or cannot have twice on one machine:

- KVM and the model of a processor: it runs under emulation;
- paths: its disk and its config drive lie where both hosts see them;
- networks and cgroups: its card hangs on QEMU's own network, its screen listens on the host itself;
- a lot of memory, and a distribution's own version of the machine;
- a guest that starts at once: the kernel and the program of every other guest here, and its console.
"""

import re
from pathlib import Path
from typing import Any
from xml.dom.minidom import Element, parseString

from .boot_files import tool
from .guest import Guest
from .host import Host
from .lab import Lab, Migration

PAGES = Path(__file__).resolve().parents[2] / "packaging" / "platforms"

# Managers whose VMs libvirt forgets when they stop.
TRANSIENT = ("opennebula",)

# What a network card has that hangs on a network of the host.
OF_NETWORKS = ("bandwidth", "driver", "filterref", "mtu", "source", "target", "virtualport")


def on_page(manager: str, language: str) -> str:
    """The block in this language on a manager's page, of which there is one."""
    page = (PAGES / f"{manager}.md").read_text(encoding="utf-8")
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return block


class ManagedGuest(Guest):
    """See the module. Made with ManagedGuest(lab, manager), started with begin(), and asked as a Guest.

    config_drive: the image in the drive that its manager gives it. The guest reads the disc with the label of our own format,
    in whichever drive that is.
    """

    # Several of them boot at the same time.
    boot_seconds = 180

    def __init__(self, lab: Lab, manager: str, *, config_drive: Path | None = None, **options: Any) -> None:
        self.manager = manager
        self._written = on_page(manager, "xml")
        domain = parseString(self._written).documentElement
        super().__init__(lab, _text(domain, "name"), bus="managed", cdrom=None, **options)
        self.uuid = _text(domain, "uuid")
        self._command_line += " guest_label=RECONTEXT"
        self.config_drive = config_drive
        self._disk = lab.shared / f"{self.console_path.stem}.qcow2"
        tool("qemu-img", "create", "-q", "-f", "qcow2", self._disk, "1G")
        # Both hosts' QEMU writes it, whoever owns it at the time.
        self._disk.chmod(0o666)

    def xml(self) -> str:
        """The page's XML, as these hosts can run it."""
        document = parseString(self._written)
        domain = document.documentElement
        domain.setAttribute("type", "qemu")
        for name in ("memory", "currentMemory"):
            _set_text(domain, name, str(self._memory_mib * 1024))
        for cell in domain.getElementsByTagName("cell"):
            cell.setAttribute("memory", str(self._memory_mib * 1024))
        _remove(domain, "cputune")
        self._set_processor(domain)
        self._set_boot(domain)
        self._set_devices(domain)
        return document.toxml()

    def begin(self, host: Host) -> None:
        """Has its manager start it, from XML that is written anew. Returns before its program runs.

        No manager asks libvirt to validate its XML, and one writes what would not pass.
        """
        self._make_room(host)
        if self.manager in TRANSIENT:
            host.virsh("create", "/dev/stdin", input=self.xml())
        else:
            host.virsh("define", "/dev/stdin", input=self.xml())
            host.virsh("start", self.name)
        self.host = host

    def migrate(self, target: Host, *flags: str) -> Migration:
        """Moves it while it runs, as its manager does. libvirt cannot know that both hosts see its disk, and wants to hear it."""
        self._make_room(target)
        definition = () if self.manager in TRANSIENT else ("--persistent", "--undefinesource")
        return super().migrate(target, "--unsafe", *definition, *flags)

    def _make_room(self, host: Host) -> None:
        """Where its manager, or its package, makes a directory for the sockets of the guest's agent."""
        for channel in parseString(self.xml()).getElementsByTagName("channel"):
            for source in channel.getElementsByTagName("source"):
                if source.getAttribute("path"):
                    directory = str(Path(source.getAttribute("path")).parent)
                    host.run("install", "-d", "-o", "libvirt-qemu", "-g", "libvirt-qemu", directory)

    def _set_processor(self, domain: Element) -> None:
        for processor in _children(domain, "cpu"):
            processor.setAttribute("mode", "custom")
            processor.setAttribute("match", "exact")
            _remove(processor, "model")
            _add(processor, "<model>qemu64</model>")

    def _set_boot(self, domain: Element) -> None:
        (boot,) = _children(domain, "os")
        (kind,) = _children(boot, "type")
        kind.setAttribute("machine", re.sub(r"^pc-q35-.*", "q35", kind.getAttribute("machine")))
        for name, value in (("kernel", self._boot.kernel), ("initrd", self._boot.initramfs), ("cmdline", self._command_line)):
            _add(boot, f"<{name}/>")
            _set_text(boot, name, str(value))

    def _set_devices(self, domain: Element) -> None:
        devices, *_ = _children(domain, "devices")
        _remove(devices, "emulator")
        _add(devices, "<emulator>/usr/bin/qemu-system-x86_64</emulator>")
        for disk in _children(devices, "disk"):
            for source in _children(disk, "source"):
                if source.getAttribute("file"):
                    is_disk = disk.getAttribute("device") == "disk"
                    source.setAttribute("file", str(self._disk if is_disk else self.config_drive))
        for card in _children(devices, "interface"):
            card.setAttribute("type", "user")
            _remove(card, *OF_NETWORKS)
        for graphics in _children(devices, "graphics"):
            _remove(graphics, "listen")
        _remove(devices, "serial", "console")
        _add(devices, "<serial type='file'><source append='on'/></serial>")
        devices.lastChild.firstChild.setAttribute("path", str(self.console_path))


def _children(parent: Element, name: str) -> list[Element]:
    return [child for child in parent.childNodes if child.nodeName == name]


def _remove(parent: Element, *names: str) -> None:
    for name in names:
        for child in _children(parent, name):
            parent.removeChild(child)


def _add(parent: Element, xml: str) -> None:
    parent.appendChild(parent.ownerDocument.importNode(parseString(xml).documentElement, deep=True))


def _text(parent: Element, name: str) -> str:
    return "".join(node.data for node in _children(parent, name)[0].childNodes)


def _set_text(parent: Element, name: str, text: str) -> None:
    """Gives each child of this name this text alone."""
    for child in _children(parent, name):
        while child.firstChild:
            child.removeChild(child.firstChild)
        child.appendChild(parent.ownerDocument.createTextNode(text))
