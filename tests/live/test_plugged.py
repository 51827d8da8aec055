"""A VM that runs without a drive for its context takes part at once: one is plugged in."""

import subprocess

import pytest

from live.site import is_tainted

ALIASES = ("ua-recontext", "ua-recontext-scsi")


def bare(guest, host, **options):
    """A running VM that has never heard of a context."""
    vm = guest(cdrom=None, bus="plug", **options)
    vm.define(host)
    vm.start(host)
    assert "cdrom" not in vm.live_xml() and "'scsi'" not in vm.live_xml()
    return vm


def test_enable_of_a_running_vm_takes_effect_at_once_and_travels_with_it(site, lab, guest):
    a, b = lab.hosts
    vm = bare(guest, a)
    said = site.recontext(a, "enable", vm.name).stdout
    assert "in the new drive sdz, plugged in" in said and "3 more devices can be plugged in" in said, said
    vm.wait_for_text(site.text(a), seconds=10)
    for xml in (vm.live_xml(), vm.live_xml("--inactive")):
        assert all(f"<alias name='{alias}'/>" in xml for alias in ALIASES), xml
    assert site.status(a, vm)["state"] == "delivered"
    for host in (b, a):
        mark = vm.mark()
        vm.migrate(host, "--persistent", "--undefinesource")
        vm.wait_for_text(site.text(host), since=mark)
        site.wait_for_state(host, vm, "delivered")
    assert not is_tainted(vm)
    # Nothing is left to do.
    before = vm.live_xml()
    site.recontext(a, "enable", vm.name)
    assert vm.live_xml() == before
    site.recontext(a, "disable", vm.name)
    for xml in (vm.live_xml(), vm.live_xml("--inactive")):
        assert not any(f"'{alias}'" in xml for alias in ALIASES), xml
    assert vm.state() == "running"


def test_a_plugged_drive_is_there_after_a_save_and_at_the_next_start(site, lab, guest):
    a, _ = lab.hosts
    vm = bare(guest, a)
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text(site.text(a))
    vm.save("/srv/saved")
    site.set_endpoint(a, "https://restored.example")
    mark = vm.mark()
    vm.restore(a, "/srv/saved")
    vm.wait_for_text("monitoring endpoint: https://restored.example", since=mark)
    a.virsh("destroy", vm.name)
    mark = vm.mark()
    vm.start(a)
    vm.wait_for_text("monitoring endpoint: https://restored.example", since=mark)


@pytest.mark.parametrize("kind", ["internal", "external"])
def test_a_revert_to_before_the_plug_takes_the_drive_away_and_enable_gives_it_again(site, lab, guest, kind):
    a, _ = lab.hosts
    disk = lab.shared / f"{kind}.qcow2"
    a.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "256M")
    disk.chmod(0o666)
    vm = bare(guest, a, devices=f"""
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>""")
    external = ("--memspec", f"file={lab.shared}/memory,snapshot=external") if kind == "external" else ()
    a.virsh("snapshot-create-as", vm.name, "before", *external)
    try:
        site.recontext(a, "enable", vm.name)
        vm.wait_for_text(site.text(a))
        mark = vm.mark()
        a.virsh("snapshot-revert", vm.name, "before")
        assert vm.state() == "running"
        for xml in (vm.live_xml(), vm.live_xml("--inactive")):
            assert not any(what in xml for what in (*ALIASES, "urn:virt-recontext:1")), xml
        told = site.status(a, vm)
        assert not told["takes_part"] and "no longer asks for context" in told["message"]
        told = site.recontext(a, "doctor", "--verbose", check=False).stdout
        assert "none of this host's VMs (1) takes part" in told and " 0 bad" in told, told
        site.set_endpoint(a, "https://again.example")
        site.recontext(a, "enable", vm.name)
        vm.wait_for_text("monitoring endpoint: https://again.example", since=mark)
        assert vm.live_xml().count("device='cdrom'") == vm.live_xml("--inactive").count("device='cdrom'") == 1
        assert not [seen for seen in vm.said()[mark:] if seen.kind == "booted"], "it went on, it did not boot"
    finally:
        a.virsh("snapshot-delete", vm.name, "before", "--metadata", check=False)


