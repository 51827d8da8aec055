"""A VM that is selected gets its drive in the first moments of its start, whatever its firmware or its kernel is at then."""

import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from live.selected import name, select, wait_until_all_have_read

# How many of each tests/load asks for, which also starts them by UEFI: that takes a minute each.
STARTS = int(os.environ.get("VIRT_RECONTEXT_STARTS", "0"))
MACHINES = {("plug", "bios"): STARTS or 12, ("plug-pc", "bios"): STARTS or 8}
if STARTS:
    MACHINES |= {("plug", "uefi"): STARTS, ("plug-pc", "uefi"): STARTS}
# So many that two processors have too much to do all the time.
AT_A_TIME = 4
# An emulated guest that starts by UEFI needs ten seconds of a processor, and more than a minute where it has to share it.
BOOT_SECONDS = 300


@pytest.mark.parametrize("bus, firmware", MACHINES, ids=["-".join(machine) for machine in MACHINES])
def test_every_start_of_a_selected_vm_ends_with_its_disc_read_from_one_drive(site, lab, guest, bus, firmware):
    a, _ = lab.hosts
    select(site, a)
    number = MACHINES[bus, firmware]
    read = []
    for begin in range(0, number, AT_A_TIME):
        # UEFI needs room of its own.
        vms = [guest(name(index), cdrom=None, bus=bus, boots="plug", firmware=firmware,
                     memory_mib=256 if firmware == "uefi" else 128)
               for index in range(begin, min(begin + AT_A_TIME, number))]
        for vm in vms:
            vm.boot_seconds = BOOT_SECONDS
            vm.define(a)
        with ThreadPoolExecutor(len(vms)) as starters:
            list(starters.map(lambda vm: vm.start(a), vms))
        read += wait_until_all_have_read(site, a, vms)
        for vm in vms:
            vm.remove()
    print(f"\n{number} starts of {bus} by {firmware}: read {max(read):.1f} s after the guest's init at the latest", flush=True)
