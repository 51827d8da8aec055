"""The lab itself, with stock libvirt and none of our programs: what the other tests take for granted."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lab import Cdrom, GuestDied, Lab, LabError, TimedOut, make_disc, wait_for

DISC = "/var/lib/libvirt/images/by-hand.iso"
BUSES = ["ide", "sata", "scsi"]


def drive_xml(guest, source=None):
    """What `virsh update-device` takes to put a disc in or to take it out."""
    return Cdrom(source).xml(guest.bus)


def put_discs(lab):
    for generation, host in enumerate(lab.hosts, 1):
        make_disc(host.path(DISC), f"disc of {host.name}", generation=str(generation), reason="by-hand", host=host.name)


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_reads_each_hosts_disc_on_its_way_there_and_back(lab, guest, bus):
    a, b = lab.hosts
    put_discs(lab)
    vm = guest(bus=bus, cdrom=Cdrom(DISC))
    vm.create(a)
    vm.wait_for_text("disc of host-a")
    for target in (b, a):
        mark = vm.mark()
        migration = vm.migrate(target)
        assert vm.wait_for("context", since=mark).text == f"disc of {target.name}"
        assert migration.started <= lab.resumed(target, "vm", migration.started).time <= migration.ended
    seen = vm.said()
    assert seen[0].kind == "booted" and [line.kind for line in seen].count("booted") == 1
    assert [line.uptime for line in seen] == sorted(line.uptime for line in seen), "its clock went on"
    assert [line.facts["generation"] for line in seen if line.kind == "context"] == ["1", "2", "1"]


@pytest.mark.parametrize("bus", BUSES)
@pytest.mark.parametrize("mode", ["poll", "event"])
def test_a_guest_hears_of_a_change_and_lets_go(lab, guest, bus, mode):
    a, _ = lab.hosts
    put_discs(lab)
    vm = guest(bus=bus, mode=mode)
    vm.create(a)
    vm.wait_for("no disc")
    for number in range(3):
        mark = vm.mark()
        make_disc(a.path(DISC), f"change {number}")
        a.virsh("update-device", "vm", "/dev/stdin", "--live", input=drive_xml(vm, DISC))
        vm.wait_for_text(f"change {number}", since=mark)
        vm.wait_for("event media-change", since=mark)
        mark = vm.mark()
        a.virsh("update-device", "vm", "/dev/stdin", "--live", input=drive_xml(vm))
        vm.wait_for("no disc", since=mark)


@pytest.mark.parametrize("bus", BUSES)
def test_a_holding_guest_yields_only_to_force_and_lives_on(lab, guest, bus):
    a, _ = lab.hosts
    put_discs(lab)
    vm = guest(bus=bus, mode="hold", cdrom=Cdrom(DISC))
    vm.create(a)
    assert vm.wait_for("held").text == "disc of host-a"
    assert vm.wait_for("medium").rest.startswith("RECONTEXT")
    mark = vm.mark()
    refused = a.virsh("update-device", "vm", "/dev/stdin", "--live", input=drive_xml(vm), check=False)
    assert refused.returncode != 0 and "timed out waiting to open tray" in refused.stderr
    vm.wait_for("event eject-request", since=mark)
    a.virsh("update-device", "vm", "/dev/stdin", "--live", "--force", input=drive_xml(vm))
    assert vm.wait_for("medium", since=mark).rest.startswith("unreadable")
    assert vm.state() == "running"


def test_hooks_are_called_as_libvirt_documents(lab, guest, calls):
    a, b = lab.hosts
    vm = guest()
    vm.create(a)
    assert calls(a) == ["vm prepare begin -", "vm start begin -", "vm started begin -"]
    vm.migrate(b)
    assert calls(b) == ["vm migrate begin -", "vm prepare begin -", "vm start begin -", "vm started begin -"]
    assert calls(a)[3:] == ["vm stopped end -", "vm release end migrated"]
    b.restart_libvirtd()
    lab.wait_for(lambda: calls(b)[4:] == ["vm reconnect begin -"], 10, "the reconnect hook")
    assert vm.state() == "running"


def test_a_saved_guest_goes_on_at_the_other_host(lab, guest):
    a, b = lab.hosts
    put_discs(lab)
    vm = guest(cdrom=Cdrom(DISC))
    vm.create(a)
    vm.wait_for_text("disc of host-a")
    vm.save(f"{lab.shared}/vm.save")
    vm.restore(b, f"{lab.shared}/vm.save")
    vm.wait_for_text("disc of host-b")


def test_qemu_is_libvirts_user_and_owns_what_it_opens(lab, guest):
    a, _ = lab.hosts
    put_discs(lab)
    vm = guest(cdrom=Cdrom(DISC))
    vm.create(a)
    user = a.run("ps", "-o", "user:32=", "-C", "qemu-system-x86_64").stdout.strip()
    assert user == "libvirt-qemu"
    assert a.run("stat", "-c", "%U", DISC).stdout.strip() == user


def test_hosts_share_nothing_but_the_link(lab):
    a, b = lab.hosts
    for host in lab.hosts:
        host.write("/etc/virt-recontext/who", host.name)
        host.run("logger", "-t", "lab", f"I am {host.name}")
    for host, other in ((a, b), (b, a)):
        assert host.read("/etc/virt-recontext/who") == host.name
        assert host.run("hostname").stdout.strip() == host.name
        assert host.virsh("-c", f"qemu+tcp://{other.name}/system", "hostname").stdout.strip() == other.name
        lab.wait_for(lambda host=host: f"I am {host.name}" in host.syslog(), 5, "the log line")
        assert f"I am {other.name}" not in host.syslog()
        host.remove("/etc/virt-recontext")
    assert not Path("/etc/virt-recontext/who").exists()


def test_what_goes_wrong_is_told_with_evidence(lab, guest):
    a, _ = lab.hosts
    with pytest.raises(LabError, match="exit status 3: sh -c"):
        a.run("sh", "-c", "exit 3")
    with pytest.raises(LabError, match="no end after 0.2 s"):
        a.run("sleep", "60", timeout=0.2)
    assert a.run("pidof", "sleep", check=False).stdout == ""
    with pytest.raises(TimedOut, match="in vain for pigs to fly\n--- host-a: libvirtd\n"):
        lab.wait_for(lambda: False, 0.1, "pigs to fly")
    vm = guest()
    vm.console_path.write_text("1.000 booted mode=poll\n[1.1] Kernel panic - not syncing: test\n")
    with pytest.raises(GuestDied, match="the kernel of vm died.*not syncing: test"):
        vm.wait_for("context")


# Prints its directory, then waits for its end. A shell's background job ignores SIGINT, and all that it starts; not this.
LAB_IN_A_PROCESS = """
import lab, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
with lab.Lab() as up:
    print(up.directory, flush=True)
    signal.pause()
"""


def start_another_lab():
    """A lab in a process of its own, and its directory."""
    process = subprocess.Popen([sys.executable, "-c", LAB_IN_A_PROCESS], stdout=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[1])
    return process, Path(process.stdout.readline().strip())


def processes_of(directory):
    """PIDs of this machine's processes that name the directory."""
    return [path for path in Path("/proc").glob("[0-9]*/cmdline") if os.fsencode(directory) in _content(path)]


def _content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_lab_that_is_told_to_end_leaves_nothing(lab, number):
    process, directory = start_another_lab()
    assert directory.is_dir() and processes_of(directory)
    process.send_signal(number)
    assert process.wait(20) != 0
    assert not directory.exists() and not processes_of(directory)
    assert all(host.virsh("uri").returncode == 0 for host in lab.hosts), "labs run side by side"


def test_the_next_start_removes_what_a_killed_lab_left(lab):
    process, directory = start_another_lab()
    process.kill()
    process.wait()
    wait_for(lambda: not processes_of(directory), 10, "the killed lab's processes to die")
    assert directory.exists()
    with Lab(("lonely",)):
        assert not directory.exists()
        assert lab.directory.exists(), "a living lab is left alone"
