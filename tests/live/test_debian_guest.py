"""A real distribution as guest: Debian, with the recipes of packaging/guest as their READMEs say.

A guest takes half a minute to boot, so most tests share one and leave it running, on whichever host. No guest here is
ever made to let go of its disc: force_after is "never".
"""

import itertools
import json
import shlex
import shutil
from pathlib import Path

import pytest

from lab import HERE_NAME, PACKAGE, DebianGuest, Servers
from live.keys import Keys, take_key
from live.site import CONFIG, Site

NUMBERS = itertools.count(1)
RECIPES = Path(__file__).resolve().parents[2] / "packaging" / "guest" / "services"
SERVICES = ["systemd-resolved", "chrony", "collectd"]
SERVICE_FILES = ["/etc/systemd/resolved.conf.d/recontext.conf", "/etc/chrony/sources.d/recontext.sources",
                 "/etc/collectd/collectd.conf.d/recontext.conf", "/etc/apt/mirrors/debian.list"]
PROGRAMS = ["40-resolved", "50-apt", "50-chrony", "50-collectd"]


@pytest.fixture(scope="module")
def debian(lab, programs):
    """A site with a Debian guest that runs on the first host."""
    made = Site(lab, lambda name="debian", **options: DebianGuest(lab, name, **options))
    made.install(programs)
    for host in lab.hosts:
        made.configure(host, 'force_after = "never"\n')
    vm = made.guest(network=True)
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


def journal(vm):
    """All that the recipe and the programs that it ran have said."""
    return vm.run("journalctl --no-pager --output cat --unit 'recontext@*'")


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


@pytest.fixture(scope="module")
def servers(debian, lab):
    """By host, servers that are there for the whole site; and the services of the guest run."""
    _, vm = debian
    for host in lab.hosts:
        shutil.copytree(RECIPES / "context", host.path(f"{CONFIG}/context"), dirs_exist_ok=True)
        set_servers(host, apt=f"http://{host.address}", ntp=host.address, dns=host.address, collectd=host.address)
    vm.run(f"systemctl start {' '.join(SERVICES)}")
    with Servers(lab, lab.hosts[0]) as first, Servers(lab, lab.hosts[1]) as second:
        yield dict(zip(lab.hosts, (first, second), strict=True))


def set_servers(host, **servers):
    """Says which servers the guests on a host shall use."""
    facts = {name: value.splitlines() for name, value in servers.items()} | {"labels": {"example.com/site": host.name}}
    host.write(f"{CONFIG}/facts.d/services.json", json.dumps({"services": facts}))


def services(vm):
    """By service, what is another one after a start; by file, what is another one once it is written; and the boot."""
    said = vm.run(f"systemctl show --value --property InvocationID {' '.join(SERVICES)} | grep .; "
                  f"stat --format %i {' '.join(SERVICE_FILES)}; cat /proc/sys/kernel/random/boot_id")
    return dict(zip([*SERVICES, *SERVICE_FILES, "boot"], said.split(), strict=True))


def receive(debian):
    """Has the guest receive a new disc of its host; what the journal says of it."""
    _, vm = debian
    mark, before = vm.mark(), len(journal(vm))
    text = refresh(debian)
    vm.wait_for_text(text, since=mark)
    settle(vm)
    return journal(vm)[before:]


def test_services_use_the_servers_of_the_host_that_the_vm_comes_to(debian, servers, lab):
    site, vm = debian
    here, there = vm.host, other_host(lab, vm)
    receive(debian)
    assert vm.run(f"getent hosts {HERE_NAME}").split()[0] == here.address
    vm.run("apt-get -qq update")
    assert "GET /./Packages " in servers[here].asked("http")
    assert "query" not in servers[there].asked("dns") and servers[there].asked("udp") == "ready\n"
    before = services(vm)

    mark = vm.mark()
    vm.migrate(there)
    vm.wait_for_text(site.text(there), since=mark)
    settle(vm)
    assert vm.run(f"getent hosts {HERE_NAME}").split()[0] == there.address
    vm.run(f"cd /tmp && apt-get -qq download {PACKAGE}")
    assert f"GET /./{PACKAGE}.deb " in servers[there].asked("http"), "by what is known of the other host's archive"
    lab.wait_for(lambda: "collectd guest\n" in servers[there].asked("udp"), 30, "collectd to push to the new host")
    lab.wait_for(lambda: f"^,*,{there.address}," in vm.run("chronyc -c -n sources"), 60, "chrony to go by the new host")
    assert "ntp\n" in servers[there].asked("udp")

    after = services(vm)
    assert (after["boot"], after["chrony"]) == (before["boot"], before["chrony"]), "neither was started again"
    assert vm.run("systemctl --failed --no-legend") == ""


