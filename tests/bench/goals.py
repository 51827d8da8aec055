"""The numbers to reach, and whether they were."""

from dataclasses import dataclass

from .stats import Estimate


@dataclass(frozen=True)
class Goal:
    """A row of the table, in the words of the design; key: by which the parts judge it."""

    key: str
    what: str
    against: str
    goal: str


@dataclass(frozen=True)
class Verdict:
    """What was measured; met is None when that cannot be told of it."""

    measured: str
    met: bool | None


def at_most(estimate: Estimate, limit: float) -> bool | None:
    """Whether a value is no more than a limit; None if the limit lies within its interval."""
    return True if estimate.high <= limit else False if estimate.low > limit else None


def at_least(estimate: Estimate, limit: float) -> bool | None:
    """Whether a value is no less than a limit; None if the limit lies within its interval."""
    return True if estimate.low >= limit else False if estimate.high < limit else None


GOALS = [
    Goal("hook", "hook call for a VM without context", "a static C program that reads stdin and exits",
         "≤ 1.15 × its wall time"),
    Goal("scripts", "the least bash hook and the least Python hook", "the same hook call", "≥ 5 × slower than ours"),
    Goal("migrate", "`migrate begin` with a typical context (10 files, 20 KB), disc written, supervised",
         "the same C program", "≤ 2.5 × the C program"),
    Goal("rules", "the same with ten rules, of which four change five places of the XML", "the same C program",
         "≤ 3.5 × the C program"),
    Goal("signed", "the same without rules, signed by the host's key", "the same C program", "≤ 3.5 × the C program"),
    Goal("disc", "building a 64 MiB disc", "the faster of xorriso and genisoimage", "≥ 2 × faster"),
    Goal("migration", "total migration time with context − without", "paired live migrations between two hosts "
         "(paper: +18 %)", "no more than 1 %, with its confidence interval"),
    Goal("delivery", "RESUMED → medium in the drive, unlocked tray", "the two libvirt calls alone",
         "≤ 1.5 × their time"),
    Goal("plug", "`enable` of a running VM without a drive → its guest has read the disc",
         "libvirt's two attach calls alone, and the guest", "≤ 1.5 × their time"),
    Goal("scale", "many VMs arriving at once", "–", "one helper, < 40 MiB resident, libvirtd answering `virsh list` "
         "throughout, every VM served"),
    Goal("size", "size of hook and helper, stripped", "–", "hook ≤ 2 MiB, helper ≤ 4 MiB"),
]


def rows(verdicts: dict[str, Verdict]) -> list[list[str]]:
    """The table's rows, those that were measured."""
    words = {True: "met", False: "**missed**", None: "open"}
    return [[goal.what, goal.against, goal.goal, verdicts[goal.key].measured, words[verdicts[goal.key].met]]
            for goal in GOALS if goal.key in verdicts]
