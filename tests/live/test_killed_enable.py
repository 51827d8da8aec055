"""`enable` is killed at one of its changes: the next one goes on from there, and `disable` ends it. tests/load kills it at each
of its calls."""

import pytest

from lab import Guest
from live.killed import ATTACH_DEVICE, SET_METADATA, disabled, enable_killed, enabled

# The program that makes the change, the procedure, and which call of it that is.
CHANGES = {
    "controller-into-definition": ("enable", ATTACH_DEVICE, 1),
    "drive-into-definition": ("enable", ATTACH_DEVICE, 2),
    "opt-in": ("enable", SET_METADATA, 1),
    "controller-into-vm": ("deliver", ATTACH_DEVICE, 1),
    "drive-into-vm": ("deliver", ATTACH_DEVICE, 2),
}


@pytest.fixture(scope="module")
def vm(lasting_site, lab) -> Guest:
    """One that has never heard of a context; after each test it is so again."""
    made = Guest(lab, "vm", cdrom=None, bus="plug")
    made.define(lab.hosts[0])
    made.start(lab.hosts[0])
    return made


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_second_enable_uses_what_one_that_was_killed_at_a_change_has_left(lasting_site, lab, vm, change, when):
    a = lab.hosts[0]
    assert enable_killed(lab, a, vm, *CHANGES[change], when), "it makes no such change"
    enabled(lasting_site, a, vm, f"https://{change}-{when}.example")
    disabled(lasting_site, a, vm)


@pytest.mark.parametrize("change", CHANGES)
def test_disable_takes_away_what_an_enable_that_was_killed_at_a_change_has_left(lasting_site, lab, vm, change):
    a = lab.hosts[0]
    assert enable_killed(lab, a, vm, *CHANGES[change], "before"), "it makes no such change"
    disabled(lasting_site, a, vm)
