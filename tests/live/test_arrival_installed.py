"""What test_arrival.py promises, once more with the programs as the .deb installs them."""

import pytest

from live.site import IMAGES, STATE, Site
from live.test_arrival import *  # noqa: F403 - the very same tests
from live.test_installed import DEB, hosts, packages  # noqa: F401 - fixtures


@pytest.fixture
def site(lab, guest, hosts, packages):  # noqa: F811
    """Both hosts with the package and data of their own; purged in the end."""
    made = Site(lab, guest)
    for host in hosts:
        with host.awaiting_reload():
            host.run(*DEB.install, str(packages["0.0.2.deb"]))
    made.set_data()
    yield made
    for left in list(lab.guests):
        left.remove()
    made.wait_for_helpers()
    for host in hosts:
        host.run("dpkg", "--no-triggers", "-P", "virt-recontext")
        assert not host.path(IMAGES).exists() and not host.path(STATE).exists()
