"""What the guest sees of an arrival, and when."""

from typing import Any

from . import moves, stats
from .amounts import Amounts
from .charts import Bar, bars
from .moves import OURS, PAPER, POLL_MS
from .report import Section, ms, table

TITLE = "What the guest sees"


def measure(amounts: Amounts) -> dict[str, Any]:
    return moves.measure(amounts)


def judge(_samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Any]:
    return {}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    blocks, reads = samples["blocks"], [pair[OURS] for pair in samples["deliveries"]]

    def median(way: str, what: str) -> stats.Estimate:
        return stats.median([block[way][what] for block in blocks])

    polled = stats.median([move["read"] for move in reads])
    rows = [["the new medium is in the drive", median(OURS, "medium").told(ms), median(PAPER, "medium").told(ms)],
            [f"its media event, if its kernel asks every {POLL_MS / 1e3:g} s as under systemd",
             median(OURS, "event").told(ms), median(PAPER, "event").told(ms)],
            ["the first read of the new content by a program that waits for the event",
             median(OURS, "read").told(ms), median(PAPER, "read").told(ms)],
            ["the first read of the new content by a program that looks every 0.5 s", polled.told(ms), ""]]
    drawn = [Bar(name, estimate, ours=True) for name, estimate in (
        ("medium in the drive", median(OURS, "medium")), ("read, looking every 0.5 s", polled),
        ("media event", median(OURS, "event")), ("read after the event", median(OURS, "read")))]
    return Section(TITLE, "\n\n".join([
        f"Milliseconds from RESUMED on, medians of {len(blocks)} arrivals ({len(reads)} for the last line), with 95 % "
        "intervals. The disc in the drive is the new one from the guest's first instruction on the destination; the "
        "media change only tells the guest. When its kernel notices is the guest's own affair: it asks the drive now "
        "and then, so the event comes within one interval whatever the host does. A read is a mount, two readings that "
        "agree and an unmount, which takes an emulated guest some tenths of a second.",
        table(["from RESUMED until", "ours", "Python, in the paper's way"], rows),
        "![From RESUMED on](guest.svg)",
    ]), {"guest.svg": bars("Milliseconds from RESUMED on", drawn, lambda seconds: f"{seconds * 1e3:,.0f}")})
