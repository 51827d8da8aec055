"""What context costs a live migration: the paper's evaluation again."""

from collections.abc import Callable, Sequence
from typing import Any

from . import moves, stats
from .amounts import Amounts
from .charts import Bar, bars
from .goals import Verdict
from .moves import OURS, PAPER, WITHOUT
from .report import Section, digits, ms, percent, table

TITLE = "What context costs a live migration"
GOAL, THE_PAPERS = 0.01, 0.18


def measure(amounts: Amounts) -> dict[str, Any]:
    return moves.measure(amounts)


def differences(blocks: Sequence[dict[str, Any]], way: str, figure: Callable[[dict[str, Any]], float]) -> list[float]:
    """Block by block, how much more a way takes than without context, in parts of the mean without."""
    base = stats.mean([figure(block[WITHOUT]) for block in blocks]).value
    return [(figure(block[way]) - figure(block[WITHOUT])) / base for block in blocks]


def total(move: dict[str, Any]) -> float:
    """All of `virsh migrate`."""
    return move["total"]


def until_delivered(move: dict[str, Any]) -> float:
    """Until `virsh migrate` has returned and the new medium is in the drive: the paper's migration with
    recontextualisation."""
    return max(move["total"], move["until_medium"] or 0)


def until_resumed(move: dict[str, Any]) -> float:
    return move["until_resumed"]


FIGURES = {
    "`virsh migrate`, from its start to its end": total,
    "until it has ended *and* the new context is in the drive": until_delivered,
    "until the guest runs on the destination": until_resumed,
}


def judge(samples: dict[str, Any]) -> dict[str, Verdict]:
    more = stats.mean(differences(samples["blocks"], OURS, total))
    middle = stats.median(differences(samples["blocks"], OURS, total))
    # Shown only if the interval leaves no room for more; a mean that lies below the goal by luck shows nothing.
    met = True if more.high <= GOAL else False if more.low > GOAL else None
    open_ = "; the interval is too wide to tell" if met is None else ""
    return {"migration": Verdict(f"mean {more.told(percent, ' %')}, median {middle.told(percent, ' %')}, "
                                 f"{len(samples['blocks'])} pairs{open_}", met)}


def tell(samples: dict[str, Any]) -> Section:
    blocks = samples["blocks"]
    absolute = [[way, *(stats.median([figure(block[way]) for block in blocks]).told(digits) for figure in FIGURES.values()),
                 stats.median([block[way]["downtime"] for block in blocks]).told(ms)] for way in (WITHOUT, OURS, PAPER)]
    more = [[way, name, stats.mean(found).told(percent), stats.median(found).told(percent)]
            for way in (OURS, PAPER) for name, figure in FIGURES.items()
            for found in [differences(blocks, way, figure)]]
    context = [[way, stats.median([block[way]["until_medium"] for block in blocks]).told(digits),
                stats.median([block[way]["medium"] for block in blocks]).told(ms)] for way in (OURS, PAPER)]
    drawn = [Bar(way, stats.mean(differences(blocks, way, total)), ours=way == OURS) for way in (OURS, PAPER)]
    return Section(TITLE, "\n\n".join([
        f"One idle VM (96 MiB, emulated) moves live between two libvirt hosts, there and back: {len(blocks)} blocks, each "
        "with every way once, in an order that turns. The hook is installed all the time. The Python recontextualiser "
        "works in the paper's way: it listens to libvirt's events on the destination and resolves, detaches, builds "
        "(genisoimage) and attaches. All migrations change nothing else.",
        table(["seconds, median", *FIGURES, "the guest's pause by QEMU, ms"], absolute),
        "The same as pairs: how much more than without context, in percent of its mean. The paper's prototype added "
        f"{THE_PAPERS * 100:.0f} %.",
        table(["way", "measured", "mean difference, %", "median difference, %"], more),
        "![Time added to a migration](migration.svg)",
        "When the new context is in the drive:",
        table(["way", "seconds from the start of the migration", "ms from RESUMED"], context),
    ]), {"migration.svg": bars("Time that context adds to a live migration (mean with its 95 % interval)", drawn,
                               lambda part: f"{part * 100:+.1f} %", limits=((THE_PAPERS, "the paper: +18 %"),))})
