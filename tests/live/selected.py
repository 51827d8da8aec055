"""VMs that take part because this host selects them."""

from lab import Guest, Host
from live.site import Site

# By the guest's own clock, from the moment at which its first program runs: how long an emulated guest needs to get there on a
# busy machine says nothing about its drive.
SECONDS = 20


def name(number: int) -> str:
    """Of a VM that is selected."""
    return f"web-{number}"


def select(site: Site, host: Host) -> None:
    """Has the host select the VMs with such names."""
    site.configure(host, '[[select]]\nname = "web-*"\n')


def wait_until_all_have_read(site: Site, host: Host, vms: list[Guest]) -> list[float]:
    """Waits until VMs that were selected at their start have read their discs, each from its one drive; how many seconds after
    its first program ran each of them has."""
    took = []
    for vm in vms:
        read = vm.wait_for_text(site.text(host), seconds=120)
        took.append(read.uptime - vm.last("booted").uptime)
        xml = vm.live_xml()
        assert xml.count("device='cdrom'") == xml.count("model='virtio-scsi'") == 1, xml
    assert max(took) < SECONDS, took
    return took
