"""The disk of the guest that needs nothing but a BIOS: bios_guest.c behind its boot sector, cached in target/cache."""

import hashlib
import tempfile
from pathlib import Path

from .boot_files import CACHE, cache_locked, tool
from .waiting import LabError

SOURCES = [Path(__file__).with_name(name) for name in ("bios_guest.S", "bios_guest.c")]
# What the boot sector loads; the rest of the disk is there because no BIOS knows such small ones.
SECTORS = 24
DISK_SIZE = "1M"


def bios_guest_disk() -> Path:
    """The disk, made if it is not there."""
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in [*SOURCES, Path(__file__)])).hexdigest()[:12]
    with cache_locked():
        made = CACHE / f"bios-guest-{digest}"
        if not made.exists():
            for outdated in CACHE.glob("bios-guest-*"):
                outdated.unlink()
            _make(made)
        return made


def _make(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        work = Path(temporary)
        program, disk = work / "program", work / "disk"
        # For an i386 in real mode, without what compilers add for the sake of an operating system. The lowest memory,
        # where the BIOS keeps its clock, is as good as any.
        tool("gcc", "-m16", "-march=i386", "-Os", "-Wall", "-Wextra", "-Werror", "-ffreestanding", "-nostdlib",
             "-static", "-fno-pic", "-no-pie", "-fno-stack-protector", "-fno-asynchronous-unwind-tables",
             "--param=min-pagesize=0", f"-DSECTORS={SECTORS}", "-Wl,-melf_i386", "-Wl,-N", "-Wl,--build-id=none",
             "-Wl,--section-start=.boot=0x7c00", "-Wl,-Ttext=0x7e00", "-Wl,--entry=start", "-Wl,--no-warn-rwx-segments",
             "-o", program, *SOURCES)
        tool("objcopy", "-O", "binary", "-R", ".note*", "-R", ".comment", "-R", ".bss", program, disk)
        if disk.stat().st_size > (1 + SECTORS) * 512:
            raise LabError("bios_guest.c has grown: its boot sector loads too few sectors")
        tool("truncate", "-s", DISK_SIZE, disk)
        disk.rename(target)
