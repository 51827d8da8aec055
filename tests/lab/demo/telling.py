"""How the demonstration is told: what is typed, what the guest says meanwhile, and when."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from subprocess import CompletedProcess

from .. import Guest, Host, Migration, Seen


# What is told begins here, behind the time that something took.
MARGIN = 12


class Failed(Exception):
    """The demonstration did not show what it should."""


def say(text: str = "") -> None:
    print(text, flush=True)


def at(seconds: float, what: str) -> None:
    say(f"{seconds:8.2f} s  {what}")


def told(seen: Seen) -> str:
    """A line of the guest's console."""
    return f"guest | {seen.uptime:.3f} {seen.text or f'{seen.kind} {seen.rest}'.rstrip()}"


def tell_console(guest: Guest, mark: int = 0) -> None:
    """What the guest has said since a mark."""
    for seen in guest.said()[mark:]:
        say(f"{' ' * MARGIN}{told(seen)}")


def typed(host: Host, text: str) -> None:
    """What somebody types on a host."""
    say(f"\n{host.name}# {text}")


def command(host: Host, line: str, *, check: bool = True) -> CompletedProcess[str]:
    """Runs a line of shell on a host for all to see, and tells how long it took."""
    typed(host, line)
    began = time.time()
    done = host.run("sh", "-c", line, check=check)
    first, *others = (done.stdout + done.stderr).strip().splitlines() or [""]
    at(time.time() - began, first)
    for other in others:
        say(f"{' ' * MARGIN}{other}")
    return done


def start(guest: Guest, host: Host) -> None:
    """Starts a VM for all to see."""
    typed(host, f"virsh start {guest.name}")
    say("  (Lines of the guest's own console, with the seconds since it booted:)")
    guest.start(host)


class Follower(threading.Thread):
    """Tells what the guest says from now on, as it says it, with the time since the migration began."""

    def __init__(self, guest: Guest, began: float) -> None:
        super().__init__(daemon=True)
        self._guest = guest
        self._began = began
        self._mark = guest.mark()
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(0.02):
            self._tell_new()

    def stop(self) -> None:
        """Returns when everything said so far is told."""
        self._over.set()
        self.join()
        self._tell_new()

    def _tell_new(self) -> None:
        for seen in self._guest.said()[self._mark:]:
            self._mark += 1
            at(time.time() - self._began, told(seen))


@contextmanager
def migration(guest: Guest, source: Host, target: Host, *flags: str) -> Iterator[Migration]:
    """A migration for all to see. In the block it is over, and what the guest says is still told."""
    typed(source, f"virsh migrate --live {' '.join([*flags, guest.name])} qemu+tcp://{target.name}/system")
    follower = Follower(guest, time.time())
    follower.start()
    try:
        done = guest.migrate(target, *flags)
        at(done.seconds, "virsh migrate has returned")
        yield done
    finally:
        follower.stop()
    resumed = guest.lab.resumed(target, guest.name, done.started)
    say(f"\n  (The guest ran on {target.name} from {resumed.time - done.started:.2f} s on.)")
