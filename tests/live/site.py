"""A site of two hosts that have our programs, each with its own data, as an administrator would set them up."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from lab import Cdrom, Event, Guest, Host, Lab, context_metadata

CONFIG = "/etc/virt-recontext"
IMAGES = "/var/lib/libvirt/recontext"
STATE = "/run/libvirt/recontext"


class Programs(NamedTuple):
    """The two programs as built."""

    hook: Path
    helper: Path


class Site:
    """Both hosts with programs and data; and what tests ask of them."""

    def __init__(self, lab: Lab, make_guest: Callable[..., Guest]) -> None:
        self.lab = lab
        self._make_guest = make_guest

    def install(self, programs: Programs) -> None:
        """Puts programs and data on both hosts."""
        self.set_data()
        for host in self.lab.hosts:
            host.install(*programs)

    def set_data(self) -> None:
        """Gives each host the data of its own."""
        for host in self.lab.hosts:
            host.write(f"{CONFIG}/context/endpoint.j2", "monitoring endpoint: {{ facts.monitoring.endpoint }}\n")
            self.set_endpoint(host, f"https://monitor.{host.name}.example:9100")

    def wait_for_helpers(self) -> None:
        """Waits until the helpers have seen that there is nothing left to do; the VMs are gone."""
        for host in self.lab.hosts:
            self.lab.wait_for(lambda host=host: host.run("pidof", "-x", "virt-recontext", check=False).returncode, 20,
                              f"the helper on {host.name} to end: its VM is gone")

    def remove(self) -> None:
        """Takes all of ours away again."""
        self.wait_for_helpers()
        for host in self.lab.hosts:
            for path in ("/etc/libvirt/hooks/qemu", "/usr/sbin/virt-recontext", CONFIG, IMAGES, f"{IMAGES}-b", STATE):
                host.remove(path)

    # What administrators do

    def set_endpoint(self, host: Host, url: str) -> None:
        """Changes a fact of a host."""
        host.write(f"{CONFIG}/facts.d/site.toml", f'[monitoring]\nendpoint = "{url}"\n')

    def configure(self, host: Host, text: str) -> None:
        """Writes a host's config.toml."""
        host.write(f"{CONFIG}/config.toml", text)

    def recontext(self, host: Host, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs virt-recontext."""
        return host.run("virt-recontext", *argv, check=check)

    def guest(self, *, bus: str = "sata", **options) -> Guest:
        """A VM with a drive for context, as `virt-recontext enable` leaves it."""
        made = self._make_guest(bus=bus, metadata=context_metadata(bus), **options)
        made.cdrom = Cdrom(made.image)
        return made

    # What is to be seen

    @staticmethod
    def text(host: Host) -> str:
        """What a guest reads on this host, unless the endpoint was changed."""
        return f"monitoring endpoint: https://monitor.{host.name}.example:9100"

    def status(self, host: Host, guest: Guest) -> dict[str, Any]:
        """What status says of a VM's disc; empty if nothing is recorded of it."""
        done = self.recontext(host, "status", guest.name, "--json", check=False)
        known = json.loads(done.stdout) if done.stdout.strip() else []
        return next((vm for vm in (known if isinstance(known, list) else [known]) if vm["uuid"] == guest.uuid and vm["since"]), {})

    def wait_for_state(self, host: Host, guest: Guest, state: str, seconds: float = 20) -> dict[str, Any]:
        """Waits until status says so; returns all that it says."""
        def reached() -> dict[str, Any]:
            said = self.status(host, guest)
            return said if said.get("state") == state else {}

        return self.lab.wait_for(reached, seconds, f"status of {guest.name} on {host.name} to be {state}")

    @staticmethod
    def tray_events(host: Host, guest: Guest) -> list[Event]:
        """libvirt's events about this VM's tray."""
        return [event for event in host.events()
                if event.time >= guest.made and "tray" in event.text and f"'{guest.name}'" in event.text]

    @staticmethod
    def files_of_ours(host: Host) -> list[Path]:
        """All that our programs keep on a host."""
        return [found for place in (IMAGES, STATE) for found in host.path(place).rglob("*") if found.is_file()]


def is_tainted(guest: Guest) -> bool:
    """Whether libvirt says that something tampered with the running VM."""
    assert guest.host is not None
    return "taint" in guest.host.virsh("dominfo", guest.name).stdout.lower()