def test_a_disc_that_says_the_same_or_nothing_or_nonsense_touches_no_service(debian, servers):
    _, vm = debian
    before = services(vm)
    assert "failed" not in receive(debian), "the same"
    shutil.rmtree(vm.host.path(f"{CONFIG}/context/services"))
    assert "failed" not in receive(debian), "no files"
    shutil.copytree(RECIPES / "context", vm.host.path(f"{CONFIG}/context"), dirs_exist_ok=True)
    set_servers(vm.host, apt="http://10.0.0.9/$(reboot)", ntp="10.0.0.9 ;reboot", dns="10.0.0.999",
                collectd="10.0.0.9 `reboot`")
    said = receive(debian)
    for program in PROGRAMS:
        assert f"{program}: nothing changes: " in said and f"{program} failed with status 1" in said
    assert services(vm) == before


def test_a_service_that_does_not_run_is_not_started(debian, servers):
    _, vm = debian
    vm.run(f"systemctl stop {' '.join(SERVICES)}")
    set_servers(vm.host, apt="http://10.0.0.9", ntp="10.0.0.9", dns="10.0.0.9", collectd="10.0.0.9")
    assert "failed" not in receive(debian)
    assert vm.run(f"systemctl is-active {' '.join(SERVICES)}", check=False).split() == ["inactive"] * len(SERVICES)
    assert vm.run(f"grep -lF 10.0.0.9 {' '.join(SERVICE_FILES)}").split() == SERVICE_FILES, "for when they are started"


def signer(host):
    """By which name the guest knows a host."""
    return f"{host.name}.site-{host.name[-1]}"


@pytest.fixture
def keys(debian, lab, tmp_path):
    """Each host signs for a site of its own; the guest believes the CAs of both, and does not know that of host-c."""
    site, vm = debian
    made, known = Keys(tmp_path), [signer(host) for host in lab.hosts]
    for name in (*known, "host-c.site-c"):
        made.make(f"ca-{name}")
        made.certify(name, f"ca-{name}", "-V", "-1h:+52w")
    for host in lab.hosts:
        made.give(signer(host), host.path(CONFIG))
    lines = "".join(made.allowed(f"*.{name.partition('.')[2]}", f"ca-{name}", "cert-authority,") for name in known)
    vm.run(f"mkdir /etc/recontext && printf %s {shlex.quote(lines)} >/etc/recontext/allowed_signers")
    site.set_data()
    yield made
    for host in lab.hosts:
        take_key(host.path(CONFIG))
    vm.run("rm -r /etc/recontext; systemctl reset-failed 'recontext@*'")


def test_a_disc_is_taken_of_each_host_whose_site_is_known_and_of_no_other(debian, lab, keys):
    site, vm = debian
    home, away = vm.host, other_host(lab, vm)

    def go(target):
        mark = vm.mark()
        vm.migrate(target)
        seen = vm.wait_for_text(site.text(target), since=mark)
        assert f"received generation {seen.facts['generation']}, signed by {signer(target)}\n" in journal(vm)

    go(away)
    go(home)
    keys.give("host-c.site-c", away.path(CONFIG))
    site.set_endpoint(away, "https://evil.example")
    tree = "readlink /run/recontext; cd /run/recontext/ && find . -type f -exec sha256sum {} +"
    before, mark = vm.run(tree), vm.mark()
    vm.migrate(away)
    generation = site.wait_for_state(away, vm, "delivered")["generation"]
    told = f"generation {generation}, is not used: it has no good signature of host-c.site-c that "
    lab.wait_for(lambda: told in journal(vm), 30, "the guest to refuse the disc of a host that it does not know")
    settle(vm)
    assert (vm.run(tree), contexts(vm, mark)) == (before, [])
    go(home)


def test_the_recipe_runs_at_a_reboot(debian):
    site, vm = debian
    mark = vm.mark()
    vm.reboot()
    vm.wait_for("context", since=mark)
    settle(vm)
    [seen] = contexts(vm, mark)
    assert seen.facts["host"] == vm.host.name
    assert not mounted(vm)
