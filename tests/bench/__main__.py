"""Measures and writes the report: python3 -m bench [--quick] [--pairs N] [--vms N] [--keep] [--again] [PART…]."""

import argparse
import dataclasses
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from . import disc, guest, hook, migration, phases, plug, scale, sizes
from .amounts import FULL, QUICK, Amounts
from .machine import stamp
from .programs import TARGET, ours
from .report import write

PARTS = {"migration": migration, "phases": phases, "guest": guest, "plug": plug, "hook": hook, "disc": disc, "scale": scale,
         "sizes": sizes}
# Not of a quick run, unless it is asked for.
SLOW = {"plug"}
SAMPLES = TARGET / "samples"
KEPT = Path(__file__).with_name("report")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/bench/run", description="What virt-recontext costs, measured against "
                                     "its rivals. The report is target/bench/report/README.md.")
    parser.add_argument("parts", metavar="PART", nargs="*", help=f"measure only these: {', '.join(PARTS)}; of the others "
                        "the report tells what was measured before")
    parser.add_argument("--quick", action="store_true", help="two minutes: enough to see that all works")
    parser.add_argument("--pairs", type=int, metavar="N", help=f"pairs of migrations ({FULL.blocks})")
    parser.add_argument("--vms", type=int, metavar="N", help="also with so many VMs at once, 190 MiB each")
    parser.add_argument("--keep", action="store_true", help="put the report into tests/bench/report as well")
    parser.add_argument("--again", action="store_true", help="only write the report again, of what was measured before")
    chosen = parser.parse_args()
    unknown = [part for part in chosen.parts if part not in PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}; there are: {', '.join(PARTS)}")
    return chosen


def amounts(chosen: argparse.Namespace) -> Amounts:
    found = QUICK if chosen.quick else FULL
    if chosen.pairs:
        found = dataclasses.replace(found, blocks=chosen.pairs)
    if chosen.vms:
        found = dataclasses.replace(found, vms=(*found.vms, chosen.vms))
    return found


def measure(chosen: argparse.Namespace) -> None:
    """Measures the chosen parts into a file each; a run of all parts forgets what was measured before."""
    if not chosen.parts:
        shutil.rmtree(SAMPLES, ignore_errors=True)
    SAMPLES.mkdir(parents=True, exist_ok=True)
    how = "quick: intervals are wide" if chosen.quick else "full"
    for name in chosen.parts or [name for name in PARTS if not (chosen.quick and name in SLOW)]:
        print(f"== {name}", flush=True)
        begin = time.monotonic()
        measured = {"stamp": stamp(how), "samples": PARTS[name].measure(amounts(chosen))}
        (SAMPLES / f"{name}.json").write_text(json.dumps(measured), encoding="utf-8")
        print(f"== {name}: {time.monotonic() - begin:.0f} s", flush=True)


def tell(directory: Path) -> Path:
    """Writes the report of all that was measured."""
    measured: dict[str, Any] = {name: json.loads((SAMPLES / f"{name}.json").read_text("utf-8"))
                                for name in PARTS if (SAMPLES / f"{name}.json").exists()}
    samples = {name: found["samples"] for name, found in measured.items()}
    sections = {name: PARTS[name].tell(found, samples) for name, found in samples.items()}
    verdicts: dict[str, Any] = {}
    for name, found in samples.items():
        verdicts |= PARTS[name].judge(found, samples)
    return write(directory, {name: found["stamp"] for name, found in measured.items()}, sections, verdicts)


def main() -> None:
    chosen = arguments()
    missing = [str(program) for program in ours() if not program.is_file()]
    if missing:
        sys.exit(f"{missing[0]} is missing: run packaging/build")
    if not chosen.again:
        measure(chosen)
    print(f"The report is {tell(TARGET / 'report')}")
    if chosen.keep:
        print(f"and {tell(KEPT)}")


main()
