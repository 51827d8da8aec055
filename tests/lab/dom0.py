"""A Xen host: the hypervisor and its dom0 in a QEMU without KVM, and how to do things there.

Its first network card leads to this process by ssh; QEMU has a network namespace of its own for that, so no port of
this machine is taken. Logs and consoles lie in directories that dom0 mounts from here, so they can be read whatever has
become of it. What it writes elsewhere goes with it.
"""

import shlex
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .dom0_image import Dom0Image
from .host import DAEMON_HOOK, DAEMON_HOOK_NOTES, DRIVERS, ENVIRONMENT, LIBVIRTD_CONF
from .waiting import LabError, wait_for

# A processor that Xen starts on and whose virtualization it can use. With XSAVE, programs of dom0 crash now and then;
# with x2APIC, QEMU cannot count instructions.
PROCESSOR = "max,-xsave,-x2apic"
# A host's clock goes by what it has done: one instruction takes a nanosecond. However busy this machine is, libxl does
# not run out of patience, which gives a device model ten seconds.
CLOCK = "shift=0,sleep=on"
# Room for two small guests beside dom0.
MEMORY_MIB, DOM0_MIB = "2048", "896"
# In seconds, for all that is to come: a slow machine that is busy besides needs minutes for what takes another one seconds,
# and a deadline is only for what never comes.
PATIENCE = 600

XEN_DRIVER = "libvirt_driver_libxl.so"
LOGS = "/lab/log"
SHARED = "/lab/shared"
# Never asked for an address: only the one connection that is open is used.
NOWHERE = "root@dom0.invalid"


