"""What the recipes in packaging/guest/services take from a disc, in a file system of their own, without the services.

test_debian_guest.py shows them at work.
"""

import subprocess
from pathlib import Path

import pytest

RECIPES = Path(__file__).resolve().parents[2] / "packaging" / "guest" / "services"

# By program: the file on the disc, the file that it makes, a good value and what is made of it, and other good values.
SERVICES = {
    "40-resolved": ("dns-servers", "/etc/systemd/resolved.conf.d/recontext.conf", "10.0.0.1\nfe80::1\n",
                    "[Resolve]\nDNS=\nDNS=10.0.0.1\nDNS=fe80::1\nDomains=~.\n",
                    ["255.255.255.255", "::", "1::8", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8"]),
    "50-apt": ("apt/debian.list", "/etc/apt/mirrors/debian.list",
               "http://mirror.example/debian\n\n http://[::1]:80/ \r\n",
               "http://mirror.example/debian\nhttp://[::1]:80/\n", ["https://a", "http://10.0.0.1/a/b%20c/"]),
    "50-chrony": ("ntp-servers", "/etc/chrony/sources.d/recontext.sources", "ntp.example\n10.0.0.1",
                  "server ntp.example iburst prefer\nserver 10.0.0.1 iburst prefer\n", ["a", "a-b.c.", "::1"]),
    "50-collectd": ("collectd-servers", "/etc/collectd/collectd.conf.d/recontext.conf", "ntp.example 25827\n10.0.0.1\n",
                    'LoadPlugin network\n<Plugin network>\n    Server "ntp.example" "25827"\n    Server "10.0.0.1"\n'
                    "</Plugin>\n", ["a   1", "::1 65535"]),
}
# What is a value for none of them, after a value that is good.
BAD = [
    "$(reboot)", "`reboot`", "10.0.0.1;reboot", "10.0.0.1 | reboot", "10.0.0.1\r10.0.0.2", "10.0.0.1\0;x", "-x", "*", ".",
    "a..b", "a-", "a/b", "a_b", 'a"b', "a'b", "a\\nb", "a#b", "\xff\xfe", "a" * 64, ".".join(["a"] * 11), "%s", "#",
    "http://", "http://a b", "http://a\tpriority:1", "http://a/$(x)", "http://a/?x", "http://u:p@a/", "ftp://a",
    "file:/etc/passwd", "1::2::3", ":::", "12345::1", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "a 0", "a 1 2", "a 123456",
    "a iburst", "</Plugin>",
]
BAD_ADDRESSES = ["256.1.1.1", "01.2.3.4", "1.2.3", "a.example", "10.0.0.1:53"]
NOTHING = ["", "\n", " \t\n\r\n"]

# What makes a guest that has all services, and one that has none.
ALL = """
    mkdir -p /etc/systemd /etc/chrony/sources.d /etc/collectd/collectd.conf.d
    printf '#!/bin/sh\\n' >/usr/lib/systemd/systemd-resolved
    chmod 755 /usr/lib/systemd/systemd-resolved"""
NONE = "export PATH=/nowhere"

SCRIPT = """
    set -eu
    for directory in /etc /run /usr/lib/systemd /usr/local; do mount -t tmpfs none $directory; done
    mkdir -p /usr/local/lib/recontext "$(dirname "/run/recontext/services/$3")"
    cp "$1/follow" /usr/local/lib/recontext/
    for value in "$5"/???; do
        cp "$value" "/run/recontext/services/$3"
        status=0
        (eval "$6"; exec "$1/$2") >"$value.said" 2>&1 || status=$?
        echo "$status" >"$value.status"
        if [ -e "$4" ]; then cp "$4" "$value.made"; fi
        if [ -e "$4.new" ]; then echo "left: $4.new" >>"$value.said"; fi
    done"""


def runs(tmp_path, program, values, guest=ALL):
    """Runs a program once for each value on the disc; (exit status, what it said, what its file holds then) of each."""
    inside, made = SERVICES[program][:2]
    for number, value in enumerate(values):
        (tmp_path / f"{number:03}").write_bytes(value.encode("latin-1"))
    done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh",
                           RECIPES, program, inside, made, tmp_path, guest], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

    def read(number, kind):
        file = tmp_path / f"{number:03}.{kind}"
        return file.read_bytes().decode("latin-1") if file.exists() else None

    return [(int(read(number, "status")), read(number, "said"), read(number, "made")) for number in range(len(values))]


@pytest.mark.parametrize("program", SERVICES)
def test_what_is_good_is_taken(tmp_path, program):
    good, made, others = SERVICES[program][2:]
    taken, *results = runs(tmp_path, program, [good, *others])
    assert taken == (0, "", made)
    for value, (status, said, holds) in zip(others, results, strict=True):
        words = value.split()
        assert (status, said) == (0, "") and all(word in holds for word in words), value


@pytest.mark.parametrize("program", SERVICES)
def test_one_bad_value_among_good_ones_changes_nothing_and_is_told(tmp_path, program):
    inside, _, good, made, _ = SERVICES[program]
    bad = BAD + (BAD_ADDRESSES if program == "40-resolved" else [])
    first, *results = runs(tmp_path, program, [good, *(f"{good.strip()}\n{value}\n" for value in bad)])
    assert first == (0, "", made)
    for value, (status, said, holds) in zip(bad, results, strict=True):
        assert (status, holds) == (1, made), value
        assert said.startswith(f"{program}: nothing changes: in services/{inside} on the disc, this is no "), value


@pytest.mark.parametrize("program", SERVICES)
def test_a_file_that_says_nothing_changes_nothing(tmp_path, program):
    good, made = SERVICES[program][2:4]
    assert runs(tmp_path, program, [good, *NOTHING]) == [(0, "", made)] * (1 + len(NOTHING))


@pytest.mark.parametrize("program", SERVICES)
def test_nothing_is_done_for_a_service_that_is_not_installed(tmp_path, program):
    assert runs(tmp_path, program, [SERVICES[program][2]], NONE) == [(0, "", None)]
