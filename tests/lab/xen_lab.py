"""A lab whose hosts are Xen's: each a dom0 of its own in a QEMU, with a link between them."""

import time
from pathlib import Path

from .boot_files import BootFiles
from .dom0 import PATIENCE, SHARED, Dom0
from .dom0_image import dom0_image
from .lab import Lab, Migration

NAMES = ("dom0-a", "dom0-b")
BOOT = "/run/lab-boot"


class XenLab(Lab):
    """See the module. A context manager; inside it all hosts answer."""

    hosts: list[Dom0]
    # Emulated, all takes longer.
    slowness = 12

    def __init__(self, names: tuple[str, ...] = NAMES) -> None:
        super().__init__(names)

    def migrate(self, source: Dom0, target: Dom0, name: str, *flags: str, live: bool = True, check: bool = True,
                timeout: float = PATIENCE) -> Migration:
        """Runs `virsh migrate` on the source. Without check, its failure is in the result."""
        started = time.time()
        result = source.virsh("migrate", *(["--live"] if live else []), *flags, name,
                              f"xen+tcp://{target.name}/system", check=check, timeout=timeout)
        return Migration(result, started, time.time())

    def boot_files(self, bus: str, firmware: str = "bios") -> BootFiles:
        """What guests boot from, where hosts find it: in their memory, since Xen maps a kernel page by page."""
        boot = super().boot_files(bus, firmware)
        inside = [Path(BOOT, file.name) for file in (boot.kernel, boot.initramfs)]
        names = " ".join(file.name for file in inside)
        for host in self.hosts:
            host.shell(f"mkdir -p {BOOT} && cd {SHARED} && cp -n {names} {BOOT}")
        return BootFiles(*inside)

    def _start_hosts(self) -> None:
        image = dom0_image()
        (self.shared / "consoles").mkdir()
        for number, name in enumerate(self._names, 1):
            self.hosts.append(Dom0(self.directory / name, name, f"10.0.0.{number}", image, self.shared,
                                   self._link_end(name)))
        for host in self.hosts:
            host.await_boot()
        for host in self.hosts:
            host.start_libvirtd()

    def _link_end(self, name: str) -> str:
        """A host's end of the link, a pair of sockets, as QEMU's -netdev takes it."""
        other = next(other for other in NAMES if other != name)
        return (f"dgram,local.type=unix,local.path={self.directory}/{name}.link,"
                f"remote.type=unix,remote.path={self.directory}/{other}.link")
