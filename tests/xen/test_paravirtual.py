"""A paravirtualised guest: its disc is right from each start and restore on. While it runs, only a disk can change."""

from lab.dom0 import SHARED
from live.aftermath import wait_until_nothing_is_left

SAVED = "/var/lib/libvirt/vm.save"


def test_a_guest_has_the_data_of_its_start_and_of_each_restore(site, lab):
    a, _ = lab.hosts
    vm = site.pv()
    vm.create(a)
    assert vm.wait_for("context").text == site.text(a), "its first read"
    vm.save(SAVED)
    site.set_endpoint(a, "https://moved.example")
    mark = vm.mark()
    vm.restore(a, SAVED)
    seen = vm.wait_for("context", since=mark)
    assert seen.text == "monitoring endpoint: https://moved.example"
    assert [line.kind for line in vm.said()].count("booted") == 1, "it went on"
    vm.remove()
    wait_until_nothing_is_left(site, a, vm)


def test_a_guest_that_is_restored_elsewhere_has_the_data_of_that_host(site, lab):
    a, b = lab.hosts
    vm = site.pv()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.save(SAVED)
    wait_until_nothing_is_left(site, a, vm)
    # libxl itself cannot write it to what both hosts see.
    a.run("mv", SAVED, f"{SHARED}/vm.save")
    b.run("mv", f"{SHARED}/vm.save", SAVED)
    mark = vm.mark()
    vm.restore(b, SAVED)
    assert vm.wait_for("context", since=mark).text == site.text(b)
    vm.remove()
    wait_until_nothing_is_left(site, b, vm)


def test_a_refresh_says_that_it_takes_effect_at_the_next_start_and_harms_nothing(site, lab):
    a, _ = lab.hosts
    vm = site.pv()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    site.set_endpoint(a, "https://later.example")
    refreshed = site.recontext(a, "refresh", vm.name, check=False)
    assert "next start" in refreshed.stdout + refreshed.stderr
    assert vm.state() == "running"
    vm.save(SAVED)
    vm.restore(a, SAVED)
    assert vm.wait_for("context", since=mark).text == "monitoring endpoint: https://later.example"
    assert [line for line in vm.said()[mark:] if line.kind != "context"] == [], "and was never without a disc"


def test_a_context_on_a_disk_changes_while_the_guest_runs(site, lab):
    a, _ = lab.hosts
    vm = site.pv_with_disk()
    vm.create(a)
    assert vm.wait_for("context").text == site.text(a)
    mark = vm.mark()
    site.set_endpoint(a, "https://moved.example")
    site.recontext(a, "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
    assert vm.state() == "running"
    assert site.status(a, vm)["state"] == "delivered"
    vm.remove()
    wait_until_nothing_is_left(site, a, vm)
    assert a.run("losetup", "-a").stdout == "", "nor a loop device"
