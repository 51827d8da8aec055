"""The hook by hand: one static file where libvirt looks for hooks, and no helper. Discs are made; guests are not told."""

import pytest

from lab import Cdrom
from live.site import is_tainted

HOOK, HELPER = "/etc/libvirt/hooks/qemu", "/usr/sbin/virt-recontext"


@pytest.fixture
def alone(site, lab):
    """A site without the helper."""
    for host in lab.hosts:
        host.remove(HELPER)
        hook = host.path(HOOK)
        assert hook.is_file() and not hook.is_symlink()
        assert host.run("ldd", HOOK, check=False).returncode == 1, "it needs no other file"
    return site


def test_a_disc_is_in_the_drive_from_the_start_and_on_arrival(alone, lab):
    a, b = lab.hosts
    log = len(b.syslog())
    vm = alone.guest()
    vm.create(a)
    assert vm.wait_for("context").text == alone.text(a), "already the first boot has it"
    mark = vm.mark()
    vm.migrate(b)
    # It opens the drive again at each look.
    seen = vm.wait_for("context", since=mark)
    assert seen.text == alone.text(b), "not one read of the other host's"
    assert seen.facts["reason"] == "migrate"
    assert b.virsh("domblklist", vm.name).stdout.split()[-1] == vm.image
    assert b.path(vm.image).is_file()
    assert vm.state() == "running"
    assert not is_tainted(vm)

    assert f"vm: started: only the helper can put a disc in or notify the guest: looking for the helper {HELPER}" in \
        b.syslog()[log:]
    assert alone.tray_events(b, vm) == [], "nobody told the guest"
    b.virsh("destroy", vm.name)
    assert not any(said.kind == "event media-change" for said in vm.said()[mark:])
    assert not any(vm.uuid in path.name for path in alone.files_of_ours(b)), "it tidies up as well"


def test_a_restored_guest_has_the_disc_of_its_new_host(alone, lab):
    a, b = lab.hosts
    vm = alone.guest()
    vm.create(a)
    vm.wait_for_text(alone.text(a))
    mark = vm.mark()
    vm.save(f"{lab.shared}/alone.save")
    vm.restore(b, f"{lab.shared}/alone.save")
    assert vm.wait_for("context", since=mark).text == alone.text(b)


def test_a_vm_takes_part_by_virsh_alone(alone, lab, guest):
    a, _ = lab.hosts
    vm = guest()
    vm.cdrom = Cdrom(vm.image)
    vm.define(a)
    # As the manual says.
    a.virsh("metadata", vm.name, "urn:virt-recontext:1", "--key", "recontext", "--config", "--set",
            '<context target="sda"/>')
    vm.start(a)
    assert vm.wait_for("context").text == alone.text(a)


def test_a_helper_that_comes_later_does_what_was_left(alone, lab, programs):
    a, b = lab.hosts
    vm = alone.guest()
    vm.create(a)
    vm.wait_for_text(alone.text(a))
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == alone.text(b)
    b.install(*programs)
    waiting = [one for one in alone.status(b, vm).items() if one[0] in ("state", "job_waiting")]
    assert waiting == [("state", "waiting"), ("job_waiting", True)]
    alone.recontext(b, "deliver")
    vm.wait_for("event media-change", since=mark)
    assert alone.wait_for_state(b, vm, "delivered")["reason"] == "migrate"
