"""A guest with a real distribution: Debian with systemd, udev, autofs and cloud-init, and our recipes for guests.

Its disk is made by debootstrap from the mirror that this machine uses, and kept in target/cache: the distribution
until the release or the list of packages changes, the disk with our files until one of them or this file does. Each
guest writes to an overlay of its own. It starts with the kernel of boot_files.py and an initramfs of a few lines,
which is quickest.

What it tells on its console looks as if guest.c said it; see the files in debian/. Other than guest.c it has an agent,
by which tests run commands in it.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from .boot_files import CACHE, BootFiles, add_busybox, cache_locked, initramfs, tool, unpacked_kernel
from .debootstrap import debootstrap
from .guest import Guest
from .host import Host
from .lab import Lab, Migration
from .waiting import LabError

RELEASE = "bookworm"
# debootstrap does not know who provides a virtual package: python3-cffi-backend is what cloud-init needs one for, and
# dbus systemd-resolved.
PACKAGES = ["systemd-sysv", "udev", "kmod", "autofs", "qemu-guest-agent", "cloud-init", "python3-cffi-backend",
            "dbus", "chrony", "systemd-resolved", "collectd-core", "openssh-client"]

HERE = Path(__file__).parent
OWN_SOURCE = Path(__file__).read_bytes()
INIT = HERE / "debian_init"
OWN_FILES = HERE / "debian"
RECIPES = HERE.parents[1] / "packaging" / "guest"
# Where the READMEs of the recipes say that their files go.
RECIPE_FILES = {
    "systemd-udev/recontext-receive": "usr/local/sbin/recontext-receive",
    "systemd-udev/recontext@.service": "etc/systemd/system/recontext@.service",
    "systemd-udev/90-recontext.rules": "etc/udev/rules.d/90-recontext.rules",
    "autofs/recontext.autofs": "etc/auto.master.d/recontext.autofs",
    "autofs/auto.recontext": "etc/auto.recontext",
    "fstab/fstab": "etc/fstab",
    "new-networks/30-new-networks": "etc/recontext.d/30-new-networks",
    "services/follow": "usr/local/lib/recontext/follow",
    "services/40-resolved": "etc/recontext.d/40-resolved",
    "services/50-apt": "etc/recontext.d/50-apt",
    "services/50-chrony": "etc/recontext.d/50-chrony",
    "services/50-collectd": "etc/recontext.d/50-collectd",
    "services/50-kubernetes": "etc/recontext.d/50-kubernetes",
}

# What takes time at each start and is of no use here.
MASKED = [
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "e2scrub_reap.service",
    "fstrim.timer", "getty.target", "getty@tty1.service", "serial-getty@ttyS0.service", "systemd-binfmt.service",
    "systemd-firstboot.service", "systemd-journal-flush.service", "systemd-logind.service", "systemd-pstore.service",
    "systemd-random-seed.service", "systemd-sysusers.service", "systemd-update-utmp.service",
    "systemd-update-utmp-runlevel.service", "proc-sys-fs-binfmt_misc.automount", "dev-hugepages.mount",
    "dev-mqueue.mount", "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount", "modprobe@.service", "ssh.service",
]
# What tests start if they want it.
DISABLED = ["multi-user.target.wants/chrony.service", "multi-user.target.wants/collectd.service",
            "sysinit.target.wants/systemd-resolved.service"]
# What no guest reads.
UNREAD = ["usr/share/doc", "usr/share/man", "usr/share/locale", "var/cache/apt", "var/lib/apt/lists"]
DISK_SIZE = "1G"
COMMAND_LINE = ("console=ttyS0 quiet loglevel=3 panic=0 mitigations=off systemd.show_status=no net.ifnames=0 "
                "root=/dev/vda rw")

# Routed by QEMU itself, see debian_init.
NETWORK = "<interface type='user'><model type='virtio'/></interface>"

BOOT_SECONDS = 180


class DebianGuest(Guest):
    """See the module. Made, started and asked as a Guest.

    cloud_init: whether that runs at its start. network: whether it reaches the lab's hosts at their addresses.
    """

    boot_seconds = BOOT_SECONDS

    def __init__(self, lab: Lab, name: str, *, cloud_init: bool = False, network: bool = False,
                 memory_mib: int = 512, **options: Any) -> None:
        super().__init__(lab, name, memory_mib=memory_mib, **options)
        self._command_line = COMMAND_LINE + ("" if cloud_init else " cloud-init=disabled")
        self._on_reboot = "restart"
        self._devices = _devices(self._disk()) + (NETWORK if network else "")

    def migrate(self, target: Host, *flags: str) -> Migration:
        """Moves it while it runs. libvirt cannot know that both hosts see the same disk, and wants to hear it."""
        return super().migrate(target, "--unsafe", *flags)

    def reboot(self) -> None:
        """Lets it shut down and start again, and waits until it can be used."""
        mark = self.mark()
        self._start("systemctl reboot", 60)
        self.wait_for("booted", since=mark, seconds=BOOT_SECONDS)

    def run(self, command: str, *, check: bool = True, seconds: float = 60) -> str:
        """Runs a shell command in the guest; what it printed, standard error included.

        With check, an exit status other than 0 raises LabError.
        """
        started = self._start(f"exec 2>&1; {command}", seconds)

        def ended() -> dict[str, Any] | None:
            status = self._ask_agent("guest-exec-status", started)
            return status if status and status["exited"] else None

        status = self.lab.wait_for(ended, seconds, f"{self.name} to be done with: {command}")
        output = base64.b64decode(status.get("out-data", "")).decode(errors="replace")
        if check and status.get("exitcode") != 0:
            raise LabError(f"{self.name}: exit status {status.get('exitcode')}: {command}\n{output}")
        return output

    def _boot_files(self) -> BootFiles:
        with cache_locked():
            kernel = unpacked_kernel()
            recipe = OWN_SOURCE + INIT.read_bytes()
            cached = BootFiles(kernel / "vmlinux", initramfs(kernel, "debian", recipe, _add_init))
        return BootFiles(self.lab.share(cached.kernel), self.lab.share(cached.initramfs))

    def _disk(self) -> Path:
        """A new overlay over the common disk. Both hosts' QEMU writes it, whoever owns it at the time."""
        with cache_locked("debian"):
            cached = _image()
        disk = self.lab.shared / f"{self.name}-{self.uuid}.qcow2"
        tool("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self.lab.share(cached), disk)
        disk.chmod(0o666)
        return disk

    def _start(self, command: str, seconds: float) -> dict[str, int]:
        """Starts a shell command in the guest; what guest-exec-status takes."""
        self.lab.wait_for(lambda: self._ask_agent("guest-ping") is not None, seconds, f"the agent of {self.name}")
        started = self._ask_agent("guest-exec", {"path": "/bin/sh", "arg": ["-c", command], "capture-output": True})
        if started is None:
            raise LabError(f"{self.name}: its agent did not start: {command}")
        return started

    def _ask_agent(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        """What the guest's agent answers; None if there was no answer."""
        if self.host is None:
            raise LabError(f"{self.name} does not run")
        question = {"execute": command} | ({"arguments": arguments} if arguments else {})
        done = self.host.virsh("qemu-agent-command", self.name, json.dumps(question), "--timeout", "10", check=False)
        return json.loads(done.stdout)["return"] if done.returncode == 0 else None


def _devices(disk: Path) -> str:
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file={quoteattr(str(disk))}/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"""


def _add_init(root: Path) -> None:
    for directory in ("dev", "root"):
        (root / directory).mkdir()
    add_busybox(root)
    shutil.copy(INIT, root / "init")
    (root / "init").chmod(0o755)


def _image() -> Path:
    """The disk that all guests start from, made if it is not there."""
    files = [(RECIPES / source, target) for source, target in RECIPE_FILES.items()]
    files += [(path, str(path.relative_to(OWN_FILES)))
              for path in sorted(OWN_FILES.rglob("*")) if path.is_symlink() or path.is_file()]
    digest = hashlib.sha256(OWN_SOURCE)
    for path, target in files:
        content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
        digest.update(repr((target, path.lstat().st_mode, content)).encode())
    made = CACHE / f"debian-{digest.hexdigest()[:12]}.img"
    if made.exists():
        return made
    base = _base()
    for outdated in CACHE.glob("debian-*.img"):
        outdated.unlink()
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        root, image = Path(temporary) / "root", Path(temporary) / "image"
        root.mkdir(mode=0o755)
        tool("tar", "-C", root, "-xf", base, "--numeric-owner")
        for path, target in files:
            (root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / target, follow_symlinks=False)
        for link in DISABLED:
            (root / "etc/systemd/system" / link).unlink()
        for unit in MASKED:
            (root / "etc/systemd/system" / unit).unlink(missing_ok=True)
            (root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        (root / "etc/machine-id").write_text(hashlib.md5(b"virt-recontext lab").hexdigest() + "\n", encoding="ascii")
        (root / "etc/hostname").write_text("guest\n", encoding="ascii")
        tool("truncate", "-s", DISK_SIZE, image)
        tool("mkfs.ext4", "-q", "-F", "-m", "0", "-d", root, image)
        image.rename(made)
    return made


def _base() -> Path:
    """The distribution as an archive, made if it is not there."""
    digest = hashlib.sha256(repr((RELEASE, PACKAGES, UNREAD)).encode()).hexdigest()[:12]
    made = CACHE / f"debian-base-{digest}.tar"
    if made.exists():
        return made
    for outdated in CACHE.glob("debian-base-*"):
        outdated.unlink()
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        root, archive = Path(temporary) / "root", Path(temporary) / "archive"
        debootstrap(RELEASE, root, f"--include={','.join(PACKAGES)}")
        for path in UNREAD:
            shutil.rmtree(root / path, ignore_errors=True)
        tool("tar", "-C", root, "-cf", archive, "--numeric-owner", "--one-file-system", ".")
        archive.rename(made)
    return made
