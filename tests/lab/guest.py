"""A VM of the lab: its life on the hosts, and what it says on its console about its context CD-ROM."""

import re
import time
import uuid
from dataclasses import dataclass, field

from .boot_files import BootFiles
from .domain_xml import IMAGE_DIR, Cdrom, domain_xml
from .host import Host
from .lab import Lab, Migration
from .waiting import GuestDied, LabError

PANIC = re.compile(r"^.*(Kernel panic|Oops:|BUG:|general protection fault).*$", re.MULTILINE)


@dataclass(frozen=True)
class Seen:
    """A line of the guest's own program. The kinds and their meaning are in guest.c."""

    uptime: float
    kind: str
    rest: str = ""
    facts: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The content of the watched file; "" if this line is not about it."""
        return self.facts.get("text", "")


class Guest:
    """See the module. Made with Guest(lab, name, …) and started with create() or start().

    mode: "poll" reads the disc twice a second and at events, "event" at events only, "hold" never lets go of it,
    "probe" looks for what it may hold and never mounts it.
    cdrom: its drive, or None. metadata: the XML inside <metadata>. poll_ms: how often its kernel asks for new media.
    devices: the XML of more devices. on_reboot: what libvirt does when it is reset. boots: what of boot_files.py it boots
    instead of that for its bus. firmware: "bios" or "uefi".
    """

    # Starting under emulation takes seconds, and the machine may be busy.
    boot_seconds = 60

    def __init__(self, lab: Lab, name: str, *, bus: str = "sata", cdrom: Cdrom | None = Cdrom(), metadata: str = "",
                 mode: str = "poll", file: str = "/endpoint", poll_ms: int = 500, memory_mib: int = 128,
                 devices: str = "", on_reboot: str = "destroy", boots: str | None = None,
                 firmware: str = "bios") -> None:
        self.lab = lab
        self.name = name
        self.bus = bus
        self._boots = boots or bus
        self._firmware = firmware
        self.uuid = str(uuid.uuid4())
        self.made = time.time()
        self.host: Host | None = None
        self.console_path = lab.shared / f"{name}-{self.uuid}.console"
        self.console_path.touch()
        # Both hosts' QEMU writes it, whoever owns it at the time.
        self.console_path.chmod(0o666)
        self.cdrom = cdrom
        self.metadata = metadata
        self._memory_mib = memory_mib
        self._boot = self._boot_files()
        self._devices, self._on_reboot = devices, on_reboot
        # The last three of the kernel's own save it what it does for nobody here, a sixth of a boot under emulation.
        self._command_line = ("console=ttyS0 loglevel=3 panic=0 cryptomgr.notests mitigations=off nokaslr "
                              f"guest_mode={mode} guest_file={file} "
                              f"guest_poll={poll_ms} guest_drive={'yes' if cdrom else 'no'}")
        lab.guests.append(self)

    @property
    def image(self) -> str:
        """The path at which our programs put this VM's disc."""
        return f"{IMAGE_DIR}/{self.uuid}.iso"

    def xml(self) -> str:
        """The XML that this guest is made from."""
        return domain_xml(name=self.name, uuid=self.uuid, bus=self.bus, cdrom=self.cdrom, metadata=self.metadata,
                          boot=self._boot, command_line=self._command_line, console=self.console_path,
                          memory_mib=self._memory_mib, devices=self._devices, on_reboot=self._on_reboot,
                          firmware=self._firmware)

    # Life

    def create(self, host: Host) -> None:
        """Starts it as a transient VM and waits until its program runs."""
        host.virsh("create", "/dev/stdin", "--validate", input=self.xml())
        self._has_started(host)

    def define(self, host: Host) -> None:
        """Makes it known to a host without starting it."""
        host.virsh("define", "/dev/stdin", "--validate", input=self.xml())

    def start(self, host: Host) -> None:
        """Starts the defined VM and waits until its program runs."""
        host.virsh("start", self.name)
        self._has_started(host)

    def migrate(self, target: Host, *flags: str) -> Migration:
        """Moves it to another host while it runs."""
        if self.host is None:
            raise LabError(f"{self.name} does not run")
        migration = self.lab.migrate(self.host, target, self.name, *flags)
        self.host = target
        return migration

    def save(self, path: str) -> None:
        """Stops it and writes its state to a file."""
        if self.host is None:
            raise LabError(f"{self.name} does not run")
        self.host.virsh("save", self.name, path)
        self.host = None

    def restore(self, host: Host, path: str) -> None:
        """Lets it go on from a saved state."""
        host.virsh("restore", path)
        self.host = host

    def live_xml(self, *flags: str) -> str:
        """libvirt's XML of it where it runs."""
        if self.host is None:
            raise LabError(f"{self.name} does not run")
        return self.host.virsh("dumpxml", self.name, *flags).stdout

    def remove(self) -> None:
        """Ends it wherever it is and makes every host forget it. Safe to call at any time."""
        for host in self.lab.hosts:
            host.virsh("destroy", self.name, check=False)
            host.virsh("undefine", self.name, "--managed-save", "--nvram", check=False)
        self.host = None
        if self in self.lab.guests:
            self.lab.guests.remove(self)

    def state(self) -> str:
        """libvirt's word for its state where it is meant to be, such as "running"; "" where it is not known."""
        return self.host.virsh("domstate", self.name, check=False).stdout.strip() if self.host else ""

    # The console

    @property
    def console(self) -> str:
        """All that its serial port ever said."""
        return self.console_path.read_text(encoding="utf-8", errors="replace")

    def said(self) -> list[Seen]:
        """The lines of the guest's own program, oldest first."""
        return [_parse(match) for match in re.finditer(r"^(\d+\.\d+) (.*)\n", self.console.replace("\r", ""), re.M)]

    def mark(self) -> int:
        """A place in said(): said()[mark:] is what comes after."""
        return len(self.said())

    def last(self, kind: str) -> Seen:
        """The latest line of this kind; LabError if there is none."""
        for seen in reversed(self.said()):
            if seen.kind == kind:
                return seen
        raise LabError(f"{self.name} never said {kind!r}\n{self.lab.evidence()}")

    def wait_for(self, kind: str, text: str | None = None, *, since: int = 0, seconds: float = 30) -> Seen:
        """The first line of this kind, and with this text in the watched file if given, from a mark on."""
        what = f"the console of {self.name} to say {kind!r}" + (f" with text {text!r}" if text is not None else "")

        def found() -> Seen | None:
            return next((seen for seen in self.said()[since:]
                         if seen.kind == kind and (text is None or seen.text == text)), None)

        return self.lab.wait_for(found, seconds, what)

    def wait_for_text(self, text: str, *, since: int = 0, seconds: float = 30) -> Seen:
        """Waits until the guest has read a disc on which the watched file has this content."""
        return self.wait_for("context", text, since=since, seconds=seconds)

    def wait_until_quiet(self, seconds: float = 2) -> None:
        """Waits until it has said nothing for so long: it has seen all that has happened to it."""
        size, since = -1, time.monotonic()

        def is_quiet() -> bool:
            nonlocal size, since
            now = self.console_path.stat().st_size
            if now != size:
                size, since = now, time.monotonic()
            return time.monotonic() - since >= seconds

        self.lab.wait_for(is_quiet, 30, f"{self.name} to be quiet")

    def check_alive(self) -> None:
        """Raises GuestDied if the guest's kernel has crashed."""
        panic = PANIC.search(self.console)
        if panic:
            raise GuestDied(f"the kernel of {self.name} died, nothing was learnt about its context: {panic[0]}")

    def _has_started(self, host: Host) -> None:
        self.host = host
        self.wait_for("booted", seconds=self.boot_seconds)

    def _boot_files(self) -> BootFiles:
        return self.lab.boot_files(self._boots, self._firmware)


def _parse(match: re.Match[str]) -> Seen:
    """One line of guest.c's, by the kinds named there."""
    uptime, line = float(match[1]), match[2]
    kind, _, rest = line.partition(" ")
    if line == "no disc" or kind == "event":
        kind, rest = line, ""
    facts = {}
    if kind in ("context", "held"):
        fields, _, text = rest.partition(" text=")
        facts = dict(word.split("=", 1) for word in fields.split(" ")) | {"text": text.replace("\\n", "\n")}
    return Seen(uptime, kind, rest, facts)
