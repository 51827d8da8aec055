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
# One that runs already and was made without a thought of a context, as virt-install makes them.
OTHER = "shop"


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
    say(f"\n{source.name}# virsh migrate --live --persistent --undefinesource {guest.name} qemu+tcp://{target.name}/system")
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
    resumed = guest.lab.resumed(target, guest.name, migration.started)
    say(f"\n  (The guest ran on {target.name} from {resumed.time - migration.started:.2f} s on.)")


def check(guest: Guest, target: Host) -> None:
    """The guest uses the new endpoint, and is the one that was started."""
    read = guest.last("context")
    if read.text != endpoint(target):
        raise Failed(f"the guest's endpoint did not change to {url(target)}")
    if [seen.kind for seen in guest.said()].count("booted") != 1:
        raise Failed("the guest was rebooted")
    say(f"\nThe same running guest, up for {read.uptime:.0f} s and never rebooted, now uses {url(target)}.")


def start(guest: Guest, host: Host) -> None:
    """Starts a VM for all to see."""
    say(f"\n{host.name}# virsh start {guest.name}")
    say("  (Lines of the guest's own console, with the seconds since it booted:)")
    guest.start(host)


def tell_console(guest: Guest, mark: int = 0) -> None:
    """What the guest has said since a mark."""
    for seen in guest.said()[mark:]:
        say(f"            {told(seen)}")


def first_act(lab: Lab) -> None:
    """A VM that was given its drive before it was started."""
    source, target = lab.hosts
    guest = Guest(lab, VM, bus="sata", cdrom=Cdrom())
    guest.define(source)
    command(source, "virt-recontext", "enable", VM)
    start(guest, source)
    guest.wait_for_text(endpoint(source))
    tell_console(guest)
    migrate(guest, source, target)
    command(target, "virt-recontext", "status", VM)
    check(guest, target)


def second_act(lab: Lab) -> None:
    """A VM that runs and has no drive at all takes part without a restart."""
    source, target = lab.hosts
    say(f"\nAnother VM, {OTHER}, has a disk and four free PCIe ports but no drive for a context, and runs:")
    guest = Guest(lab, OTHER, bus="plug", cdrom=None, devices=f"""
        <controller type='pci' index='5' model='pcie-root-port'/>{disk(lab)}""")
    guest.define(source)
    start(guest, source)
    guest.wait_for("no disc")
    tell_console(guest)
    mark = guest.mark()
    command(source, "virt-recontext", "enable", OTHER)
    guest.wait_for_text(endpoint(source), since=mark)
    # What it says of its new drive is not to be taken for what it says of its arrival.
    guest.wait_until_quiet(1)
    tell_console(guest, mark)
    migrate(guest, source, target)
    check(guest, target)


def disk(lab: Lab) -> str:
    """Of a VM that needs none: read-only, so that libvirt lets it move without storage that both hosts share."""
    image = lab.shared / f"{OTHER}.raw"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    image.chmod(0o644)
    return (f"<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>"
            "<target dev='vda' bus='virtio'/><readonly/></disk>")


def demonstrate(dist: Path) -> None:
    say("virt-recontext: a running VM gets the settings of the host it moves to\n")
    say("Two hosts on this machine, each with a libvirtd, a network and an /etc of its own:")
    with Lab(("site-a", "site-b")) as lab:
        for host in lab.hosts:
            set_up(host, dist)
        say(f"  both    context/endpoint.j2    {TEMPLATE}")
        first_act(lab)
        second_act(lab)


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
