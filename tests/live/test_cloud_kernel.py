"""Guests with Debian's kernel for clouds, which has no driver for AHCI: a drive on sata, as q35 machines are given one by most
tools, is none to them."""

import pytest

from lab import Guest
from live.site import Site


@pytest.fixture
def vm(site: Site, lab, guest) -> Guest:
    """One that has never heard of a context, of the shape that images for clouds are started in."""
    made = guest(cdrom=None, bus="plug", boots="cloud")
    made.define(lab.hosts[0])
    return made


def test_a_running_guest_with_a_cloud_kernel_sees_the_drive_that_enable_gives_it(site, lab, vm):
    a, b = lab.hosts
    vm.start(a)
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for_text(site.text(b), since=mark)


def test_a_stopped_guest_with_a_cloud_kernel_sees_the_drive_at_its_next_start(site, lab, vm):
    a, _ = lab.hosts
    site.recontext(a, "enable", vm.name)
    vm.start(a)
    vm.wait_for_text(site.text(a))
