"""Every further way in which a VM comes to run on a host: it has that host's disc in the end, and nothing is left over."""

import time

from lab import Cdrom
from live.aftermath import (CLEANED_UP, helper_runs, jobs, let_a_minute_pass, let_half_a_minute_pass,
                            wait_until_delivered, wait_until_nothing_is_left)
from live.site import IMAGES
from live.test_arrival import source_in_live_xml


def running_on(site, host, snapshot=None, **options):
    """A guest that runs on a host and has read its disc; of one, a snapshot was made before its start."""
    vm = site.guest(**options)
    vm.define(host)
    if snapshot:
        host.virsh("snapshot-create-as", vm.name, snapshot)
    vm.start(host)
    vm.wait_for_text(site.text(host))
    return vm


def test_an_offline_migration_leaves_nothing_and_its_first_start_has_the_disc(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.define(a)
    lab.migrate(a, b, vm.name, "--offline", "--persistent", "--undefinesource", live=False)
    let_half_a_minute_pass(site, b)
    wait_until_nothing_is_left(site, b, vm)
    vm.start(b)
    assert vm.wait_for("context").text == site.text(b)
    wait_until_delivered(site, b, vm)


def test_a_start_right_after_an_offline_migration_has_the_disc(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.define(a)
    lab.migrate(a, b, vm.name, "--offline", "--persistent", "--undefinesource", live=False)
    vm.start(b)
    assert vm.wait_for("context").text == site.text(b)
    wait_until_delivered(site, b, vm)


def test_a_vm_that_is_renamed_on_its_way_is_served_under_its_new_name(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    vm.migrate(b, "--dname", "renamed")
    vm.name = "renamed"
    assert vm.wait_for("context", since=mark).text == site.text(b)
    wait_until_delivered(site, b, vm)
    assert site.status(b, vm)["name"] == "renamed"
    wait_until_nothing_is_left(site, a, vm)


def test_another_path_given_at_the_migration_becomes_this_hosts(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    changed = vm.live_xml("--migratable").replace(vm.image, f"{IMAGES}/elsewhere.iso")
    (lab.shared / "changed.xml").write_text(changed, encoding="utf-8")
    mark = vm.mark()
    vm.migrate(b, "--xml", str(lab.shared / "changed.xml"))
    assert vm.wait_for("context", since=mark).text == site.text(b)
    wait_until_delivered(site, b, vm)
    assert source_in_live_xml(vm) == vm.image


def test_twenty_times_there_and_back_without_a_pause_ends_with_the_right_disc(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    # It moves on whether or not the helper is done with it.
    for target in (b, a) * 20:
        mark = vm.mark()
        vm.migrate(target)
    vm.wait_for_text(site.text(a), since=mark)
    wait_until_delivered(site, a, vm)
    wait_until_nothing_is_left(site, b, vm)


def test_a_vm_that_moves_on_before_it_was_told_is_told_where_it_ends(site, lab):
    a, b = lab.hosts
    site.configure(b, 'force_after = "never"\n')
    site.configure(a, 'force_after = "1s"\n')
    vm = site.guest(mode="hold")
    vm.create(a)
    vm.wait_for("medium")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for("event eject-request", since=mark)
    mark = vm.mark()
    vm.migrate(a)
    vm.wait_for("event media-change", since=mark)
    wait_until_delivered(site, a, vm)
    wait_until_nothing_is_left(site, b, vm)


def test_a_host_without_our_hook_takes_the_vm_and_the_next_host_gives_it_its_disc(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.remove("/etc/libvirt/hooks/qemu")
    vm.migrate(b)
    assert vm.state() == "running"
    mark = vm.mark()
    vm.migrate(a)
    vm.wait_for_text(site.text(a), since=mark)
    wait_until_delivered(site, a, vm)


def test_a_managed_save_comes_back_with_fresh_data(site, lab):
    a, _ = lab.hosts
    vm = running_on(site, a)
    a.virsh("managedsave", vm.name)
    site.lab.wait_for(lambda: site.status(a, vm) == {}, 10, "status to know nothing of a VM that does not run")
    site.set_endpoint(a, "https://moved.example")
    mark = vm.mark()
    a.virsh("start", vm.name)
    assert vm.wait_for("context", since=mark).text == "monitoring endpoint: https://moved.example"
    wait_until_delivered(site, a, vm)
    assert not [seen for seen in vm.said()[mark:] if seen.kind == "booted"], "it went on, it did not boot"


def test_a_snapshot_comes_back_with_fresh_data_and_its_guest_is_told(site, lab):
    a, _ = lab.hosts
    disk = lab.shared / "vm.qcow2"
    a.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "256M")
    disk.chmod(0o666)
    # It reads only when it is told.
    vm = running_on(site, a, snapshot="off", mode="event", poll_ms=2000, devices=f"""
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>""")
    a.virsh("snapshot-create-as", vm.name, "running")
    site.set_endpoint(a, "https://moved.example")
    mark = vm.mark()
    try:
        a.virsh("snapshot-revert", vm.name, "running")
        vm.wait_for("event media-change", since=mark)
        vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
        wait_until_delivered(site, a, vm)
        assert not [seen for seen in vm.said()[mark:] if seen.kind == "booted"], "it went on, it did not boot"
        a.virsh("snapshot-revert", vm.name, "off")
        let_half_a_minute_pass(site, a)
        lab.wait_for(lambda: not helper_runs(a), CLEANED_UP, "the helper to give up waiting for a VM that stays off")
        assert site.status(a, vm) == {} and jobs(site, a) == []
        assert a.path(vm.image).exists(), "the other snapshot names it"
    finally:
        for snapshot in ("running", "off"):
            a.virsh("snapshot-delete", vm.name, snapshot, "--metadata", check=False)
    let_a_minute_pass(site, a)
    site.recontext(a, "refresh", "--all")
    wait_until_nothing_is_left(site, a, vm)


def test_a_revert_that_the_hook_sees_as_a_start_is_told_by_the_next_refresh_and_by_no_other(site, lab):
    a, _ = lab.hosts
    disk = lab.shared / "revert.qcow2"
    a.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "256M")
    disk.chmod(0o666)
    # It reads only when it is told.
    vm = running_on(site, a, mode="event", poll_ms=2000, devices=f"""
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>""")
    a.virsh("snapshot-create-as", vm.name, "running")
    a.virsh("destroy", vm.name)
    site.set_endpoint(a, "https://moved.example")
    mark = vm.mark()
    try:
        # Of a VM that does not run there is no `release`, as there is none that says why before libvirt 10.5.
        a.virsh("snapshot-revert", vm.name, "running")
        told = site.wait_for_state(a, vm, "delivered")
        assert told["reason"] == "start" and "goes on from a snapshot and has not been told" in told["message"]
        assert "its guest goes on from a snapshot" in site.recontext(a, "doctor", check=False).stdout
        site.recontext(a, "refresh", "--all")
        vm.wait_for("event media-change", since=mark)
        vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
        wait_until_delivered(site, a, vm)
        assert "snapshot" not in site.status(a, vm)["message"]
        assert "the content is the same" in site.recontext(a, "refresh", "--all").stdout
    finally:
        a.virsh("snapshot-delete", vm.name, "running", "--metadata", check=False)


def test_an_external_snapshot_comes_back_with_fresh_data_whether_or_not_the_vm_ran(site, lab):
    a, _ = lab.hosts
    disk = lab.shared / "external.qcow2"
    a.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "64M")
    disk.chmod(0o666)
    vm = running_on(site, a, devices=f"""
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>""")
    a.virsh("snapshot-create-as", vm.name, "running", "--memspec", f"file={lab.shared}/memory,snapshot=external")
    try:
        site.set_endpoint(a, "https://moved.example")
        mark = vm.mark()
        a.virsh("snapshot-revert", vm.name, "running")
        vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
        # libvirt has put an overlay over the disc, and changes its medium only when it has been restarted.
        a.restart_libvirtd()
        wait_until_delivered(site, a, vm)
        assert source_in_live_xml(vm) == vm.image
        a.virsh("destroy", vm.name)
        assert site.status(a, vm) == {}
        mark = vm.mark()
        a.virsh("snapshot-revert", vm.name, "running")
        vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
        assert not [seen for seen in vm.said()[mark:] if seen.kind == "booted"], "it went on, it did not boot"
        a.virsh("destroy", vm.name)
    finally:
        a.virsh("snapshot-delete", vm.name, "running", "--metadata", check=False)
    # No snapshot names the disc any more. The overlays are libvirt's own, and it keeps them.
    for overlay in a.path(IMAGES).glob(f"{vm.uuid}.[0-9]*"):
        overlay.unlink()
    let_a_minute_pass(site, a)
    site.recontext(a, "refresh", "--all")
    wait_until_nothing_is_left(site, a, vm)


def test_a_reset_guest_finds_its_disc_again(site, lab):
    a, _ = lab.hosts
    vm = site.guest(on_reboot="restart")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    a.virsh("reset", vm.name)
    vm.wait_for("booted", since=mark, seconds=vm.boot_seconds)
    vm.wait_for_text(site.text(a), since=mark)
    wait_until_delivered(site, a, vm)


def test_a_vm_whose_qemu_dies_leaves_nothing(site, lab):
    a, _ = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    a.run("kill", "-KILL", a.read(f"/run/libvirt/qemu/{vm.name}.pid").strip())
    wait_until_nothing_is_left(site, a, vm)


def test_a_copy_of_a_vm_gets_a_disc_of_its_own(site, lab):
    a, _ = lab.hosts
    vm = running_on(site, a)
    copy = site.guest(name="copy")
    copy.cdrom = Cdrom(vm.image)
    begin = time.time()
    copy.create(a)
    copy.wait_for_text(site.text(a))
    site.wait_for_state(a, copy, "delivered")
    assert source_in_live_xml(copy) == copy.image
    assert not [event for event in site.tray_events(a, vm) if event.time > begin], "the original is not touched"
