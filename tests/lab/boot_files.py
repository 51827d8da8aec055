"""The kernel and initramfs that test guests boot from.

    python3 -m lab.boot_files discs

prints the directory of the kernel, with its modules for one purpose in a directory of that name.

The kernel is Debian's, unpacked from its package; the initramfs holds guest.c and the modules for one kind of drive, so
that a guest boots in seconds without KVM, and for guests with a network busybox and guest_network. Both are made once
and kept in target/cache: the kernel until that directory is removed, the initramfs until what is in it changes. Labs
that start side by side make them once.
"""

import fcntl
import hashlib
import lzma
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .waiting import LabError

CACHE = Path(__file__).resolve().parents[2] / "target" / "cache" / "guest"
PROGRAM = Path(__file__).with_name("guest.c")
NETWORK_SCRIPT = Path(__file__).with_name("guest_network")
NETWORKED = "networked"

# By the name under which each is kept: the package that depends on the newest kernel of its kind. That for machines in clouds
# has no driver for much that a PC may have, such as AHCI and USB.
KERNELS = {"kernel": "linux-image-amd64", "cloud-kernel": "linux-image-cloud-amd64"}

# What a guest's drive needs on each bus, what a Debian guest needs (debian_guest.py), what reading a batch of discs needs
# (tests/discs/kernel), and what a paravirtualised guest of Xen's needs (dom0.py). The modules that these need are found
# by depmod.
MODULES = {
    "ide": ["ata_piix", "sr_mod", "isofs"],
    "sata": ["ahci", "sr_mod", "isofs"],
    "scsi": ["virtio_pci", "virtio_scsi", "sr_mod", "isofs"],
    # The same drive as "sata", and a network card.
    NETWORKED: ["ahci", "sr_mod", "isofs", "virtio_pci", "virtio_net"],
    "plug": ["virtio_pci", "virtio_scsi", "sr_mod", "isofs"],
    # Drives of a manager's, and one that is plugged in beside them.
    "managed": ["ahci", "virtio_pci", "virtio_scsi", "sr_mod", "isofs"],
    "usb": ["xhci_pci", "usb_storage", "sd_mod", "sr_mod", "isofs"],
    "debian": ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "ata_piix", "ahci", "virtio_scsi", "sr_mod", "isofs",
               "virtio_console", "virtio_net", "autofs4"],
    "discs": ["virtio_pci", "virtio_console", "virtio_scsi", "sr_mod", "isofs", "nls_utf8"],
    "xen": ["xen_blkfront", "isofs"],
}
# What Debian's images for clouds load for drives: all that this kernel has for any. AHCI is asked for and is not there.
CLOUD_MODULES = {
    "cloud": ["virtio_pci", "virtio_blk", "virtio_scsi", "ata_piix", "ahci", "sr_mod", "isofs"],
}


# A BIOS starts the kernel's ELF image, UEFI only the file that the package holds.
KERNEL_FILES = {"bios": "vmlinux", "uefi": "vmlinuz"}


@dataclass(frozen=True)
class BootFiles:
    """What QEMU is given to boot a guest."""

    kernel: Path
    initramfs: Path


def boot_files(bus: str, firmware: str = "bios") -> BootFiles:
    """The files for guests whose drive is on this bus, or with the cloud kernel for "cloud", made if they are not there."""
    with cache_locked():
        kernel = unpacked_kernel("cloud-kernel", CLOUD_MODULES) if bus in CLOUD_MODULES else unpacked_kernel()
        return BootFiles(kernel / KERNEL_FILES[firmware], _initramfs(kernel, bus))


@contextmanager
def cache_locked(what: str = "boot-files") -> Iterator[None]:
    """Keeps others from making the same. What takes minutes has a name of its own, so that other labs need not wait."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{what}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def unpacked_kernel(name: str = "kernel", modules: dict[str, list[str]] = MODULES) -> Path:
    """One of KERNELS, unpacked, under a name that changes with the modules that are wanted."""
    kernel = CACHE / f"{name}-{hashlib.sha256(repr((KERNEL_FILES, modules)).encode()).hexdigest()[:12]}"
    if not kernel.exists():
        for outdated in CACHE.glob(f"{name}-*"):
            shutil.rmtree(outdated)
        _unpack_kernel(KERNELS[name], modules, kernel)
    return kernel


def tool(*argv: str | Path, cwd: Path | None = None, stdin: bytes | None = None) -> bytes:
    """Runs a program of this machine; its output, or a LabError that shows its complaint."""
    done = subprocess.run([str(word) for word in argv], cwd=cwd, input=stdin, capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(map(str, argv))}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _kernel_package(newest: str) -> str:
    """The package of the kernel itself, on which one of Debian's for the newest depends."""
    for line in tool("apt-cache", "depends", newest).decode().splitlines():
        words = line.split()
        if words[0] == "Depends:" and words[1].startswith("linux-image-"):
            return words[1]
    raise LabError(f"apt knows no kernel package behind {newest}")


