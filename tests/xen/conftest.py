"""What the Xen tests share: one lab with two dom0s, in both of which the .deb is installed, and guests that vanish."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import XenLab  # noqa: E402 - found by the path above
from live.conftest import programs, pytest_runtest_makereport, pytest_sessionstart  # noqa: E402, F401 - used by pytest
from live.site import Programs  # noqa: E402
from xen.site import XenSite  # noqa: E402


@pytest.fixture(scope="session")
def lab() -> Iterator[XenLab]:
    """Two hosts that answer."""
    with XenLab() as running:
        yield running


@pytest.fixture(scope="session")
def installed(lab: XenLab, programs: Programs) -> XenSite:  # noqa: F811 - the fixture
    """The .deb on both hosts."""
    made = XenSite(lab)
    made.install(programs)
    return made


@pytest.fixture
def site(installed: XenSite) -> Iterator[XenSite]:
    """Each host's data, fresh for each test."""
    installed.set_data()
    yield installed
    installed.reset()
