"""Where the time goes: the paper's phases of a recontextualisation, and ours."""

from typing import Any

from . import moves, stats
from .amounts import Amounts
from .charts import stacks
from .goals import Verdict, at_most
from .moves import CALLS, OURS, PAPER
from .report import Section, digits, ms, table

TITLE = "Where the time goes"
PAPERS = ("resolve", "detach", "build", "attach")
# From RESUMED on, as the helper tells them.
HELPERS = ("look", "gather", "compare", "eject", "insert")


def measure(amounts: Amounts) -> dict[str, Any]:
    return moves.measure(amounts)


def _medians(rows: list[dict[str, float]], names: tuple[str, ...]) -> dict[str, stats.Estimate]:
    return {name: stats.median([row.get(name, 0.0) for row in rows]) for name in names}


def _arrivals(samples: dict[str, Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return [block[OURS] for block in samples["blocks"]], [block[PAPER] for block in samples["blocks"]]


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    pairs = samples["deliveries"]
    delivery = [pair[OURS]["medium"] for pair in pairs]
    then = stats.ratio(delivery, [pair[CALLS]["medium"] for pair in pairs])
    rest = stats.ratio_of_unpaired(delivery, [row["eject"] + row["insert"] for row in samples["quiet"]["calls"]])
    return {"delivery": Verdict(f"{then.told(digits, ' ×')} of them when a program makes nothing but them at RESUMED; "
                                f"{rest.told(digits, ' ×')} of them on a VM at rest", at_most(then, 1.5))}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    ours, papers = _arrivals(samples)
    logs = [move["log"] for move in ours]
    hook = stats.median([log["made"] for log in logs])
    wait = stats.median([move["resumed"] - move["log"]["made_at"] for move in ours])
    helper = _medians(logs, HELPERS)
    paper = _medians([move["steps"] for move in papers], PAPERS)
    alone_then = _medians([pair[CALLS]["steps"] for pair in samples["deliveries"]], PAPERS)
    calls = _medians(samples["quiet"]["calls"], ("eject", "insert"))
    refresh = _medians(samples["quiet"]["refreshes"], HELPERS)
    rows = [["hook: gather and build the disc", hook.told(ms), "", "before the memory is copied"],
            ["wait: from the disc to RESUMED", wait.told(ms), "", "the migration itself"],
            ["look: ask libvirt for the VM's XML", helper["look"].told(ms), paper["resolve"].told(ms), ""],
            ["gather the host's data again", helper["gather"].told(ms), "(in resolve)", ""],
            ["build", helper["compare"].told(ms), paper["build"].told(ms), "ours compares with the disc that is there"],
            ["eject / detach", helper["eject"].told(ms), paper["detach"].told(ms), ""],
            ["insert / attach", helper["insert"].told(ms), paper["attach"].told(ms), ""]]
    alone = [["the two calls, made at RESUMED", alone_then["detach"].told(ms), alone_then["attach"].told(ms), "", ""],
             ["the two calls, VM at rest", *(calls[name].told(ms) for name in ("eject", "insert")), "", ""],
             ["`virt-recontext refresh --force`, VM at rest", refresh["eject"].told(ms), refresh["insert"].told(ms),
              refresh["look"].told(ms), refresh["compare"].told(ms)]]
    drawn = {
        "ours": {name: helper[name].value for name in HELPERS},
        "Python, in the paper's way": {"look": paper["resolve"].value, "eject": paper["detach"].value,
                                       "compare": paper["build"].value, "insert": paper["attach"].value},
        "the two calls, on arrival": {"eject": alone_then["detach"].value, "insert": alone_then["attach"].value},
        "the two calls, VM at rest": {name: calls[name].value for name in ("eject", "insert")}}
    parts = {"look": "look / resolve", "gather": "gather", "compare": "compare / build", "eject": "eject / detach",
             "insert": "insert / attach"}
    return Section(TITLE, "\n\n".join([
        f"Medians in milliseconds of the same {len(ours)} arrivals each, with 95 % intervals. The Python "
        "recontextualiser begins only after RESUMED; our hook has made the disc before.",
        table(["phase", "ours", "Python, in the paper's way", ""], rows),
        "![Phases from RESUMED on](phases.svg)",
        f"What libvirt's two calls cost alone: made by a program at RESUMED and nothing else "
        f"({len(samples['deliveries'])} arrivals, in turns with ours), and on a VM at rest "
        f"({len(samples['quiet']['calls'])}, in turns with refresh):",
        table(["", "eject", "insert", "look", "compare"], alone),
    ]), {"phases.svg": stacks("From RESUMED to the new medium in the drive, in milliseconds", list(parts.values()),
                              {name: {parts[part]: took for part, took in row.items()} for name, row in drawn.items()},
                              lambda seconds: f"{seconds * 1e3:.1f}".removesuffix(".0"))})
