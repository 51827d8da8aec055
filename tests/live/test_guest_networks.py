"""What the recipe in packaging/guest/new-networks does about a disc, in a network of its own, with stubs for programs.

test_new_network.py shows it at work.
"""

import json
import subprocess
from pathlib import Path

import pytest

RECIPE = Path(__file__).resolve().parents[2] / "packaging" / "guest" / "new-networks" / "30-new-networks"
FIRST, SECOND, BRIDGED, ABSENT = (f"52:54:00:00:00:0{number}" for number in (1, 2, 3, 9))

# eth0 has a macvlan, eth2 is in a bridge that has an address of its own. Each program notes how it is called; networkctl
# fails where there is a file that says so.
SCRIPT = f"""
    set -eu
    mount -t sysfs none /sys
    for directory in /run /var/lib; do mount -t tmpfs none $directory; done
    for number in 1 2 3; do
        ip link add "eth$((number - 1))" address "52:54:00:00:00:0$number" type veth peer name "end$number"
    done
    ip link add link eth0 name upon0 type macvlan
    ip link add br0 type bridge
    ip link set eth2 master br0
    ip link set br0 address 52:54:00:00:00:0a
    mkdir /run/stubs /run/disc
    for program in systemctl networkctl nmcli; do
        printf '#!/bin/sh\\necho "${{0##*/}} $*" >>/run/calls\\n' >/run/stubs/$program
        chmod 755 /run/stubs/$program
    done
    eval "$2"
    PATH=/run/stubs:$PATH
    for disc in "$1"/??; do
        cp "$disc" /run/disc/recontext.json
        status=0
        {RECIPE} /run/disc >"$disc.said" 2>&1 || status=$?
        echo "$status" >"$disc.status"
        (grep -E 'reconfigure|connection up' /run/calls || true) >"$disc.calls"
        rm -f /run/calls
    done"""
NETWORKD = """
    cat >>/run/stubs/networkctl <<-'END'
        case $* in
            *list*) echo '  2 eth0 ether routable configured' ;;
            "reconfigure $(cat /run/broken 2>/dev/null)") exit 1 ;;
        esac
END
"""
NETWORK_MANAGER = """
    echo 'exit 3' >>/run/stubs/systemctl
    cat >>/run/stubs/nmcli <<-'END'
        case $* in
            *GENERAL.STATE*eth0) echo '100 (connected)' ;;
            *GENERAL.STATE*) echo '100 (connected (externally))' ;;
            *CON-UUID*) echo 300a862e-0c37-3281-9785-86ce37ac63f0 ;;
        esac
END
"""


def disc(networks, host="host-b", reason="migrate", **more):
    """A marker as our programs write it."""
    members = {"schema": 1, "generation": 1795782523, "reason": reason, "built_at": "2026-11-27T12:00:00Z"}
    members |= {"host_id": host} if host else {}
    members |= {"new_networks": networks} if networks is not None else {}
    return json.dumps(members | {"facts": {}} | more, separators=(",", ":")) + "\n"


def runs(tmp_path, discs, guest=NETWORKD):
    """Runs the recipe for one disc after the other; (exit status, what it said, what it had reconfigured) of each."""
    for number, content in enumerate(discs):
        (tmp_path / f"{number:02}").write_bytes(content.encode("latin-1"))
    done = subprocess.run(["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh",
                           tmp_path, guest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def read(number, kind):
        return (tmp_path / f"{number:02}.{kind}").read_text("latin-1")

    return [(int(read(number, "status")), read(number, "said"), read(number, "calls").splitlines())
            for number in range(len(discs))]


def calls(tmp_path, discs):
    """The interfaces that networkd was told of for each disc; nothing failed."""
    results = runs(tmp_path, discs)
    assert [status for status, _, _ in results] == [0] * len(discs), results
    return [[call.removeprefix("networkctl reconfigure ") for call in told] for _, _, told in results]


def test_interfaces_are_found_by_address_and_with_what_is_built_on_them(tmp_path):
    discs = [disc([FIRST]), disc([SECOND]), disc([BRIDGED, SECOND]), disc([ABSENT]), disc([]), disc(None)]
    assert calls(tmp_path, discs) == [["eth0", "upon0"], ["eth1"], ["br0"], [], [], []]


def test_each_is_done_once_at_each_host(tmp_path):
    there = [disc([SECOND]), disc([SECOND], reason="refresh"), disc([SECOND])]
    back = [disc([SECOND], "host-a"), disc([SECOND], "host-a", "refresh")]
    without = [disc(None, "host-a"), disc(None, "host-a", "refresh")]
    assert calls(tmp_path, [*there, *back, *there, *without, *there]) == [
        ["eth1"], [], [], ["eth1"], [], ["eth1"], [], [], [], [], ["eth1"], [], []]


def test_hosts_that_hide_their_names_are_told_apart_by_the_reason(tmp_path):
    discs = [disc([SECOND], None), disc([SECOND], None, "refresh"), disc([SECOND], None)]
    assert calls(tmp_path, discs) == [["eth1"], [], ["eth1"]]


def test_what_failed_is_tried_again_at_the_next_disc_and_what_did_not_is_not(tmp_path):
    first, second, third = runs(tmp_path, [disc([FIRST, SECOND])] * 3, f"{NETWORKD}\necho upon0 >/run/broken")
    assert (first[0], first[2]) == (1, [f"networkctl reconfigure {name}" for name in ("eth0", "upon0", "eth1")])
    assert "upon0 is on another network, but systemd-networkd did not configure it anew" in first[1]
    assert second == third and (second[0], second[2]) == (1, first[2][:2])


def test_networkmanager_has_the_profile_that_is_in_use_activated_anew(tmp_path):
    [(status, said, told)] = runs(tmp_path, [disc([FIRST])], NETWORK_MANAGER)
    assert status == 0
    assert told == ["nmcli --wait 0 connection up uuid 300a862e-0c37-3281-9785-86ce37ac63f0 ifname eth0"]
    assert "upon0 is on another network, but is left as it is: nothing that is known here is in charge of it" in said


def test_only_a_list_of_addresses_before_the_facts_is_taken(tmp_path):
    bad = [["eth1"], [f"{SECOND};reboot"], [SECOND, "$(reboot)"], [SECOND.replace("0", "G")], [f"{SECOND}:00"], [SECOND[1:]],
           [SECOND, 7], [None], [[SECOND]], SECOND, {"x": [SECOND]}, 7, True, [f'{SECOND}","{FIRST}']]
    for status, said, told in runs(tmp_path, [disc(networks) for networks in bad]):
        assert (status, told) == (1, []) and "nothing is done: " in said


@pytest.mark.parametrize("content", [
    "", "{}", "[]", "\0", "\xff\xfe", "new_networks", disc(None, f'x","new_networks":["{SECOND}"],"y":"'),
    disc(None, "\\") + disc([SECOND]), disc(None, more={"new_networks": [SECOND]}),
    disc(None, facts={"new_networks": [SECOND], "x": {"new_networks": [SECOND]}})])
def test_what_only_looks_like_a_list_is_none(tmp_path, content):
    assert calls(tmp_path, [content]) == [[]]


def test_any_name_of_a_host_is_one(tmp_path):
    odd = ['a"b', "a\\", "{", "a,b", "]", '","new_networks":[]', "$(reboot)", " ", "/&"]
    assert calls(tmp_path, [disc([SECOND], host) for host in odd]) == [["eth1"]] * len(odd)
