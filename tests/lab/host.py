"""A host: one libvirtd with its own /etc, /run, /var, name, log and network, in namespaces of this machine.

QEMU runs as libvirt's usual user and libvirt changes owners as usual, so that file permissions are tested for real.
Switched off is what cannot work twice on one machine or in a container: security drivers, cgroups, QEMU's own namespaces.
"""

import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from .waiting import LabError, wait_for

INIT = Path(__file__).with_name("host_init.py")
HOOK = "/etc/libvirt/hooks/qemu"
HELPER = "/usr/sbin/virt-recontext"

LIBVIRTD_CONF = """
host_uuid = "{uuid}"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
log_outputs = "3:file:/var/log/libvirt/libvirtd.log"
"""

QEMU_CONF = """
security_driver = "none"
cgroup_controllers = []
namespaces = []
stdio_handler = "file"
remember_owner = 0
"""

# libvirtd is given the QEMU driver, as virtqemud has it, and that of networks: the node device driver's thread sometimes misses the end
# of libvirtd 11.3, which then takes 30 s.
DRIVERS = "/run/lab-drivers"
LIBVIRT_DRIVERS = ("libvirt_driver_qemu.so", "libvirt_driver_network.so")

# Notes what libvirtd calls it for; a reload is done when it calls this.
DAEMON_HOOK = "/etc/libvirt/hooks/daemon"
DAEMON_HOOK_NOTES = "/run/lab-daemon-hook"

# What services get of the environment.
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}


@dataclass(frozen=True)
class Event:
    """A line of `virsh event`: when it happened (seconds since the epoch) and what."""

    time: float
    text: str

    @property
    def line(self) -> str:
        return f"{datetime.fromtimestamp(self.time).time()} {self.text}"


