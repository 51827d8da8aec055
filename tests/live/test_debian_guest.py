"""A real distribution as guest: Debian, with the recipes of packaging/guest as their READMEs say.

A guest takes half a minute to boot, so most tests share one and leave it running, on whichever host. No guest here is
ever made to let go of its disc: force_after is "never".
"""

import itertools

import pytest

from lab import DebianGuest
from live.site import Site

NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def debian(lab, programs):
    """A site with a Debian guest that runs on the first host."""
    made = Site(lab, lambda name="debian", **options: DebianGuest(lab, name, **options))
    made.install(programs)
    for host in lab.hosts:
        made.configure(host, 'force_after = "never"\n')
    vm = made.guest()
    try:
        vm.create(lab.hosts[0])
        yield made, vm
    finally:
        vm.remove()
        made.remove()


def other_host(lab, vm):
    return next(host for host in lab.hosts if host is not vm.host)


def contexts(vm, mark=0):
    """What the recipe told of, one line for each time that it ran /etc/recontext.d."""
    return [seen for seen in vm.said()[mark:] if seen.kind == "context"]


def settle(vm):
    """Returns when the guest has nothing left to do about its disc, even after further change events."""
    vm.run("""
        for event in 1 2; do udevadm trigger --settle --action=change /dev/sr0; done
        while [ -n "$(systemctl list-jobs --no-legend 'recontext@*')" ]; do sleep 0.1; done""")


def refresh(debian):
    """Changes the endpoint of the host that the guest is on, for it; returns what the guest is to read."""
    site, vm = debian
    url = f"https://change-{next(NUMBERS)}.example"
    site.set_endpoint(vm.host, url)
    site.recontext(vm.host, "refresh", vm.name)
    return f"monitoring endpoint: {url}"


def mounted(vm):
    """The discs that are mounted in the guest, as anybody there sees it."""
    return vm.run("grep iso9660 /proc/mounts", check=False)


def test_the_recipe_runs_at_boot(debian):
    site, vm = debian
    vm.wait_for("context")
    settle(vm)
    [seen] = contexts(vm)
    assert (seen.text, seen.facts["reason"], seen.facts["host"]) == (site.text(vm.host), "start", vm.host.name)


def test_the_recipe_runs_once_on_arrival_and_gives_the_tray_back(debian, lab):
    site, vm = debian
    for target in (other_host(lab, vm), vm.host):
        mark, log = vm.mark(), len(target.syslog())
        vm.migrate(target)
        status = site.wait_for_state(target, vm, "delivered")
        vm.wait_for_text(site.text(target), since=mark)
        settle(vm)
        [seen] = contexts(vm, mark)
        assert seen.text == site.text(target)
        assert seen.facts | {"text": ""} == {
            "generation": str(status["generation"]), "reason": "migrate", "host": target.name, "text": ""}
        kinds = [seen.kind for seen in vm.said()[mark:]]
        assert "event eject-request" in kinds and "event media-change" in kinds
        assert "force" not in status["message"] + target.syslog()[log:]
        assert len(site.tray_events(target, vm)) % 2 == 0, "opened and closed"
        assert not mounted(vm)


def test_the_copy_is_the_disc_and_nothing_else_is_left(debian):
    _, vm = debian
    vm.run("mkdir /tmp/disc && mount -o ro LABEL=RECONTEXT /tmp/disc && diff -r /tmp/disc /run/recontext/; "
           "differs=$?; umount /tmp/disc && rmdir /tmp/disc && exit $differs")
    assert vm.run("stat -c '%U %a' /run/recontext/endpoint") == "root 444\n"
    assert vm.run("ls /run/recontext.trees").split() == [contexts(vm)[-1].facts["generation"], "disc", "lock"]


def test_a_disc_that_comes_while_programs_run_is_received_after_them(debian):
    site, vm = debian
    vm.run("""
        touch /run/hold
        printf '#!/bin/sh\\n/usr/local/bin/tell waiting\\nwhile [ -e /run/hold ]; do sleep 0.1; done\\n' \\
            >/etc/recontext.d/10-hold
        chmod 755 /etc/recontext.d/10-hold""")
    mark = vm.mark()
    first = refresh(debian)
    site.wait_for_state(vm.host, vm, "delivered")
    vm.wait_for("waiting", since=mark)
    between = vm.mark()
    second = refresh(debian)
    site.wait_for_state(vm.host, vm, "delivered")
    vm.wait_for("event media-change", since=between)
    assert contexts(vm, mark) == []
    vm.run("rm /run/hold /etc/recontext.d/10-hold")
    vm.wait_for_text(second, since=mark)
    settle(vm)
    assert [seen.text for seen in contexts(vm, mark)] == [first, second]


def test_a_program_that_fails_stops_neither_the_others_nor_the_next_disc(debian):
    _, vm = debian
    vm.run("printf '#!/bin/sh\\nexit 7\\n' >/etc/recontext.d/10-fail && chmod 755 /etc/recontext.d/10-fail")
    for _ in range(2):
        mark = vm.mark()
        text = refresh(debian)
        vm.wait_for_text(text, since=mark)
        settle(vm)
        assert [seen.text for seen in contexts(vm, mark)] == [text]
    assert "10-fail failed with status 7" in vm.run("journalctl --no-pager -u 'recontext@*'")
    vm.run("rm /etc/recontext.d/10-fail")


@pytest.mark.parametrize("directory", ["/auto/recontext", "/media/recontext"], ids=["autofs", "fstab"])
def test_what_mounts_on_demand_shows_each_hosts_disc(debian, lab, directory):
    site, vm = debian
    assert vm.run(f"cat {directory}/endpoint") == vm.run("cat /run/recontext/endpoint")
    # It is still mounted when the guest leaves, since the time after which it is unmounted has only begun.
    target = other_host(lab, vm)
    mark = vm.mark()
    vm.migrate(target)
    site.wait_for_state(target, vm, "delivered")
    received = vm.wait_for("context", since=mark)
    assert received.facts["host"] == target.name
    lab.wait_for(lambda: vm.run(f"cat {directory}/endpoint", check=False) == f"{received.text}\n", 30,
                 f"{directory} to show the new disc")
    lab.wait_for(lambda: not mounted(vm), 30, f"{directory} to be unmounted")


def test_an_empty_drive_is_an_error_soon_and_the_next_disc_is_seen(debian, lab):
    _, vm = debian
    # libvirt waits no more than 5 s for a guest to open its tray.
    lab.wait_for(lambda: vm.host.virsh("change-media", vm.name, "sda", "--eject", check=False).returncode == 0, 30,
                 "the guest to give the disc back")
    vm.run("until [ ! -e /dev/disk/by-label/RECONTEXT ]; do sleep 0.1; done")
    for directory in ("/auto/recontext", "/media/recontext"):
        status = vm.run(f"timeout 30 cat {directory}/endpoint >/dev/null 2>&1; echo $?")
        assert status not in ("0\n", "124\n"), f"{directory}: neither content nor endless waiting"
    mark = vm.mark()
    text = refresh(debian)
    vm.wait_for_text(text, since=mark)
    for directory in ("/auto/recontext", "/media/recontext"):
        lab.wait_for(lambda path=f"{directory}/endpoint": vm.run(f"cat {path}", check=False) == f"{text}\n", 15,
                     f"{directory} to show the new disc")


def test_the_recipe_runs_at_a_reboot(debian):
    site, vm = debian
    mark = vm.mark()
    vm.reboot()
    vm.wait_for("context", since=mark)
    settle(vm)
    [seen] = contexts(vm, mark)
    assert seen.facts["host"] == vm.host.name
    assert not mounted(vm)
