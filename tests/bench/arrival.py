"""One arrival as libvirt's events, its statistics and the logs tell it."""

import re
from dataclasses import dataclass, field

from lab import Guest, Host, Lab, Migration

# The change of a medium is told by two openings and two closings of the tray; the last closing is of the new medium.
CLOSINGS = 2


@dataclass
class Arrival:
    """Times are seconds since the epoch."""

    migration: Migration
    guest: Guest
    target: Host
    ready: float
    resumed: float
    downtime: float
    medium: float | None = field(default=None)

    @classmethod
    def of(cls, lab: Lab, guest: Guest, target: Host, migration: Migration) -> "Arrival":
        """An arrival that has just been."""
        resumed = lab.resumed(target, guest.name, migration.started).time
        ready = next(event.time for event in target.events() if event.time >= migration.started - 0.001
                     and event.text.endswith(f"domain '{guest.name}': Started Migrated"))
        statistics = target.virsh("domjobinfo", guest.name, "--completed").stdout
        downtime = re.search(r"Total downtime:\s+(\d+)\s+ms", statistics)
        return cls(migration, guest, target, ready, resumed, int(downtime[1]) / 1e3 if downtime else 0.0)

    def see_medium(self, lab: Lab) -> None:
        """Waits until the events tell that the new medium is in the drive."""
        tray = f"'tray-change' for domain '{self.guest.name}'"

        def closed() -> list[float]:
            found = [event.time for event in self.target.events()
                     if event.time >= self.resumed and tray in event.text and event.text.endswith("closed")]
            return found if len(found) >= CLOSINGS else []

        self.medium = lab.wait_for(closed, 20, "the new medium's tray to close")[CLOSINGS - 1]

    def figures(self) -> dict[str, float | None]:
        """Seconds: of all of `virsh migrate`; until QEMU waited here; until the guest ran here; its pause; until its new
        medium was there."""
        started = self.migration.started
        return {"total": self.migration.seconds, "until_ready": self.ready - started,
                "until_resumed": self.resumed - started, "downtime": self.downtime,
                "medium": self.medium and self.medium - self.resumed,
                "until_medium": self.medium and self.medium - started,
                "started": started, "resumed": self.resumed}


def our_lines(syslog: str) -> dict[str, float]:
    """What hook and helper tell of an arrival, in seconds; made_at: when the disc was made, to 10 ms."""
    made = re.search(r"migrate: disc (\d+) made in ([\d.]+) ms", syslog)
    told = {"made_at": int(made[1]) / 100, "made": float(made[2]) / 1e3} if made else {}
    return told | phases(syslog)


def phases(syslog: str) -> dict[str, float]:
    """The helper's phases of a delivery."""
    delivered = re.search(r"in the (?:new )?drive .*", syslog)
    found = re.findall(r"(\w+) ([\d.]+) ms", delivered[0]) if delivered else []
    return {name: float(took) / 1e3 for name, took in found}
