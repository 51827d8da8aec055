"""What rules still do once a VM is here: its definition, which no hook is shown, and the links of its interfaces."""

import json
import time

from lab import Guest, Host, Lab
from live.aftermath import helper_runs, wait_until_delivered
from live.killed import UPDATE_DEVICE, preloaded
from live.placed import PASSWORD, PlacedGuest, rules
from live.site import CONFIG, STATE, Site

RULES = f"{CONFIG}/rewrite.d/50-site.toml"
NIC = "52:54:00:00:00:01"


def definition(vm: Guest, *flags: str) -> str:
    return vm.live_xml("--inactive", *flags)


def wait_until_it_has_the_names_of(host: Host, vm: PlacedGuest, lab: Lab) -> None:
    """Waits until all that the definition names is this host's, and what is secret is in it still."""
    here, there = (vm.names if host is lab.hosts[0] else vm.names[::-1])

    def has() -> bool:
        xml = definition(vm, "--security-info")
        return all(name in xml and other not in xml for name, other in zip(here[:5], there[:5], strict=True)) and PASSWORD in xml

    lab.wait_for(has, 20, f"the definition of {vm.name} to have the names of {host.name}")


def link(vm: Guest, mac: str = NIC) -> str:
    assert vm.host is not None
    return vm.host.virsh("domif-getlink", vm.name, mac).stdout.split()[-1]


def test_a_vm_that_comes_with_its_definition_starts_here_again_and_nothing_of_that_is_lost(hosts: Site, lab: Lab):
    site, (a, b) = hosts, lab.hosts
    vm = PlacedGuest(lab, "vm", metadata="ours")
    at_a, at_b = vm.names
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.write(RULES, rules(at_a, at_b))
    a.write(RULES, rules(at_b, at_a))
    mark = vm.mark()
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b), since=mark)
    wait_until_it_has_the_names_of(b, vm, lab)
    wait_until_delivered(site, b, vm)
    assert f"{vm.name}: migrate: its definition too: " in b.syslog()
    assert PASSWORD not in b.syslog() + b.read(f"{STATE}/state/{vm.uuid}.json")
    b.virsh("destroy", vm.name)
    mark = vm.mark()
    b.virsh("start", vm.name)
    vm.wait_for_text(site.text(b), since=mark)
    assert vm.there() == at_b
    # Home again, and so is its definition.
    mark = vm.mark()
    vm.migrate(a, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(a), since=mark)
    wait_until_it_has_the_names_of(a, vm, lab)
    wait_until_delivered(site, a, vm)


def test_a_definition_is_changed_by_hand_with_all_that_libvirt_keeps_beside_it(hosts: Site, lab: Lab):
    site, (a, b) = hosts, lab.hosts
    vm = PlacedGuest(lab, "vm", metadata="ours")
    at_a, at_b = vm.names
    vm.create(a)
    vm.wait_for_text(site.text(a))
    # Files of rules may leave the definition out.
    b.write(RULES, f"persist = false\n{rules(at_a, at_b)}")
    mark = vm.mark()
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b), since=mark)
    wait_until_delivered(site, b, vm)
    before = definition(vm, "--security-info")
    assert at_a.bridge in before and at_b.bridge not in before
    assert "no rule would change" in site.recontext(b, "rewrite", vm.name).stderr
    b.virsh("autostart", vm.name)
    b.write("/root/snapshot.xml", f"<domainsnapshot><name>kept</name><state>shutoff</state><creationTime>1</creationTime>{before}</domainsnapshot>")
    b.virsh("snapshot-create", vm.name, "/root/snapshot.xml", "--redefine")
    b.write(RULES, rules(at_a, at_b))
    shown = site.recontext(b, "rewrite", vm.name, "--dry-run").stdout
    assert f"-      <source bridge='{at_a.bridge}'/>\n+      <source bridge='{at_b.bridge}'/>" in shown and PASSWORD not in shown, shown
    assert definition(vm, "--security-info") == before, "it is only shown"
    b.virsh("managedsave", vm.name)
    said = site.recontext(b, "rewrite", "--all").stdout
    assert vm.name in said and at_b.disk in said, said
    wait_until_it_has_the_names_of(b, vm, lab)
    after = definition(vm, "--security-info")
    changed = [line for line in after.splitlines() if line not in before.splitlines()]
    assert all(any(name in line for name in at_b) for line in changed), changed
    assert len(after.splitlines()) == len(before.splitlines())
    assert "no rule would change" in site.recontext(b, "rewrite", vm.name).stderr
    told = b.virsh("dominfo", vm.name).stdout
    assert "Autostart:      enable" in told and "Managed save:   yes" in told, told
    assert "kept" in b.virsh("snapshot-list", vm.name).stdout
    mark = vm.mark()
    b.virsh("start", vm.name)
    vm.wait_for_text(site.text(b), since=mark)
    assert [seen.kind for seen in vm.said()].count("booted") == 1, "it goes on from where it was saved"
    b.virsh("snapshot-delete", vm.name, "kept", "--metadata")
    # What libvirt does not take is told, and not asked for again and again.
    b.write(RULES, '[[rewrite]]\nchange = "disk.file"\nto = "/nowhere/x.img"\n')
    refused = site.recontext(b, "rewrite", vm.name, check=False)
    assert refused.returncode == 1 and "this host has no directory /nowhere" in refused.stderr, refused


