"""PID 1 of a host's namespaces: turns a copy of this machine into a host of its own, then collects its log.

Run by host.py inside fresh mount, UTS, IPC, network and PID namespaces as

    python3 -I host_init.py <directory of the host> <its name>

It gives the host its own /etc and /usr/sbin (copies, so that packages' files can be put there), /run, libvirt's
directories under /var, /proc, /sys, /dev and a /dev/log whose lines end up in <directory>/syslog. It prints its PID as
seen from outside and then "ready". Afterwards it reaps what daemons leave behind; when it dies, all of the host dies.
"""

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

# Copied from this machine, so that the host's differ from it and from each other.
COPIED = ["/etc", "/usr/sbin"]
# Empty at first.
FRESH = ["/run", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"]
DEVICES = ["full", "null", "random", "tty", "urandom", "zero"]
# What VMs are attached to bridges by, where this machine has it.
TUN = "/dev/net/tun"


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def mount_directories(directory: Path) -> None:
    for path in COPIED:
        own = directory / "root" / path.lstrip("/")
        own.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", path, own], check=True)
        mount("--bind", str(own), path)
    for path in FRESH:
        own = directory / "root" / path.lstrip("/")
        own.mkdir(parents=True)
        Path(path).mkdir(parents=True, exist_ok=True)
        mount("--bind", str(own), path)


def allow_postcopy(devices: Path) -> None:
    """A userfaultfd that QEMU's user may open, without changing this machine's sysctl. Where nodes cannot be made,
    post-copy migration is refused by QEMU."""
    node = devices / "userfaultfd"
    try:
        os.mknod(node, stat.S_IFCHR, os.stat("/dev/userfaultfd").st_rdev)
        node.chmod(0o666)
    except OSError:
        pass


def mount_devices(directory: Path) -> socket.socket:
    """A small /dev with a log socket, which is returned. Nodes are bound, since a container may not make any."""
    new = directory / "dev"
    new.mkdir()
    mount("-t", "tmpfs", "-o", "mode=755", "dev", str(new))
    for name in DEVICES:
        (new / name).touch()
        mount("--bind", f"/dev/{name}", str(new / name))
    if Path(TUN).exists():
        (new / "net").mkdir()
        (new / "net/tun").touch()
        mount("--bind", TUN, str(new / "net/tun"))
    allow_postcopy(new)
    for name, target in {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2",
                         "ptmx": "pts/ptmx"}.items():
        (new / name).symlink_to(target)
    (new / "pts").mkdir()
    mount("-t", "devpts", "-o", "newinstance,ptmxmode=0666,mode=620", "devpts", str(new / "pts"))
    (new / "shm").mkdir()
    mount("-t", "tmpfs", "-o", "mode=1777", "shm", str(new / "shm"))
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(new / "log"))
    (new / "log").chmod(0o666)
    mount("--move", str(new), "/dev")
    return log


def forget_this_machine() -> None:
    """Removes from the copies what this machine may have: VMs and networks that start by themselves, hooks, us."""
    for path in Path("/etc/libvirt").iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree("/etc/virt-recontext", ignore_errors=True)
    for path in Path("/usr/sbin").glob("virt-recontext*"):
        path.unlink()


def set_up(directory: Path, name: str) -> socket.socket:
    socket.sethostname(name)
    mount_directories(directory)
    log = mount_devices(directory)
    mount("-t", "proc", "proc", "/proc")
    mount("-t", "sysfs", "sysfs", "/sys")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    forget_this_machine()
    return log


def reap(*_: object) -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def main() -> None:
    directory, name = Path(sys.argv[1]), sys.argv[2]
    # /proc is still the outer one.
    print(os.readlink("/proc/self"), flush=True)
    log = set_up(directory, name)
    signal.signal(signal.SIGCHLD, reap)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with open(directory / "syslog", "ab", buffering=0) as lines:
        print("ready", flush=True)
        while True:
            lines.write(log.recv(65536).rstrip(b"\0\n") + b"\n")


if __name__ == "__main__":
    main()
