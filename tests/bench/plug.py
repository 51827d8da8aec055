"""How long a running VM without a drive waits for its first disc: `enable` against libvirt's two calls alone, which plug in a
controller and a drive with a disc that is there. In both ways the guest finds the drive and reads the disc as it does."""

import time
from typing import Any

from lab import Guest
from live.site import Site

from . import content, stats
from .amounts import Amounts
from .arrival import phases
from .console import Listener
from .goals import Verdict, at_most
from .moves import PLAIN, POLL_MS, two_hosts
from .programs import RIVALS
from .report import Section, digits, ms, table

TITLE = "What it takes to let a running VM take part"
ENABLE, CALLS = "enable", "the two calls alone"
STEPS = ("look", "gather", "build", "plug")


def measure(amounts: Amounts) -> dict[str, Any]:
    order = [(ENABLE, CALLS), (CALLS, ENABLE)]
    with two_hosts() as site:
        plugged = Plugged(site)
        for way in order[0]:
            plugged.plug(way)
        return {"pairs": [{way: plugged.plug(way) for way in order[number % 2]} for number in range(amounts.plugs)]}


class Plugged:
    """A VM that is given a drive, and loses it again."""

    def __init__(self, site: Site) -> None:
        self.site, self.host = site, site.lab.hosts[0]
        self.guest = Guest(site.lab, "plugged", bus="plug", cdrom=None, mode="event", poll_ms=POLL_MS, memory_mib=96)
        self.guest.define(self.host)
        self.guest.start(self.host)

    def plug(self, way: str) -> dict[str, Any]:
        """Gives it a drive, and what was seen of that, in seconds; takes it away again."""
        before = len(self.host.syslog())
        with Listener(self.guest) as listener:
            if way == ENABLE:
                said = self.host.run("sh", "-c", 'date +%s.%N; exec virt-recontext enable "$1"', "-", self.guest.name).stdout
                text = f"monitoring endpoint: {content.endpoint(self.host.name)}"
            else:
                said, text = self._calls(PLAIN), "of no host"
            begin, done = float(said.split()[0]), time.time()
            read = self.site.lab.wait_for(lambda: listener.first("context", begin, text), 30, "the guest to read its disc")
        steps, mark = phases(self.host.syslog()[before:]), self.guest.mark()
        if way == ENABLE:
            self.site.recontext(self.host, "disable", self.guest.name)
        else:
            self._calls()
        self.guest.wait_for("no disc", since=mark)
        return {"read": read - begin, "done": done - begin, "steps": steps}

    def _calls(self, *image: str) -> str:
        return self.host.run("/usr/bin/python3", str(RIVALS / "two_attach_calls.py"), self.guest.uuid, *image).stdout


def _column(pairs: list[dict[str, Any]], way: str, what: str) -> list[float]:
    return [pair[way][what] for pair in pairs]


def judge(samples: dict[str, Any], _: dict[str, Any]) -> dict[str, Verdict]:
    ratio = stats.ratio(*(_column(samples["pairs"], way, "read") for way in (ENABLE, CALLS)))
    return {"plug": Verdict(ratio.told(digits, " ×"), at_most(ratio, 1.5))}


def tell(samples: dict[str, Any], _: dict[str, Any]) -> Section:
    pairs = samples["pairs"]
    rows = [[what, *(stats.median(_column(pairs, way, key)).told(ms) for way in (ENABLE, CALLS))]
            for what, key in (("the guest has read its disc", "read"), ("the program has returned", "done"))]
    steps = [f"{name} {stats.median([pair[ENABLE]['steps'].get(name, 0.0) for pair in pairs]).told(ms)}" for name in STEPS]
    return Section(TITLE, "\n\n".join([
        f"Milliseconds, medians of {len(pairs)} pairs in turns, with 95 % intervals: from the start of `virt-recontext "
        "enable`, or from the first of the two calls, which find their disc made, change no definition and write no metadata.",
        table(["from the beginning until", "`enable`", CALLS], rows),
        f"Of `enable`, its helper's steps in milliseconds: {', '.join(steps)}.",
    ]))
