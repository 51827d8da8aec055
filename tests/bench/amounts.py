"""How much is measured: enough for narrow intervals, or enough for a developer to see a difference in two minutes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Amounts:
    """blocks: of migrations, each with every arm once. calls: of libvirt's media change on a quiet VM. deliveries: pairs
    of arrivals of a guest that polls, with our delivery and with nothing but the media change. rounds: of hook calls.
    discs: of each program at each kind of disc. plugs: pairs of drives plugged in by enable and by libvirt's two calls.
    vms: numbers of VMs that run at once; most_moved: of these are moved.
    """

    blocks: int
    calls: int
    deliveries: int
    rounds: int
    discs: int
    plugs: int
    vms: tuple[int, ...]
    most_moved: int


FULL = Amounts(blocks=60, calls=40, deliveries=20, rounds=2000, discs=40, plugs=40, vms=(1, 10), most_moved=20)
QUICK = Amounts(blocks=2, calls=3, deliveries=1, rounds=100, discs=5, plugs=2, vms=(2,), most_moved=2)
