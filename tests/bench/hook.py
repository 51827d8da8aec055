"""What a call of the hook costs, against the least that any hook could do.

The calls are run as libvirtd runs them: three pipes, the XML on stdin, until both outputs end and the process is
reaped.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, socket
from typing import Any

from . import content, stats
from .amounts import Amounts
from .charts import Bar, bars
from .domain import NAME, domain
from .goals import Verdict, at_least, at_most
from .programs import ENVIRONMENT, MEMORY, Commands, ours, page_faults, rival, spawn
from .report import Section, digits, ms, table, times

TITLE = "What the hook costs"
FLOOR, BASH, PYTHON = "static C program", "least bash hook", "least Python hook"
WITHOUT, WITH = "hook, VM without context", "hook, migrate begin with context"
WITH_RULES = "hook, migrate begin with context and rules"
SIGNED = "hook, migrate begin with context that is signed"
# Ten rules, of which four fit, at five places of the XML.
RULES = """[[rewrite]]
change = "interface.bridge"
map = { "br-a" = "br1", "br0" = "vmbr1", "br-*" = "vm-*" }
must_exist = false
[[rewrite]]
change = "graphics.listen"
to = "10.0.0.2"
[[rewrite]]
change = "disk.hosts"
to = "ceph-b.example:6789"
[[rewrite]]
change = "disk.name"
from = "pool/*"
to = "other/*"
""" + "".join(f"[[rewrite]]\nchange = '{place}'\nfrom = 'other'\nto = 'another'\n"
              for place in ("interface.network", "interface.filter", "disk.pool", "disk.volume", "disk.host",
                            "serial.host"))
GENISOIMAGE = "genisoimage alone"
XORRISO = "xorriso alone"
# The calls of one arrival, and of a departure, in their order, with the XML that libvirtd gives.
ARRIVAL = {"migrate begin": "arriving", "prepare begin": "arriving", "start begin": "running",
           "started begin": "running"}
DEPARTURE = {"stopped end": "gone", "release end": "gone"}


def measure(amounts: Amounts) -> dict[str, Any]:
    with host() as root:
        environment = {"VIRT_RECONTEXT_ROOT": str(root)}
        xml = {template: _write(root / f"{template}.xml", domain(template, context=True))
               for template in ("arriving", "running", "gone")}
        plain = _write(root / "plain.xml", domain("arriving", context=False))
        call = (NAME, "migrate", "begin", "-")
        hook, floor = (ours().hook, *call), (rival("stdin.c"), *call)
        without: Commands = {FLOOR: floor, WITHOUT: hook, BASH: (rival("least.sh"), *call),
                             PYTHON: (rival("least.py"), *call)}
        tree, disc = root / content.CONTEXT, root / "rival.iso"
        with_context: Commands = {
            FLOOR: floor, WITH: hook, GENISOIMAGE: ["/usr/bin/genisoimage", "-quiet", "-R", "-J", "-o", disc, tree]}
        with host() as adapting:
            rules = adapting / "etc/virt-recontext/rewrite.d"
            rules.mkdir()
            _write(rules / "50-site.toml", RULES)
            with_rules = spawn(amounts.rounds, xml["arriving"], {FLOOR: floor, WITH_RULES: hook},
                               {"VIRT_RECONTEXT_ROOT": str(adapting)})
            states = list(adapting.glob("run/libvirt/recontext/state/*.json"))
            if '\\"br0\\" -> \\"vmbr1\\"' not in states[0].read_text("utf-8"):
                raise RuntimeError("the hook has applied no rule")
        with host() as signing:
            key = signing / "etc/virt-recontext/signing_key"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "site-b", "-f", key], check=True)
            signed = spawn(amounts.rounds, xml["arriving"], {FLOOR: floor, SIGNED: hook},
                           {"VIRT_RECONTEXT_ROOT": str(signing)})
            image = next(signing.glob("var/lib/libvirt/recontext/*.iso"))
            if b"BEGIN SSH SIGNATURE" not in image.read_bytes():
                raise RuntimeError("the hook has signed no disc")
        # Takes too long to be run as often.
        slow: Commands = {
            FLOOR: floor, XORRISO: ["/usr/bin/xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-o", disc, tree]}
        calls = {name: spawn(max(amounts.rounds // 5, 20), xml[template],
                             {FLOOR: floor, name: (ours().hook, NAME, *name.split(), "-")}, environment)
                 for name, template in (ARRIVAL | DEPARTURE).items()}
        found = {
            "without": spawn(amounts.rounds, plain, without, environment),
            "with": spawn(amounts.rounds, xml["arriving"], with_context, environment),
            "rules": with_rules,
            "signed": signed,
            "xorriso": spawn(max(amounts.rounds // 20, 10), xml["arriving"], slow, environment),
            "calls": calls,
            "instructions": {name: instructions(command, plain, environment) for name, command in without.items()}
            | {WITH: instructions(hook, xml["arriving"], environment)},
            "page faults": {name: page_faults(command, plain, environment) for name, command in without.items()}
            | {name: page_faults(command, xml["arriving"], environment)
               for name, command in (with_context | slow).items() if name != FLOOR},
        }
        # The hook exits with 0 whatever happens.
        if not any(root.glob("var/lib/libvirt/recontext/*.iso")):
            raise RuntimeError("the hook has made no disc")
        return found


@contextmanager
def host() -> Iterator[Path]:
    """A host in a directory: a typical context, a log whose lines nobody reads, and in the helper's place a program that
    ends at once."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as temporary, socket(AF_UNIX, SOCK_DGRAM) as log:
        root = Path(temporary)
        content.put(root, "host-a")
        for directory in ("run/libvirt", "var/lib/libvirt", "usr/sbin", "dev"):
            (root / directory).mkdir(parents=True)
        log.bind(str(root / "dev/log"))
        shutil.copy(rival("stdin.c"), root / "usr/sbin/virt-recontext")
        yield root


