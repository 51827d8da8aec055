"""A fully virtualised guest: its disc changes while it runs, and it is told; where that fails, it has its last disc."""

import json

import pytest

from lab import Dom0, HvmGuest


@pytest.fixture
def vm(site, lab) -> HvmGuest:
    """A guest that runs on the first host and has its disc."""
    a, _ = lab.hosts
    made = site.hvm()
    made.create(a)
    assert made.wait_for("context").text == site.text(a), "its first read"
    return made


def medium(host: Dom0, vm: HvmGuest) -> dict:
    """What the device model has in the drive, by its own account."""
    ask = """
import json, socket, sys
model = socket.socket(socket.AF_UNIX)
model.connect(sys.argv[1])
lines = model.makefile("rw")
lines.readline()
for command in ("qmp_capabilities", "query-block"):
    lines.write(json.dumps({"execute": command}) + "\\n")
    lines.flush()
    answer = json.loads(lines.readline())
    while "return" not in answer:
        answer = json.loads(lines.readline())
print(json.dumps(answer["return"]))
"""
    number = host.virsh("domid", vm.name).stdout.strip()
    answer = host.run("python3", "-c", ask, f"/var/run/xen/qmp-libxenstat-{number}").stdout
    drive = next(drive for drive in json.loads(answer) if drive.get("removable") and "inserted" in drive)
    return drive["inserted"]


def inode(host: Dom0, path: str) -> str:
    """Which file a path is."""
    return host.run("stat", "-L", "-c", "%i", path).stdout.strip()


def opened(host: Dom0, vm: HvmGuest) -> set[str]:
    """The files below the images that the device model holds open."""
    number = host.virsh("domid", vm.name).stdout.strip()
    return set(host.shell(f"for fd in /proc/$(pgrep -f '[x]en-domid {number} ')/fd/*; do"
                          f" readlink $fd | grep -q {vm.uuid} && stat -L -c %i $fd; done", check=False).stdout.split())


def test_a_refresh_changes_the_medium_and_the_guest_hears_of_it(site, lab, vm):
    a, _ = lab.hosts
    before = inode(a, vm.image)
    assert before in opened(a, vm)
    mark = vm.mark()
    site.set_endpoint(a, "https://moved.example")
    refreshed = site.recontext(a, "refresh", vm.name)
    assert f"{vm.name}:" in refreshed.stdout
    vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
    vm.wait_for("event media-change", since=mark)
    assert inode(a, vm.image) != before and inode(a, vm.image) in opened(a, vm)
    assert medium(a, vm)["image"]["virtual-size"] == int(a.run("stat", "-c", "%s", vm.image).stdout)
    assert site.status(a, vm)["state"] == "delivered"
    mark = vm.mark()
    site.recontext(a, "refresh", vm.name)
    vm.wait_until_quiet(10)
    assert vm.said()[mark:] == [], "the content is the same"


def test_a_change_that_fails_gives_the_last_disc_back_until_it_succeeds(site, lab, vm):
    a, _ = lab.hosts
    mark = vm.mark()
    site.set_endpoint(a, "https://moved.example")
    with a.failing_once("openat", vm.image):
        site.recontext(a, "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
    told = vm.said()[mark:]
    assert told[0].kind == "no disc", "the drive was empty when the disc was to go in"
    assert [line.text for line in told if line.kind == "context"] == [
        site.text(a), "monitoring endpoint: https://moved.example"]


def test_a_restored_guest_has_the_disc_of_now(site, lab, vm):
    a, _ = lab.hosts
    vm.save("/var/lib/libvirt/vm.save")
    site.set_endpoint(a, "https://moved.example")
    vm.restore(a, "/var/lib/libvirt/vm.save")
    # Its new device model begins a new file.
    assert vm.wait_for("context").text == "monitoring endpoint: https://moved.example"
    assert all(line.kind != "booted" for line in vm.said()), "it went on"
