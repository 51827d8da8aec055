"""What a Xen host boots from: the hypervisor, and Debian with Xen's tools and libvirt's Xen driver as its dom0.

Made by debootstrap and apt from the mirror that this machine uses, and kept in target/cache until the lists below
change. libvirt is that of the backports, as in tests/packages. None of the lab's own files are on the disk: dom0_init,
the first process, brings them along.
"""

import gzip
import hashlib
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .boot_files import CACHE, cache_locked, copy_modules, initramfs, tool
from .debootstrap import debootstrap

RELEASE = "bookworm"
PACKAGES = [
    # a machine; libvirt's own service is not used, but its package wants some init
    "systemd-sysv", "udev", "iproute2", "kmod", "procps", "busybox-static", "openssh-server",
    # Xen, and what a guest with a BIOS boots
    "linux-image-amd64", "xen-hypervisor-4.17-amd64", "xen-utils-4.17", "xenstore-utils", "qemu-system-xen", "seabios",
    "ipxe-qemu", "dbus",
    # what makes a system call fail
    "strace",
]
BACKPORTS = ["libvirt-daemon", "libvirt-daemon-system", "libvirt-daemon-driver-xen", "libvirt-clients"]
MODULES = ["virtio_pci", "virtio_blk", "crc32c_generic", "ext4"]

# What nobody reads, and drivers of hardware that is not there.
LEFT_OUT = ["/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*"]
LEFT_OUT += [f"/lib/modules/*/kernel/{what}/*" for what in
             ("sound", "drivers/gpu", "drivers/media", "drivers/infiniband", "drivers/net/wireless",
              "drivers/net/ethernet", "drivers/iio", "drivers/usb", "drivers/staging", "drivers/hid")]
DISK_SIZE = "3G"

INIT = Path(__file__).with_name("dom0_init")
START = Path(__file__).with_name("dom0_start")
RECIPE = repr((RELEASE, PACKAGES, BACKPORTS, MODULES, LEFT_OUT, DISK_SIZE)).encode()


@dataclass(frozen=True)
class Dom0Image:
    """What QEMU is given to boot a Xen host. The disk is for all; nothing may write to it."""

    xen: Path
    kernel: Path
    initramfs: Path
    disk: Path


def dom0_image() -> Dom0Image:
    """The files, made if they are not there."""
    with cache_locked("dom0"):
        made = CACHE / f"dom0-{hashlib.sha256(RECIPE).hexdigest()[:12]}"
        if not made.exists():
            for outdated in CACHE.glob("dom0-*"):
                shutil.rmtree(outdated)
            _make(made)
        recipe = Path(__file__).read_bytes() + INIT.read_bytes() + START.read_bytes()
        return Dom0Image(made / "xen", made / "vmlinuz", initramfs(made, "dom0", recipe, _add_init), made / "disk")


def _add_init(root: Path) -> None:
    for directory in ("bin", "dev", "proc", "root"):
        (root / directory).mkdir()
    shutil.copy("/bin/busybox", root / "bin")
    (root / "bin/sh").symlink_to("busybox")
    for script, name in ((INIT, "init"), (START, "dom0_start")):
        shutil.copy(script, root / name)
        (root / name).chmod(0o755)


def _make(target: Path) -> None:
    """Makes all files that change with the distribution only; the target is there whole or not at all."""
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        root, made = Path(temporary) / "root", Path(temporary) / "made"
        made.mkdir()
        _bootstrap(root)
        kernel = next((root / "boot").glob("vmlinuz-*"))
        copy_modules(root / "lib/modules" / kernel.name.removeprefix("vmlinuz-"), MODULES, made / "dom0")
        shutil.copy(kernel, made / "vmlinuz")
        # QEMU starts a hypervisor by multiboot, but does not unpack it.
        (made / "xen").write_bytes(gzip.decompress(next((root / "boot").glob("xen-*.gz")).read_bytes()))
        for path in ("boot", "var/cache/apt", "var/lib/apt/lists"):
            shutil.rmtree(root / path)
        _know_emulated_processor(root)
        tool("truncate", "-s", DISK_SIZE, made / "disk")
        # Without a journal: each run's writes are thrown away, and the disk itself is never written to.
        tool("mkfs.ext4", "-q", "-F", "-m", "0", "-O", "^has_journal", "-d", root, made / "disk")
        made.rename(target)


def _bootstrap(root: Path) -> None:
    # What dpkg writes is thrown away if it is not whole, so it need not wait for the disk.
    root.mkdir(mode=0o755)
    options = root / "etc/dpkg/dpkg.cfg.d/lab"
    options.parent.mkdir(parents=True)
    options.write_text("force-unsafe-io\n" + "".join(f"path-exclude={path}\n" for path in LEFT_OUT), "ascii")
    debootstrap(RELEASE, root)
    policy = root / "usr/sbin/policy-rc.d"
    policy.write_text("#!/bin/sh\nexit 101\n", "ascii")
    policy.chmod(0o755)
    sources = root / "etc/apt/sources.list"
    first = sources.read_text("utf-8").splitlines()[0]
    with sources.open("a", encoding="utf-8") as more:
        more.write(first.replace(f" {RELEASE} ", f" {RELEASE}-backports ") + "\n")
    _apt(root, "update")
    _apt(root, "install", "--no-install-recommends", *PACKAGES)
    _apt(root, "install", "--no-install-recommends", "-t", f"{RELEASE}-backports", *BACKPORTS)
    policy.unlink()


def _apt(root: Path, *argv: str) -> None:
    """Runs apt-get in the root, in namespaces that end what it may leave running. The initramfs is our own."""
    tool("unshare", "--mount", "--pid", "--fork", "--kill-child", f"--root={root}", "--mount-proc=/proc",
         "env", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "INITRD=No",
         "apt-get", "-qq", "-y", "-o", "Acquire::Retries=3", "-o", "Dpkg::Use-Pty=0", *argv)


def _know_emulated_processor(root: Path) -> None:
    """Lets libvirt's Xen driver, which ends if no model fits the processor, find one that does.

    Xen hides SEP from AMD's processors, which all models have, and the emulator knows no VME.
    """
    model = root / "usr/share/libvirt/cpu_map/x86_Opteron_G1.xml"
    lines = model.read_text("utf-8").splitlines(keepends=True)
    model.write_text("".join(line for line in lines if "name='sep'" not in line), "utf-8")
