"""Many VMs at once: each gets its disc from one helper, and libvirtd answers all the time."""

import os
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from live.aftermath import jobs, wait_until_delivered, wait_until_nothing_is_left

VMS = int(os.environ.get("VIRT_RECONTEXT_VMS", "100"))
MOVED = int(os.environ.get("VIRT_RECONTEXT_MOVED", "20"))
ROUNDS = int(os.environ.get("VIRT_RECONTEXT_ROUNDS", "200"))
AT_A_TIME = 5

# Of libvirt's answers and of the helper's memory, in seconds and KiB. Generous: what is far off is meant, and a hundred
# emulated guests that read their discs at once leave two cores little time for anything else.
SLOWEST_ANSWER = 15
MOST_MEMORY = 64 << 10


def field(status, name):
    """A number of /proc/PID/status."""
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith(name)))


@contextmanager
def watched(host):
    """During the block, asks libvirtd for its VMs without pause and looks at the helpers; the figures are in the result."""
    seen, stop = {"answers": [], "helpers": {}, "together": 0}, threading.Event()

    def ask():
        while not stop.is_set():
            begin = time.monotonic()
            host.virsh("list")
            seen["answers"].append(time.monotonic() - begin)

    def look():
        while not stop.is_set():
            alive = 0
            for process in host.path("/proc").glob("[0-9]*"):
                try:
                    if (process / "cmdline").read_bytes().split(b"\0")[1:2] == [b"deliver"]:
                        memory = field((process / "status").read_text("utf-8"), "VmHWM:")
                        seen["helpers"][process.name] = memory
                        alive += 1
                except (OSError, StopIteration):
                    pass
            seen["together"] = max(seen["together"], alive)
            time.sleep(0.02)

    threads = [threading.Thread(target=work) for work in (ask, look)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def tell(what, seconds, seen):
    """The figures, for a person; and that they are in bounds."""
    answers = seen["answers"]
    print(f"\n{what}: {seconds:.1f} s; virsh list: median {statistics.median(answers) * 1e3:.0f} ms, 95 % within "
          f"{statistics.quantiles(answers, n=20)[-1] * 1e3:.0f} ms, slowest {max(answers) * 1e3:.0f} ms; helpers: {len(seen['helpers'])}, at once {seen['together']}, "
          f"memory at most {max(seen['helpers'].values(), default=0)} KiB", flush=True)
    assert max(answers) < SLOWEST_ANSWER
    assert max(seen["helpers"].values(), default=0) < MOST_MEMORY


def running(site, host, number):
    """So many VMs that run on a host and have read their discs."""
    # They read only when they are told, so that a hundred leave the machine some time.
    vms = [site.guest(name=f"vm-{index}", memory_mib=96, mode="event", poll_ms=2000) for index in range(number)]
    for vm in vms:
        vm.create(host)
    for vm in vms:
        vm.wait_for_text(site.text(host), seconds=120)
    return vms


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
    assert seen["together"] <= 1, "one helper"
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
