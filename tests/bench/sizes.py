"""How large the programs are, how many crates are in them, and how long the helper takes to start."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import stats
from .amounts import Amounts
from .goals import Verdict
from .programs import TOP, ours, rival, spawn
from .report import Section, digits, ms, table

TITLE = "Sizes and starts"
MIB = 1 << 20
HOOK, HELPER, LIBVIRT = "virt-recontext-hook --version", "virt-recontext --version", "virsh --version"
FLOOR, PYTHON = "static C program", "python3 -c pass"


def measure(amounts: Amounts) -> dict[str, Any]:
    programs = ours()
    with tempfile.NamedTemporaryFile() as nothing:
        starts = spawn(max(amounts.rounds // 10, 20), Path(nothing.name), {
            FLOOR: [rival("stdin.c")], HOOK: [programs.hook, "--version"], HELPER: [programs.helper, "--version"],
            LIBVIRT: ["/usr/bin/virsh", "--version"], PYTHON: ["/usr/bin/python3", "-c", "pass"]})
    return {"bytes": {"hook": programs.hook.stat().st_size, "helper": programs.helper.stat().st_size},
            "crates": {"hook": _crates("--no-default-features"), "helper": _crates()}, "starts": starts}


def _crates(*features: str) -> int:
    """How many crates are compiled into a program, but itself; procedural macros and build scripts are in none."""
    done = subprocess.run(["cargo", "tree", "--quiet", "--locked", "--edges", "normal,no-proc-macro", "--prefix", "none",
                           "--format", "{p}", *features], cwd=TOP, capture_output=True, text=True, check=True)
    return len({line.removesuffix(" (*)") for line in done.stdout.splitlines() if line}) - 1


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    size = samples["bytes"]
    return {"size": Verdict(f"hook {size['hook'] / MIB:.2f} MiB, helper {size['helper'] / MIB:.2f} MiB",
                            size["hook"] <= 2 * MIB and size["helper"] <= 4 * MIB)}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    rows = [[program, f"{samples['bytes'][program] / MIB:.2f}", str(samples["crates"][program])]
            for program in ("hook", "helper")]
    starts = samples["starts"]
    times = [[name, stats.median(seconds).told(ms), stats.ratio(seconds, starts[FLOOR]).told(digits)]
             for name, seconds in starts.items()]
    return Section(TITLE, "\n\n".join([
        table(["program", "MiB, stripped", "crates inside"], rows),
        "From the start of a program to its end, with nothing to do; virsh and the helper both link libvirt's library.",
        table(["program", "time in ms", "× static C program"], times)]))
