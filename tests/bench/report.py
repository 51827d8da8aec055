"""The report: Markdown from the parts' sections, with the table of goals first."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .goals import Verdict, rows
from .machine import Stamp

HEAD = """# What virt-recontext costs, measured

The evaluation of the paper (Armstrong, Espling, Tordsson, Djemame, Elmroth: *Runtime Virtual Machine
Recontextualization for Clouds*, Euro-Par 2012) again, and the price of everything. All that is compared was measured in
turns, in one run, on one machine. Such a machine is noisy: read ratios and medians, each with its 95 % confidence
interval (written as value (low … high)), and no single times.
"""


@dataclass(frozen=True)
class Section:
    """A measured topic: its heading, its Markdown, and its figures by file name."""

    title: str
    text: str
    figures: dict[str, str] = field(default_factory=dict)


def table(heads: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in [heads, ["---"] * len(heads), *lines])


def ms(seconds: float) -> str:
    """Seconds as milliseconds, to three digits."""
    return digits(seconds * 1e3)


def times(ratio: float) -> str:
    """A ratio for a figure."""
    return f"{digits(ratio)} ×"


def percent(part: float) -> str:
    return f"{part * 100:+.1f}"


def digits(value: float) -> str:
    """A number, to three digits."""
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:,.0f}"


def write(directory: Path, stamps: dict[str, Stamp], sections: dict[str, Section], verdicts: dict[str, Verdict]) -> Path:
    """Writes README.md and the figures into a directory; what was there of an earlier report goes."""
    directory.mkdir(parents=True, exist_ok=True)
    for outdated in directory.glob("*.svg"):
        outdated.unlink()
    text = [HEAD, "## Goals", table(["what", "against", "goal", "measured", ""], rows(verdicts)),
            "A goal is met or missed if the whole interval is on that side of it, and open if the goal lies within.",
            _measured(stamps)]
    for section in sections.values():
        text += [f"## {section.title}", section.text]
        for name, figure in section.figures.items():
            (directory / name).write_text(figure, encoding="utf-8")
    page = directory / "README.md"
    page.write_text("\n\n".join(part.strip() for part in text) + "\n", encoding="utf-8")
    return page


def _measured(stamps: dict[str, Stamp]) -> str:
    """When, where and of what; the parts apart if they come from several runs."""
    by_run: dict[tuple[tuple[str, Any], ...], list[str]] = {}
    for part, stamp in stamps.items():
        by_run.setdefault(tuple(stamp.items()), []).append(part)
    told = []
    for facts, parts in by_run.items():
        told.append(f"Measured parts: {', '.join(parts)}.")
        told.append(table(["fact", "value"], [[name, str(value)] for name, value in facts]))
    return "\n\n".join([
        "## When, where, and how to repeat it", *told,
        "```console\n$ sudo tests/bench/run            # all of it; two minutes with --quick\n```\n\n"
        "It installs the Debian packages it needs, starts no service, and touches nothing of this machine's libvirt."])
