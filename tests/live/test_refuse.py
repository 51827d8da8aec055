"""on_error = "refuse": a site that prefers no VM over one with stale context gets that, and whoever asked gets the reason."""

import pytest

from live.aftermath import wait_until_nothing_is_left
from live.site import CONFIG

REASON = "no.such.fact"


@pytest.fixture
def strict(site, lab):
    """The second host, strict, and with data from which no disc can be made."""
    host = lab.hosts[1]
    site.configure(host, 'on_error = "refuse"\n')
    host.write(f"{CONFIG}/context/broken.j2", "{{ facts." + REASON + " }}\n")
    return host


def repair(host):
    host.remove(f"{CONFIG}/context/broken.j2")


def test_whoever_migrates_gets_the_reason_and_the_vm_stays(site, lab, strict):
    a, _ = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    refused = lab.migrate(a, strict, vm.name, check=False).result
    assert refused.returncode != 0
    assert "broken.j2" in refused.stderr, "the reason"
    assert vm.state() == "running"
    assert vm.said()[mark:] == [], "its guest notices nothing"
    wait_until_nothing_is_left(site, strict, vm)
    repair(strict)
    vm.migrate(strict)
    assert vm.wait_for("context", since=mark).text == site.text(strict)


def test_whoever_starts_or_restores_gets_the_reason_and_loses_nothing(site, lab, strict):
    a, _ = lab.hosts
    vm = site.guest()
    vm.define(strict)
    refused = strict.virsh("start", vm.name, check=False)
    assert refused.returncode != 0 and "broken.j2" in refused.stderr
    strict.virsh("undefine", vm.name)
    vm.create(a)
    vm.wait_for_text(site.text(a))
    saved = f"{lab.shared}/vm.save"
    vm.save(saved)
    refused = strict.virsh("restore", saved, check=False)
    assert refused.returncode != 0 and "broken.j2" in refused.stderr
    wait_until_nothing_is_left(site, strict, vm)
    repair(strict)
    mark = vm.mark()
    vm.restore(strict, saved)
    assert vm.wait_for("context", since=mark).text == site.text(strict)


def test_a_vm_that_runs_is_never_refused(site, lab, strict):
    repair(strict)
    vm = site.guest()
    vm.create(strict)
    vm.wait_for_text(site.text(strict))
    strict.write(f"{CONFIG}/context/broken.j2", "{{ facts." + REASON + " }}\n")
    strict.restart_libvirtd()
    assert vm.state() == "running"
    assert site.recontext(strict, "refresh", vm.name, check=False).returncode != 0
    assert vm.state() == "running"