class Dom0:
    """See the module. Made by XenLab.

    directory: its own; shared: what all hosts see at SHARED, with the consoles of all guests in consoles/. link: its
    end of the network to the other host, as QEMU's -netdev takes it.
    """

    def __init__(self, directory: Path, name: str, address: str, image: Dom0Image, shared: Path, link: str) -> None:
        self.name = name
        self.address = address
        self.directory = directory
        self._ssh: subprocess.Popen[bytes] | None = None
        (directory / "log").mkdir(parents=True)
        key = directory / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key], check=True)
        public = key.with_suffix(".pub").read_text("ascii").split()[1]
        self._qemu = self._boot(image, shared, link,
                                f"lab_name={name} lab_address={address} lab_key={public}")

    # Life

    def await_boot(self) -> None:
        """Returns when commands can be run."""
        ready = self.directory / "log" / "ready"

        def is_ready() -> bool:
            if self._qemu.poll() is not None:
                raise LabError(f"{self.name}: QEMU ended\n{self.tail(50)}")
            return ready.exists()

        wait_for(is_ready, PATIENCE, f"{self.name} to boot", lambda: self.tail(50))
        control = self.directory / "control"
        with open(self.directory / "ssh.log", "wb") as log:
            self._ssh = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "nsenter", "-t", str(self._qemu.pid), "-n",
                 "ssh", "-F", "none", "-N", "-M", "-S", control, "-i", self.directory / "key", "-o", "BatchMode=yes",
                 "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "root@127.0.0.1"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        wait_for(control.exists, PATIENCE, f"ssh to {self.name}", lambda: self.tail(50))

    def start_libvirtd(self) -> None:
        """Starts the daemon, with the Xen driver alone, and returns when it answers."""
        if not self.exists(DAEMON_HOOK):
            self.write("/etc/libvirt/libvirtd.conf", LIBVIRTD_CONF.format(uuid=uuid.uuid4()))
            self.write(DAEMON_HOOK, f'#!/bin/sh\necho "$2" >>{DAEMON_HOOK_NOTES}\n', 0o755)
            self.shell(f"mkdir {DRIVERS} && ln -s /usr/lib/*/libvirt/*/{XEN_DRIVER} {DRIVERS}")
        self.shell(f"LIBVIRT_DRIVER_DIR={DRIVERS} setsid libvirtd --listen </dev/null >>{LOGS}/libvirtd.out 2>&1 &")
        wait_for(lambda: self.virsh("uri", check=False).returncode == 0, PATIENCE, f"libvirtd of {self.name}",
                 lambda: self.tail(50))

    def kill_libvirtd(self) -> None:
        """The daemon dies as of a crash, and is started again, as systemd does."""
        pid = self.read("/run/libvirtd.pid").strip()
        self.shell(f"kill -KILL {pid}; while kill -0 {pid}; do sleep 0.1; done 2>/dev/null")
        self.start_libvirtd()

    @contextmanager
    def failing_once(self, call: str, path: str) -> Iterator[None]:
        """In the block, the daemon's first system call of this kind about a path fails, after some seconds."""
        daemon, traced = self.read("/run/libvirtd.pid").strip(), self.directory / "log" / "strace"
        traced.unlink(missing_ok=True)
        self.shell(f"strace -f -o {LOGS}/strace -P {path} -e trace={call} -e inject={call}:error=EIO:delay_exit=3s"
                   f" -p {daemon} </dev/null >{LOGS}/strace.out 2>&1 & echo $! >/run/strace.pid")
        free = f"grep -q 'TracerPid:.0$' /proc/{daemon}/task/*/status"
        wait_for(lambda: self.shell(free, check=False).returncode != 0, PATIENCE,
                 "strace to hold all threads of the daemon")

        def end_at_first() -> None:
            try:
                wait_for(lambda: "INJECTED" in _text(traced), PATIENCE, f"a {call} of the daemon's about {path}")
            finally:
                # strace counts each thread's calls by itself, so it cannot be told to let the second one pass.
                self.shell("kill $(cat /run/strace.pid)")

        with ThreadPoolExecutor(1) as watching:
            ended = watching.submit(end_at_first)
            yield
            ended.result()

    @contextmanager
    def awaiting_reload(self) -> Iterator[None]:
        """After the block, waits until the daemon has been reloaded since its beginning, and looked for hooks again."""
        before = self._reloads()
        yield
        wait_for(lambda: self._reloads() > before, PATIENCE, f"libvirtd of {self.name} to reload",
                 lambda: self.tail(30))

    def kill(self) -> None:
        """Ends everything in this host; returns when all is dead. Never fails."""
        for process in (self._ssh, self._qemu):
            if process is not None:
                process.kill()
                process.wait()

    # Doing things inside

    def run(self, *argv: str, check: bool = True, input: str | None = None,  # noqa: A002 - as subprocess calls it
            timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Runs a program in dom0 and returns its end, with what it wrote as text.

        With check, an exit status other than 0 raises LabError; a time out always does.
        """
        return self.shell(shlex.join(argv), check=check, input=input, timeout=timeout)

    def shell(self, command: str, *, check: bool = True, input: str | None = None,  # noqa: A002
              timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Runs a shell command in dom0. See run()."""
        given = {"stdin": subprocess.DEVNULL} if input is None else {"input": input}
        try:
            done = subprocess.run([*self._command(), command], capture_output=True, text=True, errors="replace",
                                  check=False, timeout=timeout, **given)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name}: no end after {timeout:g} s: {command}\n{self.tail(30)}") from None
        if check and done.returncode != 0:
            raise LabError(f"{self.name}: exit status {done.returncode}: {command}\n{done.stdout}{done.stderr}"
                           f"\n{self.tail(30)}")
        return done

    def virsh(self, *argv: str, check: bool = True, input: str | None = None,  # noqa: A002
              timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Runs virsh against this host's libvirtd. See run().

        Without keep-alive: while a VM is built, which emulated takes long, libvirtd answers nobody.
        """
        return self.run("virsh", "-q", "-k0", "-c", "xen:///system", *argv, check=check, input=input, timeout=timeout)

    def _command(self) -> list[str | Path]:
        # Should the open connection be gone, this must not look for another host.
        return ["ssh", "-F", "none", "-q", "-S", self.directory / "control", "-o", "ProxyCommand=false", NOWHERE]

    # Files

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Writes a file of dom0, with the directories that lead to it."""
        word = shlex.quote(path)
        self.shell(f"mkdir -p $(dirname {word}) && cat >{word} && chmod {mode:o} {word}", input=text)

    def read(self, path: str) -> str:
        """A file of dom0."""
        return self.run("cat", path).stdout

    def exists(self, path: str) -> bool:
        """Whether dom0 has this, a link to nothing included."""
        word = shlex.quote(path)
        return self.shell(f"[ -e {word} ] || [ -L {word} ]", check=False).returncode == 0

    def remove(self, *paths: str) -> None:
        """Removes files or trees, if they are there."""
        self.run("rm", "-rf", "--", *paths)

    def put(self, file: Path, path: str) -> None:
        """Copies a file of this machine into dom0."""
        with open(file, "rb") as content:
            subprocess.run([*self._command(), f"cat >{shlex.quote(path)}"], stdin=content, check=True)

    # Evidence

    def syslog(self) -> str:
        """What came in through /dev/log."""
        return self._log("syslog")

    @property
    def libvirtd_log(self) -> str:
        """libvirtd's own warnings and errors."""
        return self._log("libvirt/libvirtd.log")

    def tail(self, lines: int) -> str:
        """The ends of all of this host's logs; the machine's own console has the hypervisor's messages too."""
        logs = {"machine": _text(self.directory / "machine.log"), "ssh": _text(self.directory / "ssh.log"),
                "libvirtd": self._log("libvirtd.out") + self.libvirtd_log, "syslog": self.syslog(),
                "libxl": self._log("libvirt/libxl/libxl-driver.log")}
        for file in sorted((self.directory / "log" / "xen").glob("qemu-dm-*.log")):
            logs[file.stem] = _text(file)
        return "\n".join(f"--- {self.name}: {what}\n" + "\n".join(log.splitlines()[-lines:])
                         for what, log in logs.items())

    def _reloads(self) -> int:
        return self.shell(f"cat {DAEMON_HOOK_NOTES}", check=False).stdout.count("reload")

    def _log(self, name: str) -> str:
        return _text(self.directory / "log" / name)

    # Inside

    def _boot(self, image: Dom0Image, shared: Path, link: str, parameters: str) -> subprocess.Popen[bytes]:
        """Starts QEMU. The kernel kills it when this process ends."""
        xen = f"dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M console=com1 com1=115200,8n1 noreboot guest_loglvl=all"
        linux = f"{image.kernel} console=hvc0 quiet loglevel=4 mitigations=off panic=0 {parameters}"
        argv = [
            "setpriv", "--pdeathsig", "KILL", "unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh",
            "qemu-system-x86_64", "-name", self.name, "-nodefaults", "-no-user-config", "-display", "none",
            "-no-reboot", "-machine", "q35", "-accel", "tcg,thread=single,tb-size=512", "-icount", CLOCK,
            "-cpu", PROCESSOR,
            "-m", MEMORY_MIB, "-serial", f"file:{self.directory}/machine.log",
            "-drive", f"file={image.disk},if=none,id=disk,format=raw,cache=unsafe,snapshot=on",
            "-device", "virtio-blk-pci,drive=disk",
            "-netdev", "user,id=lab,restrict=on,hostfwd=tcp:127.0.0.1:22-:22",
            "-device", "virtio-net-pci,netdev=lab,romfile=",
            "-netdev", f"{link},id=link", "-device", "virtio-net-pci,netdev=link,romfile=",
            "-virtfs", f"local,path={self.directory}/log,mount_tag=log,security_model=none",
            "-virtfs", f"local,path={shared},mount_tag=shared,security_model=none",
            "-kernel", str(image.xen), "-append", xen, "-initrd", f"{linux},{image.initramfs}"]
        with open(self.directory / "machine.log", "ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENVIRONMENT,
                                    start_new_session=True)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
