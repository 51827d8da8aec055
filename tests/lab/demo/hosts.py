"""Two hosts with different data: a VM with a drive for its context, and one without, move from one to the other."""

from pathlib import Path

from .. import Cdrom, Guest, Host, Lab
from .telling import Failed, command, migration, say, start, tell_console

TEMPLATE = "monitoring endpoint: {{ facts.monitoring.endpoint }}"
VM = "web"
# One that runs already and was made without a thought of a context, as virt-install makes them.
OTHER = "shop"


def url(host: Host) -> str:
    return f"https://monitor.{host.name}.example:9100"


def endpoint(host: Host) -> str:
    """What the guest reads on this host."""
    return f"monitoring endpoint: {url(host)}"


def set_endpoint(host: Host, value: str) -> None:
    """The one fact of a host."""
    host.write("/etc/virt-recontext/facts.d/site.toml", f'[monitoring]\nendpoint = "{value}"\n')
    say(f"  {host.name}  facts.d/site.toml      [monitoring] endpoint = \"{value}\"")


def set_up(lab: Lab, dist: Path) -> None:
    """What an administrator does on each host."""
    say("Two hosts on this machine, each with a libvirtd, a network and an /etc of its own:")
    for host in lab.hosts:
        host.write("/etc/virt-recontext/context/endpoint.j2", f"{TEMPLATE}\n")
        host.install(dist / "virt-recontext-hook", dist / "virt-recontext")
        set_endpoint(host, url(host))
    say(f"  both    context/endpoint.j2    {TEMPLATE}")


def migrate(guest: Guest, source: Host, target: Host) -> None:
    """The migration, until the guest has read the new disc and heard of it."""
    mark = guest.mark()
    with migration(guest, source, target, "--persistent", "--undefinesource"):
        guest.wait_for_text(endpoint(target), since=mark, seconds=20)
        guest.wait_for("event media-change", since=mark, seconds=20)


def check(guest: Guest, target: Host) -> None:
    """The guest uses the new endpoint, and is the one that was started."""
    read = guest.last("context")
    if read.text != endpoint(target):
        raise Failed(f"the guest's endpoint did not change to {url(target)}")
    if [seen.kind for seen in guest.said()].count("booted") != 1:
        raise Failed("the guest was rebooted")
    say(f"\nThe same running guest, up for {read.uptime:.0f} s and never rebooted, now uses {url(target)}.")


def first_act(lab: Lab) -> None:
    """A VM that was given its drive before it was started."""
    source, target = lab.hosts
    guest = Guest(lab, VM, bus="sata", cdrom=Cdrom())
    guest.define(source)
    command(source, f"virt-recontext enable {VM}")
    start(guest, source)
    guest.wait_for_text(endpoint(source))
    tell_console(guest)
    migrate(guest, source, target)
    command(target, f"virt-recontext status {VM}")
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
    command(source, f"virt-recontext enable {OTHER}")
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
