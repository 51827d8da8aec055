"""doctor on real hosts: all good where all is well, and the fault named where one is."""

import json
import os
from pathlib import Path

import pytest

from lab import Cdrom, make_disc
from lab.debian_guest import DebianGuest
from live.site import CONFIG, IMAGES

HOOK = "/etc/libvirt/hooks/qemu"


def examine(site, host):
    """What doctor finds: a list of its objects. Its exit code must fit them, and it may change no file."""
    before = files(host)
    said = site.recontext(host, "doctor", "--json", check=False)
    assert files(host) == before
    found = json.loads(said.stdout)
    assert said.stderr == ""
    assert said.returncode == any(one["level"] == "bad" for one in found)
    return found


def faults(found):
    return [(one["level"], one["check"], one["vm"], one["message"]) for one in found if one["level"] != "good"]


def files(host):
    """All that may not change: where hooks, configuration, images and states lie."""
    told = {}
    for place in ("/etc", "/run/libvirt/recontext", "/var/lib/libvirt/recontext", "/usr/sbin"):
        for directory, names, further in os.walk(host.path(place)):
            for name in [*names, *further]:
                path = Path(directory, name)
                status = path.lstat()
                told[path] = (status.st_ino, status.st_mode, status.st_uid, status.st_size, status.st_mtime_ns,
                              status.st_ctime_ns)
    return told


@pytest.fixture
def seen(site, lab):
    """Daemons that started when the hook was there, as after a boot: a reload cannot be seen from outside."""
    for host in lab.hosts:
        host.restart_libvirtd()


