"""Hosts that call things differently: rules in rewrite.d adapt a VM that comes, which libvirt refuses without them."""

import re

from lab import Lab
from live.aftermath import let_a_minute_pass, wait_until_nothing_is_left
from live.placed import PLACES, PlacedGuest, rules
from live.site import CONFIG

RULES = f"{CONFIG}/rewrite.d/50-site.toml"
NEXT_HOOK = "/etc/libvirt/hooks/qemu.d/90-next"
# Both hosts have both bridges, and each uses them for what the other uses the other one for.
SWAP = '[[rewrite]]\nchange = "interface.bridge"\nmap = { "left" = "right", "right" = "left" }\n'
NO_OTHERS = '[[rewrite]]\nchange = "interface.bridge"\nrefuse = "{{ old }} is unknown here"\n'


def lasting(xml: str) -> str:
    """Live XML without what is new at each start: numbers and names that libvirt gives."""
    return re.sub(r" id='\d+'|'vnet\d+'| index='\d+'", "", xml)


def test_a_vm_that_names_what_only_one_host_has_goes_to_and_fro_is_saved_and_restored(hosts, lab):
    site, (a, b) = hosts, lab.hosts
    vm = PlacedGuest(lab, "vm", metadata="ours")
    at_a, at_b = vm.names
    vm.create(a)
    vm.wait_for_text(site.text(a))
    assert vm.there() == at_a and vm.second_bridge() == "left"
    # Each of the rules is needed, in libvirt's own words.
    for place, (_, why) in PLACES.items():
        if why:
            b.write(RULES, rules(at_a, at_b, without=place))
            refused = lab.migrate(a, b, vm.name, "--unsafe", check=False).result
            assert refused.returncode and why in refused.stderr, (place, refused.stderr)
    assert vm.state() == "running" and vm.there() == at_a
    b.write(RULES, rules(at_a, at_b) + SWAP + NO_OTHERS)
    a.write(RULES, rules(at_b, at_a) + SWAP + NO_OTHERS)
    mark = vm.mark()
    vm.migrate(b, "--unsafe", "--persistent")
    vm.wait_for_text(site.text(b), since=mark)
    assert vm.there() == at_b and vm.second_bridge() == "right"
    said = site.wait_for_state(b, vm, "delivered")
    assert "br-a" in str(said) and "rewrite.d/50-site.toml" in str(said), said
    assert f"{at_b.listen}:5900" in b.run("ss", "-Hltn").stdout
    assert site.text(b) in b.read(at_b.log)
    # Here it was saved, here it goes on: nothing is changed once more, or back, or refused.
    before = vm.live_xml("--security-info")
    b.virsh("managedsave", vm.name)
    mark = vm.mark()
    b.virsh("start", vm.name)
    vm.wait_for_text(site.text(b), since=mark)
    assert lasting(vm.live_xml("--security-info")) == lasting(before)
    site.wait_for_state(b, vm, "delivered")
    mark = vm.mark()
    vm.migrate(a, "--unsafe", "--undefinesource")
    vm.wait_for_text(site.text(a), since=mark)
    assert vm.there() == at_a and vm.second_bridge() == "left"
    site.wait_for_state(a, vm, "delivered")
    saved = f"{lab.shared}/vm.save"
    mark = vm.mark()
    vm.save(saved)
    vm.restore(b, saved)
    vm.wait_for_text(site.text(b), since=mark)
    # What is swapped at an arrival is left alone at a restore: no host can tell whether the VM comes from itself.
    assert vm.there() == at_b and vm.second_bridge() == "left"
    assert [seen.kind for seen in vm.said()].count("booted") == 1, "it always went on"


def test_a_vm_that_takes_no_part_is_adapted_by_rules_for_all_and_refused_where_they_say_so(hosts, lab):
    site, (a, b) = hosts, lab.hosts
    vm = PlacedGuest(lab, "plain")
    at_a, at_b = vm.names
    vm.create(a)
    # Rules are for those that take part, unless they say that they are for all.
    b.write(RULES, rules(at_a, at_b))
    assert lab.migrate(a, b, vm.name, "--unsafe", check=False).result.returncode
    for text, why in [
        ('[[rewrite]]\nchange = "interface.bridge"\nrefuse = "no {{ old }} at {{ host.name }}: ask 4711"\n',
         "no br-a at host-b: ask 4711"),
        ('[[rewrite]]\nchange = "interface.bridge"\nmap = { "br-a" = "br-none" }\n',
         "this host has no network interface br-none"),
        ('[[rewrite]]\nchange = "disk.file"\nfrom = "*/site-a/*"\nto = "*/absent/*"\n',
         "this host has no directory /var/lib/libvirt/absent"),
    ]:
        b.write(RULES, f'vms = "all"\nrequired = true\n{text}')
        refused = lab.migrate(a, b, vm.name, "--unsafe", check=False).result
        assert refused.returncode and why in refused.stderr, refused.stderr
    assert vm.state() == "running" and vm.there() == at_a
    assert site.files_of_ours(b) == []
    # A hook behind ours gets what ours has made; a disk that is copied is written where the rule says.
    b.write(NEXT_HOOK, '#!/bin/sh\n[ "$2" = migrate ] || exit 0\ntee /run/next-hook\n', 0o755)
    b.reload()
    b.write(RULES, f'vms = "all"\n{rules(at_a, at_b)}')
    b.path(at_b.disk).write_bytes(bytes(1 << 20))
    mark = vm.mark()
    vm.migrate(b, "--copy-storage-all")
    assert vm.there() == at_b
    assert vm.said()[mark:] == [], "its guest notices nothing"
    seen = b.read("/run/next-hook")
    assert at_b.bridge in seen and at_b.disk in seen and at_a.bridge not in seen
    assert b.path(at_b.disk).read_bytes() == a.path(at_a.disk).read_bytes()
    told = site.recontext(b, "status", "--verbose").stdout
    assert "rules alone" in told and at_b.bridge in told, told
    b.virsh("destroy", vm.name)
    assert vm.name not in site.recontext(b, "status").stdout
    # Nobody tells of its end; whatever looks at this host's VMs forgets it.
    let_a_minute_pass(site, b)
    site.recontext(b, "refresh", "--all")
    wait_until_nothing_is_left(site, b, vm)
    assert f"{vm.name}: is no longer running here\n" in b.syslog()
