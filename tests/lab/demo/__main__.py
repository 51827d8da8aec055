"""Shows all acts of the demonstration.

    python3 -m lab.demo <directory with the built programs>

Exits with 1 and the reason if a guest does not get what the other host has for it.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from .. import Lab, LabError
from .hosts import first_act, second_act, set_up
from .sites import third_act
from .telling import Failed, say


def demonstrate(dist: Path) -> None:
    say("virt-recontext: a running VM gets the settings of the host it moves to\n")
    with Lab(("site-a", "site-b")) as lab:
        set_up(lab, dist)
        for act in (first_act, second_act, third_act):
            act(lab)
            for guest in list(lab.guests):
                guest.remove()


def missing(dist: Path) -> Iterator[Path]:
    return (dist / name for name in ("virt-recontext-hook", "virt-recontext") if not (dist / name).is_file())


def main() -> int:
    dist = Path(sys.argv[1])
    try:
        for program in missing(dist):
            raise Failed(f"{program} is missing; packaging/build makes it")
        demonstrate(dist)
    except (Failed, LabError) as failure:
        print(f"\ntests/demo: failed: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ntests/demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