def test_a_vm_that_is_not_persistent_has_its_drive_plugged_in_as_well(site, lab, guest):
    a, b = lab.hosts
    vm = guest(cdrom=None, bus="plug")
    vm.create(a)
    assert "plugged in" in site.recontext(a, "enable", vm.name).stdout
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    vm.wait_for_text(site.text(b))


def test_without_a_free_port_the_drive_comes_with_the_next_start_and_the_reason_is_told(site, lab, guest):
    a, _ = lab.hosts
    vm = guest(cdrom=None, bus="sata")
    vm.define(a)
    vm.start(a)
    said = site.recontext(a, "enable", vm.name).stdout
    assert "shut down and started again; its machine has no free PCIe root port or slot" in said, said
    assert "'ua-recontext" not in vm.live_xml() and "'ua-recontext'" in vm.live_xml("--inactive")
    # The timer does not try again and again.
    before = a.libvirtd_log
    site.recontext(a, "refresh", "--all")
    assert "PCI" not in a.libvirtd_log.removeprefix(before)


@pytest.mark.parametrize("left", ["definition", "controller"])
def test_a_second_enable_goes_on_where_one_was_killed(site, lab, guest, left):
    a, _ = lab.hosts
    vm = bare(guest, a)
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text(site.text(a))
    disk = a.virsh("dumpxml", vm.name).stdout.split("<disk")[1].split("</disk>")[0]
    a.write("/run/disk.xml", f"<disk{disk}</disk>")
    a.virsh("detach-device", vm.name, "/run/disk.xml", "--live")
    if left == "definition":
        controller = a.virsh("dumpxml", vm.name).stdout.split("<controller type='scsi'")[1].split("</controller>")[0]
        a.write("/run/controller.xml", f"<controller type='scsi'{controller}</controller>")
        a.virsh("detach-device", vm.name, "/run/controller.xml", "--live")
    mark = vm.mark()
    site.set_endpoint(a, "https://again.example")
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text("monitoring endpoint: https://again.example", since=mark)
    assert vm.live_xml().count("device='cdrom'") == 1


def test_a_host_without_us_leaves_the_drive_empty_and_the_next_one_serves_it_again(site, lab, guest):
    a, b = lab.hosts
    vm = bare(guest, a)
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text(site.text(a))
    for program in ("/etc/libvirt/hooks/qemu", "/usr/sbin/virt-recontext"):
        b.remove(program)
    mark = vm.mark()
    vm.migrate(b, "--persistent", "--undefinesource")
    vm.wait_for("no disc", since=mark)
    assert vm.image not in vm.live_xml() and all(f"'{alias}'" in vm.live_xml() for alias in ALIASES)
    mark = vm.mark()
    vm.migrate(a, "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(a), since=mark)
    site.wait_for_state(a, vm, "delivered")
    assert vm.live_xml().count("device='cdrom'") == 1


OLD = """
int virConnectGetLibVersion(void *connection, unsigned long *version) { *version = 9002000; return 0; }
"""


def test_an_old_libvirt_is_given_no_drive_to_plug_in(site, lab, guest):
    a, _ = lab.hosts
    a.write("/run/old.c", OLD)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", a.path("/run/old.so"), a.path("/run/old.c")], check=True)
    vm = bare(guest, a)
    said = a.run("env", "LD_PRELOAD=/run/old.so", "virt-recontext", "enable", vm.name).stdout
    assert "shut down and started again; libvirt 9.2.0 is too old for a drive that is plugged in" in said, said
    assert "'scsi'" not in vm.live_xml() and vm.image in vm.live_xml("--inactive")
