"""What context costs a live migration: the paper's evaluation again."""

from collections.abc import Callable, Sequence
from typing import Any

from . import hook, moves, stats
from .amounts import Amounts
from .charts import Bar, bars
from .goals import Verdict, at_most
from .moves import OURS, PAPER, WITHOUT
from .report import Section, digits, ms, percent, table

TITLE = "What context costs a live migration"
GOAL, THE_PAPERS = 0.01, 0.18


def measure(amounts: Amounts) -> dict[str, Any]:
    return moves.measure(amounts)


def differences(blocks: Sequence[dict[str, Any]], way: str, figure: Callable[[dict[str, Any]], float]) -> list[float]:
    """Block by block, how much more a way takes than without context, in parts of the mean migration without."""
    base = stats.mean([total(block[WITHOUT]) for block in blocks]).value
    return [(figure(block[way]) - figure(block[WITHOUT])) / base for block in blocks]


def total(move: dict[str, Any]) -> float:
    """All of `virsh migrate`."""
    return move["total"]


def until_ready(move: dict[str, Any]) -> float:
    """Until QEMU waits for the memory on the destination: the hook has been called there for the last time."""
    return move["until_ready"]


def until_resumed(move: dict[str, Any]) -> float:
    return move["until_resumed"]


def until_context(move: dict[str, Any]) -> float:
    """Until the guest runs and has its new context: the paper's migration with recontextualisation."""
    return move["until_medium"] or move["until_resumed"]


FIGURES = {
    "`virsh migrate`, from its start to its end": total,
    "until QEMU waits for the memory, after all calls of the destination's hook": until_ready,
    "until the guest runs on the destination": until_resumed,
    "until it runs there and its new context is in the drive": until_context,
}


def judge(samples: dict[str, Any], others: dict[str, Any]) -> dict[str, Verdict]:
    more = stats.mean(differences(samples["blocks"], OURS, total))
    middle = stats.median(differences(samples["blocks"], OURS, total))
    calls = f"; by the hook's calls {percent(_share(samples, others))} %" if "hook" in others else ""
    return {"migration": Verdict(f"mean {more.told(percent, ' %')}, median {middle.told(percent, ' %')}, "
                                 f"{len(samples['blocks'])} pairs{calls}", at_most(more, GOAL))}


def tell(samples: dict[str, Any], others: dict[str, Any]) -> Section:
    blocks = samples["blocks"]
    absolute = [[way, *(stats.median([figure(block[way]) for block in blocks]).told(digits)
                        for figure in FIGURES.values()),
                 stats.median([block[way]["downtime"] for block in blocks]).told(ms)] for way in (WITHOUT, OURS, PAPER)]
    more = [[way, name, stats.mean(found).told(percent), stats.median(found).told(percent)]
            for way in (OURS, PAPER) for name, figure in FIGURES.items()
            for found in [differences(blocks, way, figure)]]
    drawn = [Bar(way, stats.mean(differences(blocks, way, total)), ours=way == OURS) for way in (OURS, PAPER)]
    return Section(TITLE, "\n\n".join([
        f"One idle VM (96 MiB, emulated) moves live between two libvirt hosts, there and back: {len(blocks)} blocks, "
        "each with every way once, in an order that turns. The hook is installed all the time. The Python recontextualiser "
        "works in the paper's way: it listens to libvirt's events on the destination and resolves, detaches, builds "
        "(genisoimage) and attaches. All migrations change nothing else.",
        table(["seconds, median", *FIGURES, "the guest's pause by QEMU, ms"], absolute),
        "The same as pairs: how much more than without context, in percent of the mean `virsh migrate` without. The "
        f"paper's prototype added {THE_PAPERS * 100:.0f} %.",
        table(["way", "measured", "mean difference, %", "median difference, %"], more),
        "![Time added to a migration](migration.svg)",
        "A VM without context has nothing to wait for in the last of these. The others' media change falls into "
        "the time in which the source still takes the VM down, so `virsh migrate` does not wait for it.",
        *_expected(samples, others),
    ]), {"migration.svg": bars("Time that context adds to a live migration (mean with its 95 % interval)", drawn,
                               lambda part: f"{part * 100:+.1f} %", limits=((THE_PAPERS, "the paper: +18 %"),))})


def _share(samples: dict[str, Any], others: dict[str, Any]) -> float:
    """What context adds to the hook's calls, as a part of the median migration without it."""
    middle = stats.median([total(block[WITHOUT]) for block in samples["blocks"]]).value
    return hook.added_to_a_migration(others["hook"]) / middle


def _expected(samples: dict[str, Any], others: dict[str, Any]) -> list[str]:
    """What can be said without the noise of whole migrations, if the hook was measured as well."""
    if "hook" not in others:
        return []
    return ["By the calls of the hook, which are all that a migration waits for, measured one by one (see below), "
            f"context adds {hook.added_to_a_migration(others['hook']) * 1e3:.1f} ms: {percent(_share(samples, others))} "
            "% of the median migration without. What the helper does takes processor time beside the migration."]
