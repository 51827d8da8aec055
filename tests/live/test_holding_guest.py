"""A guest without udev that has the disc mounted and never lets go: asked first, forced after the grace period."""

import json

import pytest

from live.site import STATE, is_tainted


def arrive(site, lab, config):
    """Such a guest, just migrated to the second host, which has this configuration. Returns it and the time it resumed."""
    a, b = lab.hosts
    site.configure(b, config)
    vm = site.guest(mode="hold")
    vm.create(a)
    assert vm.wait_for("held").text == site.text(a)
    vm.wait_for("medium")
    mark = vm.mark()
    migration = vm.migrate(b)
    resumed = lab.resumed(b, vm.name, migration.started).time
    vm.wait_for("event eject-request", since=mark)
    return vm, resumed, mark


def test_it_is_forced_after_the_grace_period_and_lives_on(site, lab):
    _, b = lab.hosts
    vm, resumed, mark = arrive(site, lab, 'force_after = "3s"\n')
    site.wait_for_state(b, vm, "delivered")
    opened = site.tray_events(b, vm)[0]
    assert opened.time - resumed >= 3, "it was asked first"
    vm.wait_for("event media-change", since=mark)
    assert vm.state() == "running"
    assert not is_tainted(vm)
    # Its kernel still answers the drive: what is read past the held mount is this host's volume.
    medium = [seen.rest for seen in vm.said() if seen.kind == "medium"]
    assert medium[-1] != medium[0] and medium[-1].startswith("RECONTEXT")
    metrics = site.recontext(b, "status", "--metrics").stdout.splitlines()
    assert 'virt_recontext_deliveries_total{reason="migrate",way="forced"} 1' in metrics
    assert 'virt_recontext_deliveries_total{reason="migrate",way="asked"} 0' in metrics
    assert 'virt_recontext_discs{state="delivered"} 1' in metrics


def test_it_is_never_forced_if_the_site_says_so(site, lab):
    _, b = lab.hosts
    log = len(b.libvirtd_log)
    vm, _, mark = arrive(site, lab, 'force_after = "never"\n')
    # libvirt gives up asking after 5 s; only then it could be forced.
    lab.wait_for(lambda: "timed out waiting to open tray" in b.libvirtd_log[log:], 20, "libvirt to give up asking")
    lab.wait_for(lambda: site.wait_for_state(b, vm, "waiting")["message"], 10, "status to say what it waits for")
    assert site.tray_events(b, vm) == []
    site.recontext(b, "refresh", "vm", "--force")
    site.wait_for_state(b, vm, "delivered")
    vm.wait_for("event media-change", since=mark)
    assert vm.state() == "running"


def make_old(host, vm):
    """As if what is known of the VM had been noted two minutes ago, which is longer than an arrival can be under way."""
    file = f"{STATE}/state/{vm.uuid}.json"
    state = json.loads(host.read(file))
    host.write(file, json.dumps({**state, "since": state["since"] - 12000}))


@pytest.mark.parametrize("suspended", [False, True], ids=["running", "paused"])
def test_disable_leaves_it_its_disc_until_it_stops_and_says_so(site, lab, suspended):
    a, _ = lab.hosts
    vm = site.guest(mode="hold")
    vm.define(a)
    vm.start(a)
    vm.wait_for("held")
    site.wait_for_state(a, vm, "delivered")
    if suspended:
        a.virsh("suspend", vm.name)
    done = site.recontext(a, "disable", vm.name, check=False)
    who = "its guest, which stands still," if suspended else "its guest"
    assert (done.returncode, done.stderr) == (3, "")
    assert f"no longer takes part; {who} has not let go of the disc in sda" in done.stdout
    assert "urn:virt-recontext:1" not in vm.live_xml() + vm.live_xml("--inactive")
    assert vm.image in vm.live_xml() and vm.image not in vm.live_xml("--inactive")
    assert site.tray_events(a, vm) == []

    def there():
        return vm.image in {f"/{path.relative_to(a.path())}" for path in site.files_of_ours(a)}

    make_old(a, vm)
    site.recontext(a, "refresh", "--all")
    site.wait_for_helpers()
    assert there(), "its guest reads it"
    a.virsh("destroy", vm.name)
    make_old(a, vm)
    site.recontext(a, "refresh", "--all")
    site.wait_for_helpers()
    assert not there()
