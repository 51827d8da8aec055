"""A guest starts, migrates, is saved and restored, and has the data of the host it runs on each time."""

import pytest

from live.site import IMAGES, is_tainted

BUSES = ["ide", "sata", "scsi"]


def source_in_live_xml(vm):
    """The path of the disc in the drive, as libvirt sees it now."""
    return vm.host.run("xmllint", "--xpath", "string(//disk[@device='cdrom']/source/@file)", "-",
                       input=vm.live_xml()).stdout.strip()


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_has_each_hosts_data_from_its_first_read_on(site, lab, bus):
    a, b = lab.hosts
    vm = site.guest(bus=bus)
    vm.create(a)
    assert vm.wait_for("context").text == site.text(a), "already the first boot has it"
    for target in (b, a):
        # It may still be about to read its disc once more, after the media change.
        vm.wait_until_quiet()
        mark = vm.mark()
        vm.migrate(target)
        assert vm.wait_for("context", since=mark).text == site.text(target), "not one read of the other host's"
        vm.wait_for("event media-change", since=mark)
        status = site.wait_for_state(target, vm, "delivered")
        assert status["reason"] == "migrate"
        facts = vm.last("context").facts
        assert (facts["generation"], facts["reason"]) == (str(status["generation"]), "migrate")
    assert vm.state() == "running"


def test_a_guest_that_reads_only_when_told_hears_of_it(site, lab):
    a, b = lab.hosts
    vm = site.guest(mode="event", poll_ms=2000)
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for_text(site.text(b), since=mark)


@pytest.mark.parametrize("flags", [
    "--p2p", "--p2p --tunnelled", "--persistent --undefinesource", "--postcopy --postcopy-after-precopy"])
def test_each_kind_of_live_migration_delivers(site, lab, flags):
    a, b = lab.hosts
    vm = site.guest()
    vm.define(a)
    vm.start(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.migrate(b, *flags.split())
    vm.wait_for_text(site.text(b), since=mark)
    site.wait_for_state(b, vm, "delivered")


def test_a_guest_that_migrates_while_paused_has_it_when_it_goes_on(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    a.virsh("suspend", "vm")
    mark = vm.mark()
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    assert vm.state() == "paused"
    b.virsh("resume", "vm")
    assert vm.wait_for("context", since=mark).text == site.text(b)


def test_a_canonical_path_leaves_the_xml_alone(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    before = vm.live_xml("--migratable")
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    assert vm.live_xml("--migratable") == before
    assert not is_tainted(vm)


def test_a_host_with_another_image_directory_gets_its_own_path(site, lab):
    a, b = lab.hosts
    site.configure(b, f'image_dir = "{IMAGES}-b"\n')
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    for target, images in ((b, f"{IMAGES}-b"), (a, IMAGES)):
        mark = vm.mark()
        vm.migrate(target)
        assert vm.wait_for("context", since=mark).text == site.text(target)
        site.wait_for_state(target, vm, "delivered")
        assert source_in_live_xml(vm) == f"{images}/{vm.uuid}.iso"


def test_a_saved_guest_gets_the_data_of_the_host_that_restores_it(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.save(f"{lab.shared}/vm.save")
    vm.restore(b, f"{lab.shared}/vm.save")
    assert vm.wait_for("context", since=mark).text == site.text(b)
    assert site.wait_for_state(b, vm, "delivered")["reason"] == "restore"


def test_what_a_vm_leaves_behind_is_removed(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    lab.wait_for(lambda: not any(vm.uuid in str(path) for path in site.files_of_ours(a)), 10,
                 "the source to forget the VM")
    b.virsh("destroy", "vm")
    lab.wait_for(lambda: not any(vm.uuid in str(path) for path in site.files_of_ours(b)), 10,
                 "the target to forget the VM")
