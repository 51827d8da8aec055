"""Many VMs at once: each gets its disc from one helper, and libvirtd answers all the time."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from live.aftermath import jobs, wait_until_delivered, wait_until_nothing_is_left
from live.selected import name, select, wait_until_all_have_read
from load.watching import running, watched

VMS = int(os.environ.get("VIRT_RECONTEXT_VMS", "100"))
MOVED = int(os.environ.get("VIRT_RECONTEXT_MOVED", "20"))
ROUNDS = int(os.environ.get("VIRT_RECONTEXT_ROUNDS", "200"))
AT_A_TIME = 5

# Of libvirt's answers and of the helper's memory, in seconds and KiB. Generous: what is far off is meant, and a hundred
# emulated guests that read their discs at once leave two cores little time for anything else.
SLOWEST_ANSWER = 15
MOST_MEMORY = 64 << 10


def tell(what, seconds, seen):
    """The figures, for a person; and that they are in bounds."""
    print(f"\n{what}: {seconds:.1f} s; {seen.told()}", flush=True)
    assert max(seen.answers) < SLOWEST_ANSWER
    assert seen.memory < MOST_MEMORY


def test_refresh_of_all_vms_is_one_helpers_work(site, lab):
    a, _ = lab.hosts
    vms = running(site, a, VMS)
    site.set_endpoint(a, "https://changed.example")
    marks = [vm.mark() for vm in vms]
    begin = time.monotonic()
    with watched(a) as seen:
        a.run("virt-recontext", "refresh", "--all", timeout=600)
        took = time.monotonic() - begin
        for vm, mark in zip(vms, marks):
            vm.wait_for_text("monitoring endpoint: https://changed.example", since=mark, seconds=300)
    tell(f"refresh of {VMS} VMs", took, seen)
    assert seen.together <= 1, "one helper"
    assert jobs(site, a) == []


def test_an_evacuation_delivers_every_vm(site, lab):
    a, b = lab.hosts
    vms = running(site, a, MOVED)
    marks = [vm.mark() for vm in vms]
    begin = time.monotonic()
    with watched(b) as seen, ThreadPoolExecutor(AT_A_TIME) as movers:
        list(movers.map(lambda vm: vm.migrate(b), vms))
        took = time.monotonic() - begin
        for vm, mark in zip(vms, marks):
            vm.wait_for_text(site.text(b), since=mark, seconds=120)
    tell(f"evacuation of {MOVED} VMs, {AT_A_TIME} at a time", took, seen)
    for vm in vms:
        wait_until_delivered(site, b, vm)
        wait_until_nothing_is_left(site, a, vm)
    assert not list(Path(b.path("/run/libvirt/recontext/jobs")).glob("*.json"))


def test_a_soak_of_migrations_loses_none(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    begin = time.monotonic()
    for number in range(ROUNDS):
        target = (b, a)[number % 2]
        mark = vm.mark()
        vm.migrate(target)
        assert vm.wait_for("context", since=mark).text == site.text(target)
        wait_until_delivered(site, target, vm)
    print(f"\n{ROUNDS} migrations of one VM, each delivered: {time.monotonic() - begin:.0f} s", flush=True)
    wait_until_nothing_is_left(site, a if vm.host is b else b, vm)


def test_selected_vms_that_start_at_once_and_are_evacuated_are_all_delivered(site, lab, guest):
    a, b = lab.hosts
    for host in lab.hosts:
        select(site, host)
    vms = [guest(name(number), cdrom=None, bus="plug", memory_mib=96) for number in range(MOVED)]
    for vm in vms:
        vm.define(a)
        # They start at once, so each takes as long as all.
        vm.boot_seconds *= MOVED / 2
    begin = time.monotonic()
    with watched(a) as seen, ThreadPoolExecutor(MOVED) as starters:
        list(starters.map(lambda vm: vm.start(a), vms))
        latest = max(wait_until_all_have_read(site, a, vms))
        took = time.monotonic() - begin
    tell(f"start of {MOVED} selected VMs at once, the last read {latest:.1f} s after its init", took, seen)
    marks = [vm.mark() for vm in vms]
    begin = time.monotonic()
    with watched(b) as seen, ThreadPoolExecutor(AT_A_TIME) as movers:
        list(movers.map(lambda vm: vm.migrate(b, "--persistent", "--undefinesource"), vms))
        took = time.monotonic() - begin
        for vm, mark in zip(vms, marks):
            vm.wait_for_text(site.text(b), since=mark, seconds=120)
    tell(f"evacuation of {MOVED} selected VMs, {AT_A_TIME} at a time", took, seen)
    for vm in vms:
        wait_until_delivered(site, b, vm)
        assert vm.live_xml().count("device='cdrom'") == 1
        wait_until_nothing_is_left(site, a, vm)