def _write(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def instructions(command: Sequence[str | Path], stdin: Path, environment: dict[str, str]) -> int:
    """How many a run executes with its children, by valgrind; without the helper that it may start."""
    with open(stdin, "rb") as text, tempfile.TemporaryDirectory(dir=MEMORY) as temporary:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--trace-children=yes", "--trace-children-skip=*/virt-recontext",
             f"--callgrind-out-file={temporary}/%p", *command],
            stdin=text, env=ENVIRONMENT | environment, capture_output=True, text=True, check=True)
        return sum(int(found) for found in re.findall(r"Collected : (\d+)", done.stderr))


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    without, with_context = samples["without"], samples["with"]
    price = stats.ratio(without[WITHOUT], without[FLOOR])
    slower = {name: stats.ratio(without[name], without[WITHOUT]) for name in (BASH, PYTHON)}
    disc = stats.ratio(with_context[WITH], with_context[FLOOR])
    rules = stats.ratio(samples["rules"][WITH_RULES], samples["rules"][FLOOR])
    signed = stats.ratio(samples["signed"][SIGNED], samples["signed"][FLOOR])
    return {
        "hook": Verdict(price.told(digits, " ×"), at_most(price, 1.15)),
        "scripts": Verdict("; ".join(f"{name} {estimate.told(digits, ' ×')}" for name, estimate in slower.items()),
                           at_least(min(slower.values(), key=lambda estimate: estimate.value), 5)),
        "migrate": Verdict(disc.told(digits, " ×"), at_most(disc, 2.5)),
        "rules": Verdict(rules.told(digits, " ×"), at_most(rules, 3.5)),
        "signed": Verdict(signed.told(digits, " ×"), at_most(signed, 3.5)),
    }


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    without, with_context, slow = samples["without"], samples["with"], samples["xorriso"]
    groups = [(without, (FLOOR, WITHOUT, BASH, PYTHON)), (with_context, (WITH, GENISOIMAGE)), (slow, (XORRISO,))]
    rows, drawn = [], []
    for group, names in groups:
        for name in names:
            against = stats.ratio(group[name], group[FLOOR])
            count = samples["instructions"].get(name)
            faults = samples["page faults"][name]
            rows.append([name, stats.median(group[name]).told(ms), "1" if name == FLOOR else against.told(digits),
                         f"{count:,}" if count else "", f"{faults:,}"])
            drawn.append(Bar(name, against, ours=name in (WITHOUT, WITH)))
    arrival, departure = (_sum(samples["calls"], calls) for calls in (ARRIVAL, DEPARTURE))
    calls = [[call, stats.median(times_of[call]).told(ms), stats.ratio(times_of[call], times_of[FLOOR]).told(digits)]
             for call, times_of in samples["calls"].items()]
    rounds = len(without[FLOOR])
    return Section(TITLE, "\n\n".join([
        f"Medians of {rounds} rounds in which all take turns, with 95 % intervals. 17 KB of XML; a context of ten files "
        "and 20 KB. Instructions, by valgrind, are those of the process and its children; page faults those of the "
        "process and of the children that it waits for to their end, which our hook does not: its child answers and then ends.",
        table(["program", "time in ms", "× static C program", "instructions", "page faults"], rows),
        "![The hook against its rivals](hook.svg)",
        "The calls that libvirtd makes for one migration of a VM with context. All in all they take "
        f"{arrival * 1e3:.1f} ms on the destination, of which a program that does nothing would take "
        f"{_floor(samples['calls'], ARRIVAL) * 1e3:.1f} ms, and {departure * 1e3:.1f} ms on the source. Without "
        f"context, our hook takes {stats.median(without[WITHOUT]).value * 1e3:.2f} ms for each of these calls.",
        table(["call", "time in ms", "× static C program"], calls),
    ]), {"hook.svg": bars("Time of one hook call, in times of a static C program that does nothing", drawn, times,
                          logarithmic=True)})


def added_to_a_migration(samples: dict[str, Any]) -> float:
    """The seconds that context adds to the calls of a migration, both hosts' together."""
    calls = samples["calls"]
    # At this one nothing is read or done with context either.
    concerned = [call for call in calls if call != "start begin"]
    without = stats.median(samples["without"][WITHOUT]).value
    return sum(stats.median(calls[call][call]).value - without for call in concerned)


def _sum(calls: dict[str, Any], names: dict[str, str]) -> float:
    return sum(stats.median(calls[call][call]).value for call in names)


def _floor(calls: dict[str, Any], names: dict[str, str]) -> float:
    return sum(stats.median(calls[call][FLOOR]).value for call in names)
