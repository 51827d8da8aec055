"""The demonstration that tests/demo runs, told to a stranger.

    python3 -m lab.demo <directory with the built programs>

Exits with 1 and the reason if the guest does not get the other host's endpoint.
"""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from . import Cdrom, Guest, Host, Lab, LabError, Seen

TEMPLATE = "monitoring endpoint: {{ facts.monitoring.endpoint }}"
VM = "web"


class Failed(Exception):
    """The demonstration did not show what it should."""


def say(text: str = "") -> None:
    print(text, flush=True)


def url(host: Host) -> str:
    return f"https://monitor.{host.name}.example:9100"


def endpoint(host: Host) -> str:
    """What the guest reads on this host."""
    return f"monitoring endpoint: {url(host)}"


def set_up(host: Host, dist: Path) -> None:
    """What an administrator does on each host."""
    facts = f'[monitoring]\nendpoint = "{url(host)}"\n'
    host.write("/etc/virt-recontext/context/endpoint.j2", f"{TEMPLATE}\n")
    host.write("/etc/virt-recontext/facts.d/site.toml", facts)
    host.install(dist / "virt-recontext-hook", dist / "virt-recontext")
    say(f"  {host.name}  facts.d/site.toml      [monitoring] endpoint = \"{url(host)}\"")


def told(seen: Seen) -> str:
    """A line of the guest's console."""
    return f"guest | {seen.uptime:.3f} {seen.text or f'{seen.kind} {seen.rest}'.rstrip()}"


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


def at(seconds: float, what: str) -> None:
    say(f"  {seconds:6.2f} s  {what}")


def command(host: Host, *argv: str) -> None:
    """Runs a command on a host for all to see."""
    say(f"\n{host.name}# {' '.join(argv)}")
    for line in host.run(*argv).stdout.splitlines():
        say(f"  {line}")


def migrate(guest: Guest, source: Host, target: Host) -> None:
    """The migration, while the guest's console is followed."""
    say(f"\n{source.name}# virsh migrate --live --persistent --undefinesource {VM} qemu+tcp://{target.name}/system")
    mark = guest.mark()
    follower = Follower(guest, time.time())
    follower.start()
    try:
        migration = guest.migrate(target, "--persistent", "--undefinesource")
        at(migration.seconds, "virsh migrate has returned")
        guest.wait_for_text(endpoint(target), since=mark, seconds=20)
        guest.wait_for("event media-change", since=mark, seconds=20)
    finally:
        follower.stop()
    resumed = guest.lab.resumed(target, VM, migration.started)
    say(f"\n  (The guest ran on {target.name} from {resumed.time - migration.started:.2f} s on.)")


def check(guest: Guest, target: Host) -> None:
    """The guest uses the new endpoint, and is the one that was started."""
    read = guest.last("context")
    if read.text != endpoint(target):
        raise Failed(f"the guest's endpoint did not change to {url(target)}")
    if [seen.kind for seen in guest.said()].count("booted") != 1:
        raise Failed("the guest was rebooted")
    say(f"\nThe same running guest, up for {read.uptime:.0f} s and never rebooted, now uses {url(target)}.")


def demonstrate(dist: Path) -> None:
    say("virt-recontext: a running VM gets the settings of the host it moves to\n")
    say("Two hosts on this machine, each with a libvirtd, a network and an /etc of its own:")
    with Lab(("site-a", "site-b")) as lab:
        source, target = lab.hosts
        for host in lab.hosts:
            set_up(host, dist)
        say(f"  both    context/endpoint.j2    {TEMPLATE}")
        guest = Guest(lab, VM, bus="sata", cdrom=Cdrom())
        guest.define(source)
        command(source, "virt-recontext", "enable", VM)
        say(f"\n{source.name}# virsh start {VM}")
        say("  (Lines of the guest's own console, with the seconds since it booted:)")
        guest.start(source)
        guest.wait_for_text(endpoint(source))
        for seen in guest.said():
            say(f"            {told(seen)}")
        migrate(guest, source, target)
        command(target, "virt-recontext", "status", VM)
        check(guest, target)


def missing(dist: Path) -> Iterator[Path]:
    return (dist / name for name in ("virt-recontext-hook", "virt-recontext") if not (dist / name).is_file())


def main() -> int:
    dist = Path(sys.argv[1])
    try:
        for program in missing(dist):
            raise Failed(f"{program} is missing; packaging/build makes it")
        demonstrate(dist)
    except (Failed, LabError) as failure:
        print(f"\ntests/demo: failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntests/demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