def _download_kernel(newest: str, directory: Path) -> Path:
    """Downloads the kernel's package; with fresh package lists if those of the machine are missing or outdated."""
    try:
        tool("apt-get", "-o", "APT::Sandbox::User=root", "download", _kernel_package(newest), cwd=directory)
    except LabError:
        tool("apt-get", "-o", "Acquire::Retries=3", "update")
        tool("apt-get", "-o", "APT::Sandbox::User=root", "download", _kernel_package(newest), cwd=directory)
    return next(directory.glob("*.deb"))


def _unpack_kernel(newest: str, wanted: dict[str, list[str]], target: Path) -> None:
    """Makes target/vmlinux, target/vmlinuz and target/<bus>/NN-<module>.ko; the target is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        work = Path(temporary)
        root, kernel = work / "root", work / "kernel"
        tool("dpkg-deb", "-x", _download_kernel(newest, work), root)
        modules = next(path for path in (root / "lib/modules", root / "usr/lib/modules") if path.exists())
        version = next(modules.iterdir()).name
        tool("depmod", "-b", modules.parents[1], version)
        kernel.mkdir()
        packed = (root / "boot" / f"vmlinuz-{version}").read_bytes()
        (kernel / KERNEL_FILES["uefi"]).write_bytes(packed)
        (kernel / KERNEL_FILES["bios"]).write_bytes(_decompressed(packed))
        for bus, names in wanted.items():
            copy_modules(modules / version, names, kernel / bus)
        kernel.rename(target)


def copy_modules(modules: Path, names: list[str], target: Path) -> None:
    """Copies modules and all that they need out of a kernel's directory, as target/NN-<module>.ko in order of loading."""
    target.mkdir()
    for number, path in enumerate(_in_order(names, _read_dependencies(modules / "modules.dep"))):
        content = (modules / path).read_bytes()
        if path.endswith(".xz"):
            content = lzma.decompress(content)
        name = Path(path).name.removesuffix(".xz")
        (target / f"{number:02}-{name}").write_bytes(content)


def _decompressed(kernel: bytes) -> bytes:
    """The ELF image inside a compressed kernel. QEMU starts it as well, in 2 s; emulated decompression takes 3 s more.

    A kernel compressed otherwise than by xz is returned as it is.
    """
    start = kernel.find(b"\xfd7zXZ\0")
    return lzma.LZMADecompressor().decompress(kernel[start:]) if start >= 0 else kernel


def _read_dependencies(modules_dep: Path) -> dict[str, list[str]]:
    """modules.dep as depmod writes it: a module's path, and those it needs, the last of them first to be loaded."""
    needs = {}
    for line in modules_dep.read_text(encoding="utf-8").splitlines():
        module, _, others = line.partition(":")
        needs[module] = others.split()
    return needs


def _in_order(names: list[str], needs: dict[str, list[str]]) -> list[str]:
    """The paths of these modules and of all they need, each after those it needs. Built-in ones are not listed."""
    by_name = {Path(path).name.split(".")[0].replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in names:
        if name in by_name:
            path = by_name[name]
            order += [module for module in [*reversed(needs[path]), path] if module not in order]
    return order


def _initramfs(kernel: Path, bus: str) -> Path:
    """The initramfs of guest.c for a bus."""
    def add_program(root: Path) -> None:
        tool("gcc", "-std=gnu17", "-Os", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", root / "init", PROGRAM)
        if bus == NETWORKED:
            add_busybox(root)
            shutil.copy(NETWORK_SCRIPT, root / "network")

    return initramfs(kernel, bus, PROGRAM.read_bytes() + NETWORK_SCRIPT.read_bytes(), add_program)


def add_busybox(root: Path) -> None:
    """Gives an initramfs a shell."""
    (root / "bin").mkdir()
    shutil.copy("/bin/busybox", root / "bin")
    (root / "bin/sh").symlink_to("busybox")


def initramfs(kernel: Path, purpose: str, recipe: bytes, add_init: Callable[[Path], None]) -> Path:
    """An initramfs of the modules for a purpose and what add_init puts into its root, made if it is not there.

    Its name changes with the recipe and the modules.
    """
    modules = sorted((kernel / purpose).iterdir())
    digest = hashlib.sha256(recipe)
    for module in modules:
        digest.update(module.name.encode() + module.read_bytes())
    made = CACHE / f"initramfs-{purpose}-{digest.hexdigest()[:12]}"
    if made.exists():
        return made
    for outdated in CACHE.glob(f"initramfs-{purpose}-*"):
        outdated.unlink()
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        root = Path(temporary) / "root"
        (root / "modules").mkdir(parents=True)
        for module in modules:
            shutil.copy(module, root / "modules")
        add_init(root)
        names = sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        archive = Path(temporary) / "archive"
        archive.write_bytes(tool("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", cwd=root,
                                 stdin="\n".join(names).encode()))
        os.replace(archive, made)
    return made


if __name__ == "__main__":
    if sys.argv[1:] != ["discs"]:
        sys.exit("usage: python3 -m lab.boot_files discs")
    with cache_locked():
        print(unpacked_kernel())