class Host:
    """See the module. Made by Lab, which also joins hosts to each other."""

    def __init__(self, directory: Path, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self.directory = directory
        self.pid = 0
        self._libvirtd: subprocess.Popen[bytes] | None = None
        self._events: subprocess.Popen[bytes] | None = None
        directory.mkdir(mode=0o711)
        # Whatever becomes of this process, the kernel kills unshare, and unshare's death kills all of the host.
        with open(directory / "init.log", "wb") as log:
            self._unshare = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL",
                 "unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child=KILL",
                 "/usr/bin/python3", "-I", str(INIT), str(directory), name],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=ENVIRONMENT, start_new_session=True)

    # Life

    def await_init(self) -> None:
        """Returns when the namespaces are furnished; processes can enter then."""
        assert self._unshare.stdout is not None
        pid, ready = self._unshare.stdout.readline(), self._unshare.stdout.readline()
        if ready != b"ready\n":
            raise LabError(f"{self.name}: cannot set up its namespaces: {(self.directory / 'init.log').read_text()}")
        self.pid = int(pid)

    def start_libvirtd(self) -> None:
        """Starts the daemon and returns at once; await_libvirtd tells when it answers."""
        if not self.path(DAEMON_HOOK).exists():
            self.write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
            self.write("/etc/libvirt/qemu.conf", QEMU_CONF)
            self.write(DAEMON_HOOK, f'#!/bin/sh\necho "$2" >>{DAEMON_HOOK_NOTES}\n', 0o755)
            self.path(DRIVERS).mkdir()
            for driver in LIBVIRT_DRIVERS:
                self.path(DRIVERS, driver).symlink_to(next(Path("/usr/lib").glob(f"*/libvirt/*/{driver}")))
        self._libvirtd = self._start("libvirtd", "env", f"LIBVIRT_DRIVER_DIR={DRIVERS}", "libvirtd", "--listen")

    def await_libvirtd(self) -> None:
        """Returns when the daemon answers, and its events are being noted."""
        wait_for(self._answers, 90, f"libvirtd of {self.name}", lambda: self.tail(50))
        self._events = self._start("events", "stdbuf", "-oL", "virsh", "event", "--all", "--loop", "--timestamp")

    def restart_libvirtd(self) -> None:
        """What `systemctl restart libvirtd` does: the daemon ends in its own time, VMs and helpers go on."""
        assert self._libvirtd is not None
        if self._events is not None:
            os.killpg(self._events.pid, signal.SIGKILL)
            self._events.wait()
        self.run("kill", self._libvirtd_pid())
        try:
            self._libvirtd.wait(30)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: libvirtd does not end\n{self.tail(50)}") from None
        self.start_libvirtd()
        self.await_libvirtd()

    def kill_libvirtd(self) -> None:
        """The daemon dies as of a crash, and is started again, as systemd does."""
        assert self._libvirtd is not None
        if self._events is not None:
            os.killpg(self._events.pid, signal.SIGKILL)
            self._events.wait()
        self.run("kill", "-KILL", self._libvirtd_pid())
        self._libvirtd.wait(30)
        self.start_libvirtd()
        self.await_libvirtd()

    @contextmanager
    def silent_libvirtd(self) -> Iterator[None]:
        """The daemon takes calls and never answers them, until the end of the block."""
        assert self._libvirtd is not None
        self.run("kill", "-STOP", self._libvirtd_pid())
        try:
            yield
        finally:
            # Its outer half stops and goes on with it, but only the former by itself.
            self._libvirtd.send_signal(signal.SIGCONT)
            self.run("kill", "-CONT", self._libvirtd_pid())

    def reload(self) -> None:
        """What `systemctl reload libvirtd` does: the daemon looks for hooks again. Returns when it has."""
        with self.awaiting_reload():
            self.run("kill", "-HUP", self._libvirtd_pid())

    @contextmanager
    def awaiting_reload(self) -> Iterator[None]:
        """After the block, waits until the daemon has been reloaded since its beginning."""
        before = self._reloads()
        yield
        wait_for(lambda: self._reloads() > before, 90, f"libvirtd of {self.name} to reload", lambda: self.tail(30))

    def kill(self) -> None:
        """Ends everything in this host; returns when all is dead. Never fails."""
        if self.pid:
            # The first process of the host; unshare then reaps it and ends too.
            os.kill(self.pid, signal.SIGKILL)
        else:
            self._unshare.kill()
        self._unshare.wait()
        if self._unshare.stdout is not None:
            self._unshare.stdout.close()
        # What entered the host dies with it; its outer half, nsenter, must live to reap it.
        for process in (self._libvirtd, self._events):
            if process is not None:
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()

    # Doing things inside

    def run(self, *argv: str, check: bool = True, input: str | None = None,  # noqa: A002 - as subprocess calls it
            timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Runs a program in the host and returns its end, with what it wrote as text.

        With check, an exit status other than 0 raises LabError; a time out always does, and kills the program.
        """
        process = self.popen(*argv, stdin=subprocess.PIPE if input is not None else subprocess.DEVNULL,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            stdout, stderr = process.communicate(input, timeout)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise LabError(f"{self.name}: no end after {timeout:g} s: {' '.join(argv)}\n{self.tail(30)}") from None
            raise
        if check and process.returncode != 0:
            raise LabError(f"{self.name}: exit status {process.returncode}: {' '.join(argv)}\n{stdout}{stderr}"
                           f"\n{self.tail(30)}")
        return subprocess.CompletedProcess(list(argv), process.returncode, stdout, stderr)

    def virsh(self, *argv: str, check: bool = True, input: str | None = None,  # noqa: A002
              timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Runs virsh against this host's libvirtd. See run()."""
        return self.run("virsh", "-q", "-c", "qemu:///system", *argv, check=check, input=input, timeout=timeout)

    def popen(self, *argv: str, **options) -> subprocess.Popen:
        """Starts a program in the host, with the options of subprocess.Popen."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "--"]
        options.setdefault("env", ENVIRONMENT)
        return subprocess.Popen([*enter, *argv], **options)

    # Files

    def path(self, *inside: str) -> Path:
        """Where a path of the host is found from outside. Links with absolute targets lead astray."""
        return Path(f"/proc/{self.pid}/root{'/'.join(inside)}")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of the host, with the directories that lead to it."""
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(mode)

    def read(self, path: str) -> str:
        """A file of the host."""
        return self.path(path).read_text(encoding="utf-8")

    def remove(self, path: str) -> None:
        """Removes a file or tree of the host, if it is there."""
        found = self.path(path)
        if found.is_dir() and not found.is_symlink():
            shutil.rmtree(found)
        else:
            found.unlink(missing_ok=True)

    def install(self, hook: Path, helper: Path | None = None) -> None:
        """Puts programs where a package would, each replaced whole, and lets the daemon see the hook."""
        for program, inside in ((hook, HOOK), (helper, HELPER)):
            if program is not None:
                target = self.path(inside)
                target.parent.mkdir(parents=True, exist_ok=True)
                new = target.with_name(f".{target.name}.new")
                shutil.copy(program, new)
                new.chmod(0o755)
                new.replace(target)
        if self._libvirtd is not None:
            self.reload()

    # Evidence

    @property
    def libvirtd_log(self) -> str:
        """libvirtd's own warnings and errors."""
        return _text(self.path("/var/log/libvirt/libvirtd.log"))

    def qemu_log(self, name: str) -> str:
        """What libvirt and QEMU noted about a VM."""
        return _text(self.path(f"/var/log/libvirt/qemu/{name}.log"))

    def syslog(self) -> str:
        """What came in through /dev/log."""
        return _text(self.directory / "syslog")

    def events(self) -> list[Event]:
        """libvirt's events on this host, oldest first."""
        found = []
        for line in _text(self.directory / "events.log").splitlines():
            match = re.fullmatch(r"(\S+ \S+): (event .*)", line)
            if match:
                found.append(Event(datetime.fromisoformat(match[1]).timestamp(), match[2]))
        return found

    def tail(self, lines: int) -> str:
        """The ends of all of this host's logs."""
        logs = {"libvirtd": _text(self.directory / "libvirtd.log") + self.libvirtd_log, "syslog": self.syslog(),
                "events": "\n".join(event.line for event in self.events())}
        return "\n".join(f"--- {self.name}: {what}\n" + "\n".join(log.splitlines()[-lines:])
                         for what, log in logs.items())

    # Inside

    def _start(self, what: str, *argv: str) -> subprocess.Popen[bytes]:
        """Starts a program that stays, with its output in <what>.log."""
        with open(self.directory / f"{what}.log", "ab") as log:
            return self.popen(*argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)

    def _answers(self) -> bool:
        if self._libvirtd is not None and self._libvirtd.poll() is not None:
            raise LabError(f"{self.name}: libvirtd ended at its start\n{self.tail(50)}")
        return self.virsh("uri", check=False).returncode == 0

    def _reloads(self) -> int:
        return _text(self.path(DAEMON_HOOK_NOTES)).count("reload")

    def _libvirtd_pid(self) -> str:
        return self.read("/run/libvirtd.pid").strip()


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
