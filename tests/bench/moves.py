"""Live migrations of one idle VM between two hosts, there and back, in three ways that take turns.

Before each migration the VM is made ready for its way: with our opt-in in its metadata, or without; with a disc in its
drive always, put there by an ejection and an insertion, of which the guest has been told before the migration begins.
The hook is installed all the time. Each way comes once in each block; the order of the ways turns from block to block,
so that each is as often first, second and third, and as often there as back.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lab import Cdrom, Guest, Host, Lab, make_disc
from live.site import Site

from . import content
from .amounts import Amounts
from .arrival import Arrival, our_lines, phases
from .console import Listener
from .programs import RIVALS, ours

WITHOUT, OURS, PAPER = "without context", "virt-recontext", "Python recontextualiser"
# Nothing but an ejection and an insertion of the disc that is there, as soon as the VM has arrived.
CALLS = "the two calls alone"
ORDERS = [(WITHOUT, OURS, PAPER), (OURS, PAPER, WITHOUT), (PAPER, WITHOUT, OURS),
          (PAPER, OURS, WITHOUT), (OURS, WITHOUT, PAPER), (WITHOUT, PAPER, OURS)]

BUS, TARGET = "sata", "sda"
URI = "urn:virt-recontext:1"
OPT_IN = f"<context target='{TARGET}'/>"
PLAIN = "/var/lib/libvirt/images/plain.iso"
MADE = "/var/lib/libvirt/images/recontextualizer.iso"
# systemd's interval between two looks for new media.
POLL_MS = 2000


@contextmanager
def two_hosts() -> Iterator[Site]:
    """Two hosts with our programs and a typical context each."""
    with Lab() as lab:
        site = Site(lab, lambda **options: Guest(lab, **options))
        for host in lab.hosts:
            content.put(host.path("/"), host.name)
            host.install(*ours())
            for image in (PLAIN, MADE):
                make_disc(host.path(image), "of no host")
        yield site
        for left in list(lab.guests):
            left.remove()
        site.wait_for_helpers()


class Traveller:
    """The VM and what is done with it. mode: how its guest reads; see tests/lab/guest.c."""

    def __init__(self, site: Site, mode: str = "event") -> None:
        self.site = site
        self.here, self.there = site.lab.hosts
        self.guest = Guest(site.lab, "traveller", bus=BUS, cdrom=Cdrom(PLAIN), mode=mode, poll_ms=POLL_MS, memory_mib=96)
        self.guest.create(self.here)
        self.guest.wait_for_text("of no host")

    def travel(self, way: str) -> dict[str, Any]:
        """Makes it ready, moves it to the other host and comes back with what was seen."""
        self._make_ready(way)
        source, target = self.here, self.there
        before = len(target.syslog())
        with Listener(self.guest) as listener, self._recontextualizer(way, target) as steps:
            migration = self.guest.migrate(target)
            self.here, self.there = target, source
            arrival = Arrival.of(self.site.lab, self.guest, target, migration)
            if way != WITHOUT:
                arrival.see_medium(self.site.lab)
            if way in (OURS, PAPER):
                self._await_news(target, listener, arrival.resumed)
            if way == OURS:
                self.site.lab.wait_for(lambda: "in the drive" in target.syslog()[before:], 20, "the helper's line")
        log = our_lines(target.syslog()[before:]) if way == OURS else {}
        return {"way": way, **arrival.figures(), **self._heard(target, listener, arrival), "log": log, "steps": steps}

    def _make_ready(self, way: str) -> None:
        host, name = self.here, self.guest.name
        opt_in = ["--set", OPT_IN, "--key", "recontext"] if way == OURS else ["--remove"]
        host.virsh("metadata", name, URI, "--live", *opt_in, check=way == OURS)
        mark = self.guest.mark()
        if way == OURS:
            self.site.recontext(host, "refresh", "--force", name)
            self.site.wait_for_helpers()
        else:
            self.change_medium(MADE if way == PAPER else PLAIN)
        self.guest.wait_for("event media-change", since=mark, seconds=20)
        self.guest.wait_until_quiet(0.7)

    def change_medium(self, image: str) -> tuple[float, float]:
        """Libvirt's two calls; the seconds of each."""
        done = self.here.run("/usr/bin/python3", str(RIVALS / "two_calls.py"), self.guest.uuid, TARGET, BUS, image)
        eject, insert = map(float, done.stdout.split())
        return eject, insert

    def change_media_quietly(self, times: int) -> dict[str, list[dict[str, float]]]:
        """Changes the medium so many times while the VM is at rest: by the two calls alone, and by refresh, in turns."""
        self._make_ready(OURS)
        calls, refreshes = [], []
        for _ in range(times):
            eject, insert = self.change_medium(self.guest.image)
            calls.append({"eject": eject, "insert": insert})
            before = len(self.here.syslog())
            self.site.recontext(self.here, "refresh", "--force", self.guest.name)
            refreshes.append(phases(self.here.syslog()[before:]))
        return {"calls": calls, "refreshes": refreshes}

    @contextmanager
    def _recontextualizer(self, way: str, target: Host) -> Iterator[dict[str, float]]:
        """The rival, if it is its turn, listening on the target; its figures are there after the block."""
        steps: dict[str, float] = {}
        if way not in (PAPER, CALLS):
            yield steps
            return
        what = ["/etc/virt-recontext", MADE] if way == PAPER else ["-", PLAIN]
        with target.popen("/usr/bin/python3", str(RIVALS / "recontextualizer.py"), self.guest.uuid, TARGET, BUS, *what,
                          stdout=subprocess.PIPE, text=True) as rival:
            assert rival.stdout is not None
            rival.stdout.readline()
            yield steps
            steps.update(json.loads(rival.stdout.readline()))

    def _await_news(self, target: Host, listener: Listener, since: float) -> None:
        """Until the guest has read this host's data and got its event."""
        text = f"monitoring endpoint: {content.endpoint(target.name)}"
        news = {"context": text, "event media-change": None}
        self.site.lab.wait_for(lambda: all(listener.first(kind, since, text) for kind, text in news.items()), 30,
                               f"the guest to learn of {target.name}")

    def _heard(self, target: Host, listener: Listener, arrival: Arrival) -> dict[str, float | None]:
        text = f"monitoring endpoint: {content.endpoint(target.name)}"
        read = listener.first("context", arrival.migration.started, text)
        event = listener.first("event media-change", arrival.resumed)
        return {"read": read and read - arrival.resumed, "event": event and event - arrival.resumed}


@cache
def measure(amounts: Amounts) -> dict[str, Any]:
    """All that is measured on moving VMs, once in a run. See the parts that tell of it."""
    with two_hosts() as site:
        traveller = Traveller(site)
        for way in ORDERS[0]:
            traveller.travel(way)
        blocks = []
        for number in range(amounts.blocks):
            blocks.append({way: traveller.travel(way) for way in ORDERS[number % len(ORDERS)]})
        quiet = traveller.change_media_quietly(amounts.calls)
        traveller.guest.remove()
        reader = Traveller(site, "poll")
        order = [(OURS, CALLS), (CALLS, OURS)]
        deliveries = [{way: reader.travel(way) for way in order[number % 2]} for number in range(amounts.deliveries)]
    return {"blocks": blocks, "quiet": quiet, "deliveries": deliveries}
