"""`enable` and its helper killed at their calls to libvirt, and what must hold after it."""

import signal
import subprocess
from pathlib import Path

from lab import Guest, Host, Lab
from live.site import Site

PRELOADED = Path(__file__).with_name("kill_at_call.c")

# Of libvirt's remote protocol.
ANY, ATTACH_DEVICE, UPDATE_DEVICE, SET_METADATA = 0, 160, 174, 264

OURS = ("device='cdrom'", "model='virtio-scsi'", "urn:virt-recontext:1")


def preloaded(lab: Lab) -> Path:
    """What kill_at_call.c becomes, where all hosts see it."""
    made = lab.shared / "kill_at_call.so"
    if not made.exists():
        subprocess.run(["gcc", "-shared", "-fPIC", "-std=gnu17", "-O1", "-Wall", "-Wextra", "-Werror", "-o", made, PRELOADED],
                       check=True)
    return made


def enable_killed(lab: Lab, host: Host, vm: Guest, verb: str, procedure: int, number: int, when: str) -> bool:
    """Runs `enable` until it or its helper, whose verb that is, makes its so-manieth call of a procedure, and kills both
    "before" that call or "after" it was sent. Whether they were killed."""
    done = host.run("env", f"LD_PRELOAD={preloaded(lab)}", f"KILL_AT={verb} {procedure} {number} {when}", "virt-recontext",
                    "enable", vm.name, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done
    return done.returncode != 0


def enabled(site: Site, host: Host, vm: Guest, endpoint: str) -> None:
    """`enable` uses what a killed one has left, whatever that is: there is one of each, and the guest reads its disc."""
    assert vm.state() == "running"
    site.set_endpoint(host, endpoint)
    mark = vm.mark()
    site.recontext(host, "enable", vm.name)
    vm.wait_for_text(f"monitoring endpoint: {endpoint}", since=mark)
    assert [xml.count(one) for xml in both_xml(vm) for one in OURS] == [1] * 2 * len(OURS), both_xml(vm)


def disabled(site: Site, host: Host, vm: Guest) -> None:
    """`disable` leaves nothing of ours in a VM that may have been enabled by halves."""
    site.recontext(host, "disable", vm.name)
    assert not any(one in xml for xml in both_xml(vm) for one in OURS), both_xml(vm)
    assert vm.state() == "running"


def both_xml(vm: Guest) -> tuple[str, str]:
    """What runs, and what is defined."""
    return vm.live_xml(), vm.live_xml("--inactive")
