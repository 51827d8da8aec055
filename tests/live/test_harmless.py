"""Nothing that goes wrong with context harms a VM, and a VM that wants none is not touched at all."""

import subprocess

import pytest

from lab import Cdrom, make_disc
from live.site import CONFIG, is_tainted

# Takes the place of the log's reader and never reads: the socket is full, and blocks whoever waits for it. Prints its PID.
STUCK_LOG = """
import os, signal, socket
stuck = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
stuck.bind("/dev/log")
writer = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
writer.connect("/dev/log")
writer.setblocking(False)
try:
    while True:
        writer.send(b"full")
except BlockingIOError:
    print(os.getpid(), flush=True)
signal.pause()
"""


def test_a_vm_without_metadata_is_not_touched(site, lab, guest):
    a, b = lab.hosts
    disc = "/var/lib/libvirt/images/its-own.iso"
    for host in lab.hosts:
        make_disc(host.path(disc), "its own")
    logs = {host: host.syslog() for host in lab.hosts}
    vm = guest(cdrom=Cdrom(disc))
    vm.create(a)
    vm.wait_for_text("its own")
    before, mark = vm.live_xml("--migratable"), vm.mark()
    vm.migrate(b)
    assert vm.live_xml("--migratable") == before
    assert not is_tainted(vm)
    vm.migrate(a)
    assert vm.said()[mark:] == [], "its guest notices nothing"
    for host in lab.hosts:
        assert site.files_of_ours(host) == []
        assert host.syslog() == logs[host]
        assert site.tray_events(host, vm) == []


def test_a_usb_drive_is_refused_with_the_reason(site, lab):
    a, b = lab.hosts
    disc = lab.shared / "usb.iso"
    make_disc(disc, "its own")
    vm = site.guest(bus="usb")
    vm.cdrom = Cdrom(str(disc))
    vm.create(a)
    vm.wait_for_text("its own")
    vm.migrate(b)
    status = site.wait_for_state(b, vm, "failed")
    assert "usb" in status["message"].lower()
    assert vm.state() == "running"
    assert vm.said()[-1].text == "its own"
    assert not is_tainted(vm)


@pytest.mark.parametrize("broken", ["template", "facts", "config"])
def test_broken_data_costs_the_guest_its_news_and_nothing_else(site, lab, broken):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.write({"template": f"{CONFIG}/context/other.j2", "facts": f"{CONFIG}/facts.d/other.toml",
             "config": f"{CONFIG}/config.toml"}[broken], "{{ facts.nowhere.to.be.found }}\n")
    log = len(b.syslog())
    vm.migrate(b)
    lab.wait_for(lambda: "vm" in b.syslog()[log:], 20, "the log to tell the reason")
    assert vm.state() == "running"
    b.remove(f"{CONFIG}/context/other.j2")
    b.remove(f"{CONFIG}/facts.d/other.toml")
    b.remove(f"{CONFIG}/config.toml")
    site.recontext(b, "refresh", "vm")
    lab.wait_for(lambda: vm.last("context").text == site.text(b), 20, "the repaired data to reach the guest")


def test_a_host_without_the_helper_still_gives_the_first_read(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.remove("/usr/sbin/virt-recontext")
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == site.text(b)
    assert vm.state() == "running"


@pytest.mark.parametrize("log", ["missing", "stuck"])
def test_a_log_that_does_not_work_holds_nothing_up(site, lab, log):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.run("mv", "/dev/log", "/dev/log.away")
    stuck = b.popen("/usr/bin/python3", "-c", STUCK_LOG, stdout=subprocess.PIPE, text=True) if log == "stuck" else None
    try:
        pid = stuck.stdout.readline() if stuck else ""
        mark = vm.mark()
        vm.migrate(b)
        vm.wait_for_text(site.text(b), since=mark)
        site.wait_for_state(b, vm, "delivered")
        if stuck:
            b.run("kill", pid.strip())
            stuck.communicate()
    finally:
        b.run("mv", "/dev/log.away", "/dev/log")


def test_a_restart_of_libvirtd_in_the_middle_delays_only(site, lab):
    a, b = lab.hosts
    site.configure(b, 'force_after = "8s"\n')
    vm = site.guest(mode="hold")
    vm.create(a)
    vm.wait_for("medium")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for("event eject-request", since=mark)
    b.restart_libvirtd()
    assert vm.state() == "running", "no hook of ours may fail at reconnect"
    site.wait_for_state(b, vm, "delivered", 40)
    assert vm.state() == "running"
