"""VMs that the host's administrator has selected take part without an element of their own, whoever writes their XML."""

import pytest

ALIASES = ("ua-recontext", "ua-recontext-scsi")
RULE = '[[select]]\nname = "vm*"\n'
SLOT = "no free PCIe root port or slot"


@pytest.fixture
def selecting(site, lab):
    """Both hosts have one rule, which fits the VMs of the tests."""
    for host in lab.hosts:
        site.configure(host, RULE)
    return site


def untouched(guest, **options):
    """A VM that nobody has made for a context."""
    return guest(cdrom=None, **{"bus": "plug", **options})


def is_plugged_once(vm):
    """Whether the running VM has one drive of ours with one controller, and the definition has nothing of ours."""
    live, definition = vm.live_xml(), vm.live_xml("--inactive")
    assert all(live.count(f"<alias name='{alias}'/>") == 1 for alias in ALIASES), live
    return live.count("device='cdrom'") == 1 and "recontext" not in definition


def test_a_vm_that_was_never_touched_is_given_this_hosts_data_when_it_starts_and_when_it_arrives(selecting, lab, guest):
    site, (a, b) = selecting, lab.hosts
    vm = untouched(guest)
    vm.define(a)
    vm.start(a)
    vm.wait_for_text(site.text(a), seconds=30)
    said = site.wait_for_state(a, vm, "delivered")
    assert said["message"].startswith("[[select]] rule 1 selects it; in the new drive sdz, plugged in"), said
    assert is_plugged_once(vm)
    # The element of one VM is no business of another host's rules: B has none now.
    site.configure(b, "")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for_text(site.text(b), since=mark)
    mark = vm.mark()
    vm.migrate(a)
    vm.wait_for_text(site.text(a), since=mark)
    # Its manager writes it anew, and all of it is done again.
    a.virsh("destroy", vm.name)
    assert not site.files_of_ours(a) or not any(vm.uuid in str(path) for path in site.files_of_ours(a))
    mark = vm.mark()
    vm.start(a)
    vm.wait_for_text(site.text(a), since=mark, seconds=30)
    assert is_plugged_once(vm)


def test_a_new_rule_needs_no_restart_and_one_that_is_gone_changes_nothing_before_the_next(site, lab, guest):
    a, b = lab.hosts
    vm = untouched(guest)
    vm.create(a)
    assert site.recontext(a, "refresh", "--all").stdout == "" and "recontext" not in vm.live_xml()
    site.configure(a, RULE)
    assert f"[[select]] rule 1 selects {vm.name}\n" in site.recontext(a, "doctor", "--verbose", check=False).stdout
    assert "nothing has been made for it here" in site.recontext(a, "status").stdout
    assert "plugged in" in site.recontext(a, "refresh", "--all").stdout
    vm.wait_for_text(site.text(a))
    site.configure(a, "")
    mark = vm.mark()
    site.set_endpoint(a, "https://later.example")
    site.recontext(a, "refresh", "--all")
    vm.wait_for_text("monitoring endpoint: https://later.example", since=mark)
    # A VM that no rule has selected before it arrives.
    other = untouched(guest, name="vm2")
    other.create(a)
    site.configure(b, RULE)
    other.migrate(b)
    other.wait_for_text(site.text(b))


def test_disable_of_a_selected_vm_lasts_until_enable(selecting, lab, guest):
    site, (a, _) = selecting, lab.hosts
    vm = untouched(guest)
    vm.define(a)
    vm.start(a)
    site.wait_for_state(a, vm, "delivered")
    said = site.recontext(a, "disable", vm.name).stdout
    assert "[[select]] rule 1 selects it, and leaves it out on this host from now on, until it is enabled" in said, said
    assert "recontext" not in vm.live_xml() and "'scsi'" not in vm.live_xml()
    site.recontext(a, "refresh", "--all")
    a.virsh("destroy", vm.name)
    vm.start(a)
    site.recontext(a, "refresh", "--all")
    assert "recontext" not in vm.live_xml()
    assert f"disable has taken out {vm.name}" in site.recontext(a, "doctor", "--verbose", check=False).stdout
    site.recontext(a, "enable", vm.name)
    vm.wait_for_text(site.text(a))
    assert is_plugged_once(vm)
    assert not a.path(f"/etc/virt-recontext/domains/{vm.uuid}").exists()


def test_enable_of_a_vm_that_a_rule_has_given_a_drive_keeps_that_drive(selecting, lab, guest):
    site, (a, _) = selecting, lab.hosts
    vm = untouched(guest)
    vm.define(a)
    vm.start(a)
    site.wait_for_state(a, vm, "delivered")
    # Nothing else is asked for than what it has.
    assert "[[select]] rule 1 selects it" in site.recontext(a, "enable", vm.name).stdout
    assert is_plugged_once(vm)
    # Its own element counts from now on, in its definition as well.
    site.recontext(a, "enable", vm.name, "--format", "files")
    for xml in (vm.live_xml(), vm.live_xml("--inactive")):
        assert xml.count("device='cdrom'") == 1 and all(xml.count(f"'{alias}'") == 1 for alias in ALIASES), xml


def test_a_vm_without_room_for_a_drive_is_told_once_and_left_alone(selecting, lab, guest):
    site, (a, _) = selecting, lab.hosts
    vm = untouched(guest, bus="sata")
    before = a.syslog().count(SLOT)
    vm.define(a)
    vm.start(a)
    said = site.wait_for_state(a, vm, "waiting")
    assert lab.wait_for(lambda: SLOT in site.status(a, vm)["message"], 20, "the reason to be told"), said
    assert site.recontext(a, "refresh", "--all").returncode == 0
    doctor = site.recontext(a, "doctor", "--verbose", check=False).stdout
    assert f"vm {vm.name}" in doctor and SLOT in doctor and 'drive = "none"' in doctor, doctor
    assert "recontext" not in vm.live_xml()
    assert a.syslog().count(SLOT) == before + 1


def test_a_drive_that_the_rule_names_is_taken_if_it_is_empty(site, lab, guest):
    a, _ = lab.hosts
    site.configure(a, RULE + 'drive = "sda"\n')
    vm = guest(bus="sata")
    vm.define(a)
    vm.start(a)
    vm.wait_for_text(site.text(a), seconds=30)
    assert "ua-recontext" not in vm.live_xml() and "recontext" not in vm.live_xml("--inactive")
