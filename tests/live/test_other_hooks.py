"""Other people's hooks, before and after ours: each does its own work, and what they refuse we leave nothing of."""

import shutil

import pytest

from live.aftermath import let_half_a_minute_pass, wait_until_delivered, wait_until_nothing_is_left
from live.site import IMAGES
from live.test_arrival import source_in_live_xml

HOOKS = "/etc/libvirt/hooks"

# What each does with the XML of a VM that arrives; in everything else it is content.
PASSES_ON = "cat"
CHANGES = "sed 's|<on_crash>destroy</on_crash>|<on_crash>restart</on_crash>|'"
SAYS_NOTHING = "cat >/dev/null"
FAILS = "cat >/dev/null; echo 'not on my host' >&2; exit 1"
PRINTS_GARBAGE = "cat >/dev/null; echo '<domain><garbage'"


def script(on_arrival):
    """A foreign hook."""
    return f'#!/bin/sh\nif [ "$2" = migrate ]; then {on_arrival}; else cat >/dev/null; fi\n'


@pytest.fixture
def hooks(site, lab, programs):
    """Puts foreign hooks on the second host, by their names, with ours as qemu.d/50-virt-recontext."""
    host = lab.hosts[1]

    def install(**foreign):
        host.remove(f"{HOOKS}/qemu")
        ours = host.path(f"{HOOKS}/qemu.d/50-virt-recontext")
        ours.parent.mkdir(exist_ok=True)
        shutil.copy(programs.hook, ours)
        ours.chmod(0o755)
        for place, on_arrival in foreign.items():
            name = {"main": "qemu", "before": "qemu.d/10-before", "after": "qemu.d/90-after"}[place]
            host.write(f"{HOOKS}/{name}", script(on_arrival), 0o755)
        host.reload()
        return host

    yield install
    host.remove(f"{HOOKS}/qemu.d")
    host.remove(f"{HOOKS}/qemu")


@pytest.mark.parametrize(("place", "on_arrival"), [
    ("main", SAYS_NOTHING), ("main", PASSES_ON), ("main", CHANGES), ("before", CHANGES), ("after", CHANGES),
    ("after", SAYS_NOTHING)])
def test_what_others_change_and_what_we_change_both_arrive(site, lab, hooks, place, on_arrival):
    a, _ = lab.hosts
    b = hooks(**{place: on_arrival})
    site.configure(b, f'image_dir = "{IMAGES}-b"\n')
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == site.text(b)
    wait_until_delivered(site, b, vm)
    assert source_in_live_xml(vm) == f"{IMAGES}-b/{vm.uuid}.iso"
    assert ("<on_crash>restart" in vm.live_xml()) == (on_arrival == CHANGES)


@pytest.mark.parametrize("place", ["main", "before", "after"])
@pytest.mark.parametrize("on_arrival", [FAILS, PRINTS_GARBAGE], ids=["fails", "garbage"])
def test_what_others_refuse_stays_where_it_was(site, lab, hooks, place, on_arrival):
    a, _ = lab.hosts
    b = hooks(**{place: on_arrival})
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    refused = lab.migrate(a, b, vm.name, check=False).result
    assert refused.returncode != 0
    assert on_arrival != FAILS or "not on my host" in refused.stderr
    assert vm.state() == "running"
    assert vm.said()[mark:] == []
    let_half_a_minute_pass(site, b)
    wait_until_nothing_is_left(site, b, vm)
