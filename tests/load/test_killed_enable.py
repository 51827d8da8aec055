"""`enable` and its helper are killed at each of their calls to libvirt, from the first to the last."""

import itertools

import pytest

from live.killed import ANY, disabled, enable_killed, enabled

# So many there are at least: those of the changes alone are three and two.
AT_LEAST = 10


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("verb", ["enable", "deliver"])
def test_a_second_enable_uses_what_one_that_was_killed_at_any_call_has_left(site, lab, guest, verb, when):
    a, _ = lab.hosts
    vm = guest(cdrom=None, bus="plug")
    vm.define(a)
    vm.start(a)
    for number in itertools.count(1):
        was_killed = enable_killed(lab, a, vm, verb, ANY, number, when)
        enabled(site, a, vm, f"https://{verb}-{number}-{when}.example")
        disabled(site, a, vm)
        if not was_killed:
            break
    print(f"\n{verb}: killed at each of {number - 1} calls", flush=True)
    assert number > AT_LEAST