def test_a_link_on_a_new_network_goes_down_and_up_also_if_the_helper_is_killed_in_between(hosts: Site, lab: Lab):
    site, (a, b) = hosts, lab.hosts
    vm = PlacedGuest(lab, "vm", metadata="ours")
    at_a, at_b = vm.names
    vm.create(a)
    vm.wait_for_text(site.text(a))
    new_network = f'[[rewrite]]\nchange = "interface.bridge"\nmap = {{ "{at_a.bridge}" = "{at_b.bridge}" }}\nnew_network = true\n'
    b.write(RULES, rules(at_a, at_b, without="interface.bridge") + new_network)
    a.write(RULES, rules(at_b, at_a))
    # The disc takes two such calls, the link another two. In the place of the last, the helper is killed.
    helper = "/usr/sbin/virt-recontext"
    b.run("mv", helper, f"{helper}.real")
    b.write(helper, f"#!/bin/sh\nexport LD_PRELOAD={preloaded(lab)} KILL_AT='deliver {UPDATE_DEVICE} 4 before' "
            f"KILL_LOG=/root/calls\nexec {helper}.real \"$@\"\n", 0o755)
    mark = vm.mark()
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b), since=mark)
    lab.wait_for(lambda: "is up again" in b.syslog(), 20, "the link to be put up by whoever stands by")
    b.run("mv", f"{helper}.real", helper)
    wait_until_delivered(site, b, vm)
    assert link(vm) == "up"
    assert b.read("/root/calls").split().count(str(UPDATE_DEVICE)) >= 4
    assert json.loads(site.recontext(b, "preview", vm.name, "--file", "recontext.json").stdout)["new_networks"] == [NIC]
    # All of them killed at once, a note is left to the next.
    b.virsh("domif-setlink", vm.name, NIC, "down")
    state = b.path(f"{STATE}/state/{vm.uuid}.json")
    written = json.loads(state.read_text(encoding="utf-8"))
    written["rules"]["links_down"] = [NIC]
    state.write_text(json.dumps(written), encoding="utf-8")
    assert "is still to go up again" in site.recontext(b, "status", vm.name).stdout
    site.recontext(b, "refresh", vm.name)
    assert link(vm) == "up"
    assert "go up again" not in site.recontext(b, "status", vm.name).stdout
    # Migrated or saved while its link is down for a moment, it is marked so, and comes out with its link up, here or there.
    marked = ("metadata", vm.name, "urn:virt-recontext:links:1", "--live")
    for goes_on in ("managedsave", "migrate"):
        host = vm.host
        host.virsh(*marked, "--key", "recontext-links", "--set", f"<down macs='{NIC}'/>")
        host.virsh("domif-setlink", vm.name, NIC, "down")
        if goes_on == "managedsave":
            host.virsh("managedsave", vm.name)
            host.virsh("start", vm.name)
        else:
            vm.migrate(a, "--unsafe", "--persistent", "--undefinesource")
        lab.wait_for(lambda: link(vm) == "up", 20, f"the link to be up after {goes_on}")
        lab.wait_for(lambda: "urn:virt-recontext:links" not in vm.live_xml(), 20, "the mark to be gone")
        wait_until_delivered(site, vm.host, vm)
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    wait_until_delivered(site, b, vm)
    # It may move on at once, within the moment in which its link is down.
    vm.migrate(a, "--unsafe", "--persistent", "--undefinesource")
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    vm.migrate(a, "--unsafe", "--persistent", "--undefinesource")
    wait_until_delivered(site, a, vm)
    lab.wait_for(lambda: link(vm) == "up", 20, "the link to be up at home")
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    wait_until_delivered(site, b, vm)
    # A link that somebody has down stays so; and at home there is no new network.
    b.virsh("domif-setlink", vm.name, NIC, "down")
    mark = vm.mark()
    vm.migrate(a, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(a), since=mark)
    mark = vm.mark()
    vm.migrate(b, "--unsafe", "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b), since=mark)
    wait_until_delivered(site, b, vm)
    assert link(vm) == "down"


def with_interface(site: Site, lab: Lab, kind: str, source: str, devices: str = "") -> Guest:
    """A guest on the first host with one interface, in which it has read its disc."""
    vm = site.guest(devices=f"<interface type='{kind}'><mac address='{NIC}'/><source {source}/><model type='virtio'/></interface>{devices}")
    vm.define(lab.hosts[0])
    vm.start(lab.hosts[0])
    vm.wait_for_text(site.text(lab.hosts[0]))
    return vm


def make_bridge(host: Host, name: str) -> None:
    host.run("ip", "link", "add", name, "type", "bridge")
    host.run("ip", "link", "set", name, "up")


def test_an_interface_on_a_network_of_libvirts_is_still_on_it_after_its_link_went_down_and_up(site: Site, lab: Lab):
    for host in lab.hosts:
        name = f"net-{host.name[-1]}"
        make_bridge(host, f"br{name}")
        host.write("/root/network.xml", f"<network><name>{name}</name><forward mode='bridge'/><bridge name='br{name}'/></network>")
        host.virsh("net-create", "/root/network.xml")
    a, b = lab.hosts
    try:
        vm = with_interface(site, lab, "network", "network='net-a'")
        for host, old, new in ((a, "net-b", "net-a"), (b, "net-a", "net-b")):
            host.write(RULES, f'[[rewrite]]\nchange = "interface.network"\nmap = {{ "{old}" = "{new}" }}\nnew_network = true\n')
        for host in (b, a):
            vm.migrate(host, "--persistent", "--undefinesource")
            lab.wait_for(lambda host=host: "went down and up, for its new network" in host.syslog(), 20, "the link to be taken down")
            wait_until_delivered(site, host, vm)
            assert link(vm) == "up"
            # As the next host is given it.
            assert f"<source network='net-{host.name[-1]}'/>" in vm.live_xml("--migratable")
            assert f"<source network='net-{host.name[-1]}'/>" in definition(vm)
    finally:
        for host in lab.hosts:
            host.run("rm", "-f", RULES)
            name = f"net-{host.name[-1]}"
            host.virsh("net-destroy", name)
            host.run("ip", "link", "delete", f"br{name}")


def test_a_snapshot_that_was_taken_while_a_link_was_down_for_a_moment_comes_back_with_the_link_up(site: Site, lab: Lab):
    a, _ = lab.hosts
    make_bridge(a, "br-snapshot")
    disk = lab.shared / "links.qcow2"
    a.run("qemu-img", "create", "-q", "-f", "qcow2", str(disk), "256M")
    disk.chmod(0o666)
    vm = with_interface(site, lab, "bridge", "bridge='br-snapshot'", f"""
        <disk type='file' device='disk'><driver name='qemu' type='qcow2'/>
        <source file='{disk}'/><target dev='vda' bus='virtio'/></disk>""")
    marked = ("metadata", vm.name, "urn:virt-recontext:links:1", "--live")
    try:
        a.virsh(*marked, "--key", "recontext-links", "--set", f"<down macs='{NIC}'/>")
        a.virsh("domif-setlink", vm.name, NIC, "down")
        a.virsh("snapshot-create-as", vm.name, "marked")
        a.virsh("domif-setlink", vm.name, NIC, "up")
        a.virsh(*marked, "--remove")
        for before in ("it runs", "it does not run"):
            if before != "it runs":
                a.virsh("destroy", vm.name)
            a.virsh("snapshot-revert", vm.name, "marked")
            lab.wait_for(lambda: link(vm) == "up", 20, f"the link to be up, when before {before}")
            lab.wait_for(lambda: "urn:virt-recontext:links" not in vm.live_xml(), 20, "the mark to be gone")
            wait_until_delivered(site, a, vm)
    finally:
        a.virsh("snapshot-delete", vm.name, "marked", "--metadata", check=False)
        vm.remove()
        a.run("ip", "link", "delete", "br-snapshot")
