"""A VM that was announced and does not come: it goes on where it was, and the other host forgets it."""

import subprocess
from contextlib import contextmanager

import pytest

from lab import Cdrom, LabError
from live.aftermath import jobs, wait_until_delivered, wait_until_nothing_is_left


@contextmanager
def while_its_memory_is_copied(site, lab, vm):
    """Begins a migration too slow to end, and gives its process once the other host has the paused VM."""
    a, b = lab.hosts
    a.virsh("migrate-setspeed", vm.name, "1")
    process = a.popen("virsh", "-q", "-c", "qemu:///system", "migrate", "--live", vm.name,
                      f"qemu+tcp://{b.name}/system", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        lab.wait_for(lambda: "paused" in b.virsh("domstate", vm.name, check=False).stdout, 30, "the VM to be awaited")
        lab.wait_for(lambda: "Memory remaining" in a.virsh("domjobinfo", vm.name, check=False).stdout, 30,
                     "its memory to be copied")
        yield process
    finally:
        process.kill()
        process.communicate()


def qemu(host, vm):
    """The process of a VM on a host, as that host numbers it."""
    return host.read(f"/run/libvirt/qemu/{vm.name}.pid").strip()


@pytest.fixture(scope="module")
def site(lasting_site):
    """One site for all tests here: after each, the guest that did not come is where it was, and the other host is clean."""
    return lasting_site


@pytest.fixture
def vm(site, lab):
    """A guest that runs on the first host and has read its disc; of an earlier test's, if it is still there."""
    for left in list(lab.guests):
        if left.state() == "running":
            return left
        left.remove()
    made = site.guest()
    made.create(lab.hosts[0])
    made.wait_for_text(site.text(lab.hosts[0]))
    wait_until_delivered(site, lab.hosts[0], made)
    return made


def went_on(site, lab, vm, mark):
    """The guest still runs on the first host, with that host's disc, and heard of nothing."""
    a, b = lab.hosts
    assert vm.state() == "running"
    assert [seen.rest for seen in vm.said()[mark:]] == []
    wait_until_nothing_is_left(site, b, vm)
    wait_until_delivered(site, a, vm)
    assert vm.last("context").text == site.text(a)


def test_a_cancelled_migration_leaves_nothing(site, lab, vm):
    a, _ = lab.hosts
    mark = vm.mark()
    with while_its_memory_is_copied(site, lab, vm) as process:
        a.virsh("domjobabort", vm.name)
        assert process.wait(60) != 0
    went_on(site, lab, vm, mark)


def test_a_target_whose_qemu_dies_keeps_nothing(site, lab, vm):
    mark = vm.mark()
    with while_its_memory_is_copied(site, lab, vm) as process:
        lab.hosts[1].run("kill", "-KILL", qemu(lab.hosts[1], vm))
        assert process.wait(60) != 0
    went_on(site, lab, vm, mark)


def test_a_source_whose_qemu_dies_leaves_nothing_anywhere(site, lab, vm):
    a, b = lab.hosts
    with while_its_memory_is_copied(site, lab, vm) as process:
        a.run("kill", "-KILL", qemu(a, vm))
        assert process.wait(60) != 0
    for host in (a, b):
        wait_until_nothing_is_left(site, host, vm)


def test_a_migration_that_libvirt_refuses_leaves_nothing(site, lab, vm):
    a, b = lab.hosts
    mark = vm.mark()
    more = vm.live_xml("--migratable").replace("<vcpu placement='static'>1<", "<vcpu placement='static'>2<")
    assert more != vm.live_xml("--migratable")
    (lab.shared / "more.xml").write_text(more, encoding="utf-8")
    refused = lab.migrate(a, b, vm.name, "--xml", str(lab.shared / "more.xml"), check=False)
    assert refused.result.returncode != 0
    went_on(site, lab, vm, mark)


def test_a_vm_of_the_same_uuid_that_runs_there_keeps_its_disc(site, lab, vm):
    a, b = lab.hosts
    other = site.guest()
    other.uuid = vm.uuid
    other.cdrom = Cdrom(other.image)
    other.create(b)
    other.wait_for_text(site.text(b))
    mark = vm.mark()
    assert lab.migrate(a, b, vm.name, check=False).result.returncode != 0
    assert vm.state() == other.state() == "running"
    lab.wait_for(lambda: jobs(site, b) == [], 40, "the helper to be done")
    wait_until_delivered(site, b, other)
    assert other.last("context").text == site.text(b)
    assert vm.said()[mark:] == []
    b.virsh("destroy", other.name)
    lab.guests.remove(other)
    went_on(site, lab, vm, mark)


def test_a_target_that_cannot_be_reached_is_told_nothing(site, lab, vm):
    a, b = lab.hosts
    mark = vm.mark()
    with pytest.raises(LabError):
        a.virsh("migrate", "--live", vm.name, "qemu+tcp://nowhere.invalid/system")
    went_on(site, lab, vm, mark)
