"""Faults in us while a VM arrives: it runs on, libvirtd is not held up, and the disc comes when the fault is gone."""

import threading
import time

from live.aftermath import wait_until_delivered
from live.site import STATE


def asked_to_let_go(site, lab, config):
    """A guest that holds its disc has arrived on the second host, and its delivery there, so configured, is under way."""
    a, b = lab.hosts
    site.configure(b, config)
    vm = site.guest(mode="hold")
    vm.create(a)
    vm.wait_for("medium")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for("event eject-request", since=mark)
    return vm, mark


def test_a_daemon_that_is_killed_at_the_media_change_delays_only(site, lab):
    b = lab.hosts[1]
    vm, _ = asked_to_let_go(site, lab, 'force_after = "8s"\n')
    b.kill_libvirtd()
    assert vm.state() == "running"
    site.wait_for_state(b, vm, "delivered", 60)
    assert vm.state() == "running"


def test_a_configuration_that_breaks_during_a_delivery_costs_only_time(site, lab):
    b = lab.hosts[1]
    vm, mark = asked_to_let_go(site, lab, 'force_after = "never"\n')
    site.configure(b, "force_after = [\n")
    lab.wait_for(lambda: "config.toml" in site.status(b, vm).get("message", ""), 60, "status to name the broken file")
    assert vm.state() == "running"
    site.configure(b, 'force_after = "1s"\n')
    site.recontext(b, "refresh", vm.name, check=False)
    site.wait_for_state(b, vm, "delivered", 60)
    vm.wait_for("event media-change", since=mark)
    assert vm.state() == "running"


def test_a_stuck_hook_holds_libvirtd_up_no_longer_than_its_deadline(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.run("mkdir", "-p", "-m", "700", STATE)
    stuck = b.popen("flock", f"{STATE}/{vm.uuid}.lock", "sleep", "600", start_new_session=True)
    lab.wait_for(lambda: b.path(f"{STATE}/{vm.uuid}.lock").exists(), 10, "the lock to be taken")
    took, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            begin = time.monotonic()
            b.virsh("list")
            took.append(time.monotonic() - begin)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        migration = vm.migrate(b)
    finally:
        stop.set()
        asking.join()
        b.run("pkill", "-KILL", "-x", "sleep", check=False)
        stuck.kill()
        stuck.communicate()
    assert vm.state() == "running"
    # migrate until its deadline of 10 s, prepare and started until theirs of 4 s, and the migration itself.
    assert migration.seconds < 60
    assert max(took) < 8, "libvirtd answers, at the latest when a hook's time is over"
    mark = vm.mark()
    site.recontext(b, "refresh", vm.name)
    vm.wait_for_text(site.text(b), since=mark)
    wait_until_delivered(site, b, vm)
