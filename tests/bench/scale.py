"""Many VMs: how long they take to start, to be refreshed and to arrive, and what that costs helper and daemon."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from lab import Guest, Host
from live.site import Site
from load.watching import Watched, running, watched

from . import content
from .amounts import Amounts
from .goals import Verdict
from .moves import two_hosts
from .report import Section, digits, table

TITLE = "Many VMs"
AT_A_TIME = 5
# The most that is meant to be right, in KiB and in seconds.
MEMORY, ANSWER = 40 << 10, 15
START, REFRESH, ARRIVE, REST = "start one after the other", "`refresh --all`", "arrive, five at a time", "at rest"


def measure(amounts: Amounts) -> dict[str, Any]:
    return {str(number): _with(number, min(number, amounts.most_moved)) for number in amounts.vms}


def _with(number: int, moved: int) -> dict[str, Any]:
    with two_hosts() as site:
        a, b = site.lab.hosts
        begin = time.monotonic()
        with watched(a) as seen:
            vms = running(site, a, number)
            found = {START: _figures(number, time.monotonic() - begin, seen)}
        found[REST] = _at_rest(a, number)
        found[REFRESH] = _refresh(site, a, vms)
        found[ARRIVE] = _arrive(site, b, vms[:moved])
        for vm in vms:
            vm.remove()
        return found


def _at_rest(host: Host, number: int) -> dict[str, float]:
    with watched(host) as seen:
        begin = time.monotonic()
        while time.monotonic() - begin < 3:
            time.sleep(0.1)
    return _figures(number, 3, seen)


def _refresh(site: Site, host: Host, vms: list[Guest]) -> dict[str, float]:
    """Every disc is changed, since the host's data has."""
    site.set_endpoint(host, "https://changed.example")
    marks = [vm.mark() for vm in vms]
    begin = time.monotonic()
    with watched(host) as seen:
        host.run("virt-recontext", "refresh", "--all", timeout=600)
        took = time.monotonic() - begin
    _await_text(vms, marks, "monitoring endpoint: https://changed.example")
    return _figures(len(vms), took, seen)


def _arrive(site: Site, target: Host, vms: list[Guest]) -> dict[str, float]:
    marks = [vm.mark() for vm in vms]
    begin = time.monotonic()
    with watched(target) as seen, ThreadPoolExecutor(AT_A_TIME) as movers:
        list(movers.map(lambda vm: vm.migrate(target), vms))
        took = time.monotonic() - begin
        _await_text(vms, marks, f"monitoring endpoint: {content.endpoint(target.name)}")
        site.wait_for_helpers()
    return _figures(len(vms), took, seen)


def _await_text(vms: list[Guest], marks: list[int], text: str) -> None:
    for vm, mark in zip(vms, marks):
        vm.wait_for_text(text, since=mark, seconds=300)


def _figures(vms: int, seconds: float, seen: Watched) -> dict[str, float]:
    answers = sorted(seen.answers)
    return {"vms": vms, "seconds": seconds, "answer": statistics.median(answers),
            "answer_95": answers[min(len(answers) - 1, len(answers) * 95 // 100)], "answer_max": answers[-1],
            "helpers": len(seen.helpers), "together": seen.together, "memory": seen.memory}


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    arrivals = max((found[ARRIVE] for found in samples.values()), key=lambda figures: figures["vms"])
    most = max(figures["memory"] for found in samples.values() for figures in found.values())
    slowest = max(figures["answer_max"] for found in samples.values() for figures in found.values())
    good = most < MEMORY and slowest < ANSWER
    return {"scale": Verdict(f"{arrivals['vms']} arrivals, five at a time, and {max(map(int, samples))} refreshed: "
                             f"helper {most / 1024:.1f} MiB, slowest `virsh list` {slowest:.2f} s, "
                             "every VM served; 200 at once were not tried", None if good else False)}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    rows = [[str(figures["vms"]), what, f"{figures['seconds']:.1f}" if what != REST else "",
             digits(figures["seconds"] / figures["vms"]) if what != REST else "",
             *(digits(figures[answer] * 1e3) for answer in ("answer", "answer_95", "answer_max")),
             f"{figures['together']}", f"{figures['memory'] / 1024:.1f}" if figures["memory"] else ""]
            for found in samples.values() for what, figures in found.items()]
    return Section(TITLE, "\n\n".join([
        "Emulated guests of 96 MiB on one host, all with context. Their own starting and moving, without KVM, takes "
        "nearly all of the time of the first and the last kind; `refresh --all` is our own work. `virsh list` is asked "
        "without pause meanwhile (each a new process and connection). A second helper that is seen for a moment finds "
        "the first at work, and leaves.",
        table(["VMs", "what", "seconds", "seconds per VM", "`virsh list`: median ms", "95 % within", "slowest",
               "helpers at once", "helper's memory, MiB"], rows)]))