@pytest.mark.usefixtures("seen")
def test_a_healthy_host_with_a_running_vm_is_all_good(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    lab.wait_for(lambda: not site.files_of_ours(a), 10, "the source to forget the VM")
    for host in (a, b):
        found = examine(site, host)
        assert faults(found) == []
        assert {"hook", "daemon", "libvirt", "images", "content", "vm"} <= {one["check"] for one in found}
    (of_vm,) = [one for one in found if one["check"] == "vm"]
    assert of_vm["vm"] == "vm" and "in the drive sda, delivered (migrate, " in of_vm["message"]
    (last,) = site.recontext(b, "doctor").stdout.splitlines()
    text = site.recontext(b, "doctor", "--verbose").stdout.splitlines()
    assert text[-1] == last == f"{len(found)} good, 0 warning, 0 bad"
    assert all(line.startswith("good: ") for line in text[:-1])


@pytest.mark.usefixtures("seen")
def test_a_defined_vm_that_was_enabled_is_all_good(site, lab, guest):
    a, _ = lab.hosts
    vm = guest(bus="plug", cdrom=None)
    vm.define(a)
    site.recontext(a, "enable", vm.name)
    assert faults(examine(site, a)) == []
    vm.start(a)
    vm.wait_for_text(site.text(a))
    assert faults(examine(site, a)) == []


@pytest.mark.parametrize(("change", "fault"), [
    (lambda host: host.remove(HOOK), "our hook is not in /etc/libvirt/hooks"),
    (lambda host: host.path(HOOK).chmod(0o644), f"{HOOK} is not executable"),
], ids=["missing", "not-executable"])
def test_a_hook_that_libvirtd_does_not_call_is_bad(site, lab, change, fault):
    a, _ = lab.hosts
    change(a)
    bad = [one for one in examine(site, a) if one["level"] == "bad"]
    assert [one["check"] for one in bad] == ["hook"] and fault in bad[0]["message"]
    vm = site.guest()
    vm.create(a)
    vm.wait_for("no disc")


def test_a_hook_that_appeared_after_the_daemon_started_is_told_until_it_was_called(site, lab, programs):
    a, _ = lab.hosts
    a.remove(HOOK)
    a.restart_libvirtd()
    a.run("cp", str(programs.hook), HOOK)
    told = [one for one in examine(site, a) if one["level"] != "good"]
    assert [one["check"] for one in told] == ["daemon"]
    assert "started before the hook was installed; unless it has been reloaded since" in told[0]["message"]
    assert told[0]["remedy"] == "systemctl reload libvirtd"
    # It is right: the daemon does not call it.
    vm = site.guest()
    vm.create(a)
    vm.wait_for("no disc")
    vm.remove()

    a.reload()
    vm = site.guest(name="next")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    assert faults(examine(site, a)) == []

    vm.remove()
    a.restart_libvirtd()
    assert faults(examine(site, a)) == []


def test_each_fault_of_a_vm_is_named(site, lab):
    a, _ = lab.hosts
    disc = "/var/lib/libvirt/images/foreign.iso"
    make_disc(a.path(disc), "foreign")
    usb, deleted, foreign = site.guest(name="usb", bus="usb"), site.guest(name="deleted"), site.guest(name="foreign")
    usb.cdrom = Cdrom(disc)
    for vm in (usb, deleted, foreign):
        vm.create(a)
    deleted.wait_for_text(site.text(a))
    foreign.wait_for_text(site.text(a))
    assert {fault[2] for fault in faults(examine(site, a))} == {"usb"}
    a.path(deleted.image).unlink()
    a.virsh("change-media", foreign.name, "sda", disc, "--update", "--live", "--force")
    found = faults(examine(site, a))
    assert {(level, check, vm) for level, check, vm, _ in found if level == "bad"} == {
        ("bad", "vm", "usb"), ("bad", "vm", "deleted"), ("bad", "vm", "foreign")}
    said = {vm: message for level, _, vm, message in found if level == "bad"}
    assert "its image" in said["deleted"] and "is missing" in said["deleted"]
    assert disc in said["foreign"]
    assert "usb" in said["usb"]

    # What it says is to be done is enough.
    for vm in (deleted, foreign):
        (remedy,) = {one["remedy"].split(",")[0] for one in examine(site, a)
                     if one["vm"] == vm.name and one["level"] == "bad"}
        assert a.run(*remedy.split(), "--force").returncode == 0
    assert {fault[2] for fault in faults(examine(site, a))} == {"usb"}


def test_what_keeps_the_next_disc_from_being_made_is_told_before_it_is_needed(site, lab):
    a, _ = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    a.write(f"{CONFIG}/context/endpoint.j2", "{{ facts.no.such.fact }}\n")
    a.path(IMAGES).chmod(0o700)
    bad = {(check, vm): message for level, check, vm, message in faults(examine(site, a)) if level == "bad"}
    assert set(bad) == {("images", None), ("vm", "vm")}
    assert "endpoint.j2, line 1" in bad["vm", "vm"]


@pytest.mark.usefixtures("seen")
def test_a_daemon_that_does_not_run_is_told_and_the_rest_all_the_same(site, lab):
    a, _ = lab.hosts
    site.configure(a, 'uri = "qemu+unix:///system?socket=/run/nowhere"\n')
    found = examine(site, a)
    assert [fault[:2] for fault in faults(found)] == [("bad", "libvirt")]
    assert "configuration" in {one["check"] for one in found}


def test_systemd_tells_when_a_daemon_was_reloaded_as_doctor_believes(lab):
    a, _ = lab.hosts
    vm = DebianGuest(lab, "debian")
    vm.create(a)
    unit = "/run/systemd/system/libvirtd.service"
    changed = "systemctl show --property=StateChangeTimestampMonotonic libvirtd.service"

    def after(command):
        return int(vm.run(f"{command} && {changed}").strip().removeprefix("StateChangeTimestampMonotonic="))

    try:
        vm.run(f"printf '[Service]\\nExecStart=/bin/sleep inf\\nExecReload=/bin/kill -WINCH $MAINPID\\n' >{unit}")
        started = after("systemctl daemon-reload && systemctl start libvirtd")
        reloaded = after("systemctl reload libvirtd")
        assert reloaded > started
        # Nothing else counts as one.
        assert after("systemctl daemon-reload && systemctl daemon-reexec && kill -WINCH $(pidof sleep)") == reloaded
    finally:
        vm.remove()
