"""The lab: hosts, the link between them, migration, evidence on failure, and clean-up on any exit.

Nothing of a lab has a name outside its own directory: the link's ends are made inside the hosts' network namespaces,
and these, like all mounts and processes, vanish with the host's first process. So any number of labs run side by side,
and even a killed one leaves only its directory, which the next start removes.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from .boot_files import BootFiles, boot_files
from .host import Event, Host
from .waiting import LabError, wait_for

if TYPE_CHECKING:
    from .guest import Guest

Result = TypeVar("Result")

PREFIX = "vr-lab."
ENDING = (signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Migration:
    """How a migration went. Times are seconds since the epoch."""

    result: subprocess.CompletedProcess[str]
    started: float
    ended: float

    @property
    def seconds(self) -> float:
        """How long `virsh migrate` took."""
        return self.ended - self.started


class Lab:
    """See the module. A context manager; inside it all hosts answer.

    hosts: the hosts, in the order of their names. shared: a directory that all see at the same path, and into which
    QEMU can look.
    """

    # How many times longer all may take than on a machine that is quick and has nothing else to do.
    slowness = 3

    def __init__(self, names: tuple[str, ...] = ("host-a", "host-b"), parent: Path = Path("/tmp")) -> None:
        self._names = names
        self._parent = parent
        self.hosts: list[Host] = []
        self.guests: list["Guest"] = []

    def __enter__(self) -> "Lab":
        if os.geteuid() != 0:
            raise LabError("the lab needs root, for namespaces and libvirtd")
        self._heed_signals()
        try:
            self._make_directory()
            self._start_hosts()
        except BaseException:
            self._clean_up()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._clean_up()

    def migrate(self, source: Host, target: Host, name: str, *flags: str, live: bool = True, check: bool = True,
                timeout: float = 300) -> Migration:
        """Runs `virsh migrate` on the source. Without check, its failure is in the result.

        The hosts find each other by name, in their /etc/hosts.
        """
        started = time.time()
        result = source.virsh("migrate", *(["--live"] if live else []), *flags, name,
                              f"qemu+tcp://{target.name}/system", check=check, timeout=timeout)
        return Migration(result, started, time.time())

    def resumed(self, host: Host, name: str, since: float) -> Event:
        """The event by which libvirt told that the guest runs here, at or after a time."""
        return self.wait_for(
            lambda: next((event for event in host.events() if event.time >= since - 0.001
                          and f"domain '{name}': Resumed" in event.text), None),
            10, f"the event that {name} runs on {host.name}")

    def wait_for(self, condition: Callable[[], Result], seconds: float, what: str) -> Result:
        """waiting.wait_for, with all of the lab's logs as evidence; a crashed guest ends it at once.

        seconds: on a quick machine.
        """
        def unless_dead() -> Result:
            for guest in self.guests:
                guest.check_alive()
            return condition()
        return wait_for(unless_dead, self.slowness * seconds, what, self.evidence)

    def evidence(self, lines: int = 30) -> str:
        """The ends of all consoles and logs."""
        consoles = [f"--- {guest.name}: console\n" + "\n".join(guest.console.splitlines()[-lines:])
                    for guest in self.guests]
        return "\n".join(consoles + [host.tail(lines) for host in self.hosts])

    def boot_files(self, bus: str, firmware: str = "bios") -> BootFiles:
        """What guests boot from."""
        cached = boot_files(bus, firmware)
        return BootFiles(self.share(cached.kernel), self.share(cached.initramfs))

    def share(self, file: Path) -> Path:
        """A copy of a file in a place that QEMU's user can reach wherever this project lies."""
        own = self.shared / f"{file.parent.name}-{file.name}"
        if not own.exists():
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", file, own], check=True)
        return own

    # Beginning and end

    def _make_directory(self) -> None:
        """Removes what dead labs left, then makes this one's directory, locked for as long as this process lives."""
        for other in self._parent.glob(f"{PREFIX}*"):
            _remove_if_dead(other)
        # Hidden until it is locked, so that another lab's start cannot take it for dead.
        hidden = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=self._parent))
        self._lock = os.open(hidden, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self.directory = hidden.rename(hidden.with_name(hidden.name.removeprefix(".")))
        self.directory.chmod(0o711)
        self.shared = self.directory / "shared"
        self.shared.mkdir()
        self.shared.chmod(0o711)

    def _start_hosts(self) -> None:
        for number, name in enumerate(self._names, 1):
            self.hosts.append(Host(self.directory / name, name, f"10.0.0.{number}"))
        for host in self.hosts:
            host.await_init()
        self._link()
        for host in self.hosts:
            host.start_libvirtd()
        for host in self.hosts:
            host.await_libvirtd()

    def _link(self) -> None:
        """Joins the hosts by a bridge in the first one's network namespace, so that any number can talk."""
        first, *others = self.hosts
        first.run("ip", "link", "add", "lab", "type", "bridge")
        first.run("ip", "link", "set", "lab", "up")
        first.run("ip", "address", "add", f"{first.address}/24", "dev", "lab")
        for number, host in enumerate(others, 2):
            port = f"to-{number}"
            # Entered by hand: ip must know the other namespace by a PID of this machine.
            subprocess.run(["nsenter", "-t", str(first.pid), "-n", "ip", "link", "add", port, "type", "veth",
                            "peer", "name", "lab", "netns", str(host.pid)], check=True)
            first.run("ip", "link", "set", port, "master", "lab", "up")
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "lab")
            host.run("ip", "link", "set", "lab", "up")
        names = "127.0.0.1 localhost\n" + "".join(f"{host.address} {host.name}\n" for host in self.hosts)
        for host in self.hosts:
            host.write("/etc/hosts", names)

    def _clean_up(self) -> None:
        """Ends everything and removes the directory. Needs no start to have succeeded; a second signal waits."""
        with _signals_held():
            for host in self.hosts:
                host.kill()
            if hasattr(self, "directory"):
                shutil.rmtree(self.directory, ignore_errors=True)
                os.close(self._lock)
            self._restore_signals()

    def _heed_signals(self) -> None:
        """Turns signals that end a program into an exit that passes through our clean-up, as SIGINT does anyway."""
        self._former = {}
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.signal(number, _exit_on_signal) for number in ENDING}

    def _restore_signals(self) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)


def _exit_on_signal(number: int, _: object) -> None:
    raise SystemExit(128 + number)


class _signals_held:  # noqa: N801 - reads as a with-statement
    """Keeps signals from cutting the clean-up short."""

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, *ENDING})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


def _remove_if_dead(directory: Path) -> None:
    """Removes a lab's directory if no process holds its lock."""
    try:
        lock = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(directory, ignore_errors=True)
    except BlockingIOError:
        pass
    finally:
        os.close(lock)
