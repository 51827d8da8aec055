"""What is watched while many VMs are served: libvirtd's answers, and the helpers and their memory."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from lab import Guest, Host
from live.site import Site


@dataclass
class Watched:
    """answers: seconds of each `virsh list`. helpers: the most memory of each, in KiB. together: how many at once."""

    answers: list[float] = field(default_factory=list)
    helpers: dict[str, int] = field(default_factory=dict)
    together: int = 0

    @property
    def memory(self) -> int:
        """The most memory that a helper had, in KiB."""
        return max(self.helpers.values(), default=0)

    def told(self) -> str:
        """For a person."""
        most = statistics.quantiles(self.answers, n=20)[-1]
        return (f"virsh list: median {statistics.median(self.answers) * 1e3:.0f} ms, 95 % within {most * 1e3:.0f} ms, "
                f"slowest {max(self.answers) * 1e3:.0f} ms; helpers: {len(self.helpers)}, at once {self.together}, memory at most {self.memory} KiB")


@contextmanager
def watched(host: Host) -> Iterator[Watched]:
    """During the block, asks libvirtd for its VMs without pause and looks at the helpers."""
    seen, stop = Watched(), threading.Event()

    def ask() -> None:
        while not stop.is_set():
            begin = time.monotonic()
            host.virsh("list")
            seen.answers.append(time.monotonic() - begin)

    def look() -> None:
        while not stop.is_set():
            alive = 0
            for process in host.path("/proc").glob("[0-9]*"):
                try:
                    if (process / "cmdline").read_bytes().split(b"\0")[1:2] == [b"deliver"]:
                        seen.helpers[process.name] = _peak((process / "status").read_text("utf-8"))
                        alive += 1
                except (OSError, StopIteration):
                    pass
            seen.together = max(seen.together, alive)
            time.sleep(0.02)

    threads = [threading.Thread(target=work) for work in (ask, look)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def _peak(status: str) -> int:
    """The most memory that a process had, in KiB, by /proc/PID/status."""
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")))


def running(site: Site, host: Host, number: int) -> list[Guest]:
    """So many VMs that run on a host and have read their discs."""
    # They read only when they are told, so that a hundred leave the machine some time.
    vms = [site.guest(name=f"vm-{index}", memory_mib=96, mode="event", poll_ms=2000) for index in range(number)]
    for vm in vms:
        vm.create(host)
    for vm in vms:
        vm.wait_for_text(site.text(host), seconds=120)
    return vms
