"""What the live tests share: one lab for all of them, guests that vanish after each test, and evidence on failure."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from lab import Guest, Lab  # noqa: E402 - found by the path above
from live.site import Programs, Site  # noqa: E402

DIST = Path(__file__).resolve().parents[2] / "target" / "dist"


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """Two hosts that answer."""
    with Lab() as running:
        yield running


@pytest.fixture
def guest(lab: Lab) -> Iterator[Callable[..., Guest]]:
    """Makes guests, with Guest's arguments; they are gone after the test."""
    def make(name: str = "vm", **options) -> Guest:
        return Guest(lab, name, **options)

    yield make
    for made in list(lab.guests):
        made.remove()


@pytest.fixture
def calls(lab: Lab) -> Iterator[Callable]:
    """A hook on both hosts that only notes its calls; the fixture returns what a host's hook was called for."""
    notes = "/run/hook-calls"
    stub = lab.directory / "stub-hook"
    stub.write_text(f'#!/bin/sh\necho "$1 $2 $3 $4" >>{notes}\n', encoding="ascii")
    for host in lab.hosts:
        host.install(stub)
        host.write(notes, "")
    yield lambda host: host.read(notes).splitlines()
    for host in lab.hosts:
        host.remove("/etc/libvirt/hooks/qemu")


@pytest.fixture(scope="session")
def programs() -> Programs:
    """The programs to test: as built into target/dist, or from $VIRT_RECONTEXT_DIST."""
    dist = Path(os.environ.get("VIRT_RECONTEXT_DIST", DIST))
    found = Programs(dist / "virt-recontext-hook", dist / "virt-recontext")
    for program in found:
        if not os.access(program, os.X_OK):
            pytest.fail(f"{program} is missing: run packaging/build, or name its directory in VIRT_RECONTEXT_DIST",
                        pytrace=False)
    return found


@contextmanager
def fresh_site(lab: Lab, programs: Programs, make_guest: Callable[..., Guest]) -> Iterator[Site]:
    """Our programs and each host's data on both hosts; afterwards nothing of them, and no guest."""
    made = Site(lab, make_guest)
    made.install(programs)
    yield made
    for left in list(lab.guests):
        left.remove()
    made.remove()


@pytest.fixture
def site(lab: Lab, programs: Programs, guest: Callable[..., Guest]) -> Iterator[Site]:
    """Our programs and each host's data on both hosts, fresh for each test."""
    with fresh_site(lab, programs, guest) as made:
        yield made


@pytest.fixture(scope="module")
def lasting_site(lab: Lab, programs: Programs) -> Iterator[Site]:
    """The same for all tests of a file, whose guest outlives them: to boot one takes longer than most of these tests."""
    with fresh_site(lab, programs, lambda name="vm", **options: Guest(lab, name, **options)) as made:
        yield made


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo):
    """Adds the ends of all consoles and logs to a failed test's report, and tells in a line what failed.

    The report comes when all tests have ended; a run that is cut off has none.
    """
    outcome = yield
    report = outcome.get_result()
    running = getattr(item, "funcargs", {}).get("lab")
    if report.failed and report.when == "call" and running is not None:
        report.sections.append(("lab", running.evidence()))
    if report.failed and call.excinfo is not None:
        why = call.excinfo.exconly().splitlines()[0]
        item.config.get_terminal_writer().line(f"\n{item.nodeid}: {report.when}: {why}")


def pytest_sessionstart() -> None:
    if shutil.which("virsh") is None:
        pytest.exit("run tests/packages first", returncode=2)


@pytest.fixture
def hosts(site: Site, lab: Lab) -> Iterator[Site]:
    """The site; rules and foreign hooks are gone after the test."""
    yield site
    for host in lab.hosts:
        host.remove("/etc/libvirt/hooks/qemu.d")
        host.run("rm", "-rf", "/var/lib/libvirt/site-a", "/var/lib/libvirt/site-b")
