"""What a disc costs: in memory, and by the whole process, against genisoimage and xorriso, as it grows."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from . import stats
from .amounts import Amounts
from .charts import lines
from .content import CONTEXT
from .domain import NAME, domain
from .goals import Verdict, at_least
from .programs import MEMORY, TOP, Commands, ours, page_faults, spawn
from .report import Section, digits, ms, table

TITLE = "What a disc costs"
IN_MEMORY, HOOK, OURS = "in memory, by our library", "hook, migrate begin", "virt-recontext build"
GENISOIMAGE, XORRISO = "genisoimage", "xorriso"
# What no program that makes a disc of files can do without: reading and writing their content.
COPY = "cat of the files"
PROCESSES = (HOOK, OURS, GENISOIMAGE, XORRISO, COPY)
ALL = (IN_MEMORY, *PROCESSES)
FAULTS = "page faults"

MIB = 1 << 20
# Files and bytes of each: the cases of the table, and what the figures grow over.
SMALL, MANY, LARGE = (6, 3 << 10), (1000, 1 << 10), (16, 4 * MIB)
BY_FILES = [(count, 1 << 10) for count in (1, 10, 100, 1000)]
BY_SIZE = [(16, size * MIB // 16) for size in (1, 4, 16, 64)]
CASES = {SMALL: "6 files of 3 KiB", MANY: "1,000 files of 1 KiB", LARGE: "64 MiB in 16 files"}


def measure(amounts: Amounts) -> dict[str, Any]:
    program = _library()
    found = {}
    for case in dict.fromkeys([*CASES, *BY_FILES, *BY_SIZE]):
        found[_key(case)] = _processes(case, amounts.discs) | {IN_MEMORY: _in_memory(program, case, amounts.discs)}
    return found


def _library() -> Path:
    """disc.rs, built with the profile of the programs."""
    done = subprocess.run(["cargo", "bench", "--quiet", "--locked", "--no-default-features", "--bench", "disc",
                           "--no-run", "--message-format=json"], cwd=TOP, stdout=subprocess.PIPE, text=True, check=True)
    made = (json.loads(line) for line in done.stdout.splitlines())
    return next(Path(one["executable"]) for one in made
                if one.get("executable") and one["target"]["name"] == "disc")


def _in_memory(program: Path, case: tuple[int, int], rounds: int) -> list[float]:
    done = subprocess.run([program, *map(str, case), str(rounds)], capture_output=True, text=True, check=True)
    return [int(line) / 1e9 for line in done.stdout.split()]


def _processes(case: tuple[int, int], rounds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(dir=MEMORY) as temporary:
        root = Path(temporary)
        tree, disc = root / CONTEXT, root / "disc.iso"
        _grow(tree, *case)
        (root / "etc/virt-recontext/config.toml").write_text('[limits]\ndisc_size = "128MiB"\n', encoding="utf-8")
        xml = root / "domain.xml"
        xml.write_text(domain("arriving", context=True), encoding="utf-8")
        for directory in ("run/libvirt", "var/lib/libvirt", "usr/sbin", "dev"):
            (root / directory).mkdir(parents=True)
        commands: Commands = {
            HOOK: [ours().hook, NAME, "migrate", "begin", "-"],
            OURS: [ours().helper, "build", "--xml", xml, "--output", disc],
            GENISOIMAGE: ["/usr/bin/genisoimage", "-quiet", "-R", "-J", "-V", "RECONTEXT", "-o", disc, tree],
            XORRISO: ["/usr/bin/xorriso", "-as", "mkisofs", "-quiet", "-R", "-J", "-V", "RECONTEXT", "-o", disc, tree],
            COPY: ["/bin/sh", "-c", f"cat {tree}/*/* > {disc}"]}
        environment = {"VIRT_RECONTEXT_ROOT": str(root)}
        took = spawn(rounds, xml, commands, environment)
        # The hook exits with 0 whatever happens.
        images = [image.stat().st_size for image in (root / "var/lib/libvirt").rglob("*.iso")]
        if not images or images[0] < case[0] * case[1]:
            raise RuntimeError(f"the hook has not made a disc of {_key(case)} bytes")
        return took | {FAULTS: {name: page_faults(command, xml, environment) for name, command in commands.items()}}


def _grow(tree: Path, count: int, size: int) -> None:
    """Plain files in directories of a hundred, as disc.rs has them."""
    for number in range(count):
        file = tree / f"directory-{number // 100}" / f"file-{number}.conf"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(bytes((at * 31 + number) % 256 for at in range(256)) * (size // 256))


def _key(case: tuple[int, int]) -> str:
    return f"{case[0]} x {case[1]}"


def _faster_rival(measured: dict[str, Any]) -> str:
    return min((GENISOIMAGE, XORRISO), key=lambda name: stats.median(measured[name]).value)


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    measured = samples[_key(LARGE)]
    rival = _faster_rival(measured)
    faster = stats.ratio(measured[rival], measured[HOOK])
    memory = stats.median(measured[rival]).value / stats.median(measured[IN_MEMORY]).value
    copy = stats.ratio(measured[rival], measured[COPY])
    return {"disc": Verdict(f"{faster.told(digits, ' ×')} faster than {rival}, whole processes; the part in memory "
                            f"{digits(memory)} ×. Copying the files with `cat`: {copy.told(digits, ' ×')}",
                            at_least(faster, 2))}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    rows = []
    for case, name in CASES.items():
        measured = samples[_key(case)]
        faster = stats.ratio(measured[_faster_rival(measured)], measured[HOOK])
        rows.append([name, *(stats.median(measured[program]).told(ms) for program in ALL), faster.told(digits)])
    slopes = [[program, _slope(samples, program, BY_FILES, 1000, lambda case: case[0]),
               _slope(samples, program, BY_SIZE, 1000, lambda case: case[0] * case[1] / MIB),
               f"{samples[_key(LARGE)][FAULTS][program]:,}" if program in PROCESSES else ""]
              for program in ALL]
    files = {program: [(float(case[0]), _median(samples, case, program)) for case in BY_FILES] for program in ALL}
    sizes = {program: [(case[0] * case[1] / MIB, _median(samples, case, program)) for case in BY_SIZE]
             for program in ALL}
    rounds = len(samples[_key(SMALL)][OURS])
    return Section(TITLE, "\n\n".join([
        f"Medians of {rounds} rounds, in milliseconds, with 95 % intervals. Sources and discs lie in memory (tmpfs), so "
        "no storage has a part in it. All writers of discs write Rock Ridge and Joliet. The hook, which makes the discs "
        "of VMs that start or arrive, and `virt-recontext build` also read configuration, facts and the VM's XML; the "
        "latter first loads libvirt's library, which takes most of its time for a small disc (see its start below).",
        table(["disc", *ALL, "hook faster than the faster rival, ×"], rows),
        "What one more file of 1 KiB and one more MiB cost, between the smallest and the largest of the figures; and how "
        "many pages of memory the kernel had to find or clear for a disc of 64 MiB (in the hook without its child, which "
        "does the work):",
        table(["", "ms per 1,000 files", "ms per 1,000 MiB", "page faults at 64 MiB"], slopes),
        "![Time over files](disc-files.svg)", "![Time over size](disc-size.svg)",
    ]), {"disc-files.svg": lines("Time of a disc with more and more files", "files of 1 KiB", "milliseconds", files,
                                 lambda x: f"{x:,.0f}", lambda y: f"{y:g}"),
         "disc-size.svg": lines("Time of a disc that grows", "MiB in 16 files", "milliseconds", sizes,
                                lambda x: f"{x:,.0f}", lambda y: f"{y:g}")})


def _median(samples: dict[str, Any], case: tuple[int, int], program: str) -> float:
    return stats.median(samples[_key(case)][program]).value * 1e3


def _slope(samples: dict[str, Any], program: str, cases: list[tuple[int, int]], per: float, size: Any) -> str:
    rise = _median(samples, cases[-1], program) - _median(samples, cases[0], program)
    return digits(rise / (size(cases[-1]) - size(cases[0])) * per)
