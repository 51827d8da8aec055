"""The first disc, into an empty drive of a VM that has just been started: its firmware is at the drive at that moment."""

import os
import uuid

import pytest

from lab import context_metadata
from lab.domain_xml import Cdrom

# tests/load asks for more.
STARTS = int(os.environ.get("VIRT_RECONTEXT_STARTS", "20"))
AT_A_TIME = 20
MACHINES = {"ide": "pc", "sata": "q35"}


def machine(name, bus):
    """A VM without a system: all that matters here is its firmware, and its empty drive."""
    return f"""
<domain type='qemu'>
  <name>{name}</name><uuid>{uuid.uuid4()}</uuid>
  <metadata>{context_metadata(bus)}</metadata>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='{MACHINES[bus]}'>hvm</type></os>
  <devices>{Cdrom().xml(bus)}</devices>
</domain>
"""


@pytest.mark.parametrize("bus", MACHINES)
def test_every_start_with_an_empty_drive_ends_with_the_disc_in_it(site, lab, bus):
    a, _ = lab.hosts
    for begin in range(0, STARTS, AT_A_TIME):
        start(a, lab, bus, [f"vm{number}" for number in range(begin, min(begin + AT_A_TIME, STARTS))])


def start(a, lab, bus, names):
    try:
        for name in names:
            a.write("/run/vm.xml", machine(name, bus))
            a.virsh("create", "/run/vm.xml")
        left = set(names)

        def all_delivered():
            for name in sorted(left):
                told = a.run("virt-recontext", "status", name, check=False).stdout
                assert "is not open" not in told, told
                if f"{name}: delivered" in told:
                    left.remove(name)
            return not left

        lab.wait_for(all_delivered, 120, "all discs to be in their drives")
    finally:
        for name in names:
            a.virsh("destroy", name, check=False)
