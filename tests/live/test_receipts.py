"""A receipt without an agent: status says whether a guest has read its newest disc."""

import signal
import time

import pytest

BUSES = ["ide", "sata", "scsi"]

# What a guest reads that only looks, in bytes.
LOOK = 57_344


def wait_for_read(site, vm, read):
    """Waits until status says so of the newest disc; returns all that it says."""
    def reached():
        said = site.status(vm.host, vm)
        return said if (said.get("state"), said.get("read")) == ("delivered", read) else {}

    return site.lab.wait_for(reached, 20, f"status of {vm.name} to say {read}")


def refresh(site, vm, url):
    """Gives the guest a new disc by hand."""
    site.set_endpoint(vm.host, url)
    site.recontext(vm.host, "refresh", vm.name)
    return f"monitoring endpoint: {url}"


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_that_reads_a_small_file_has_read_each_new_disc(site, lab, bus):
    a, b = lab.hosts
    vm = site.guest(bus=bus, mode="event", name=f"reads-{bus}")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    first = wait_for_read(site, vm, "read")
    assert first["read_seen"] and first["read_bytes"] > 50_000, first
    assert site.status(a, vm)["read_seen"] == first["read_seen"], "seen once"

    mark = vm.mark()
    vm.wait_for_text(refresh(site, vm, f"https://{bus}.example"), since=mark)
    second = wait_for_read(site, vm, "read")
    assert second["generation"] > first["generation"] and second["read_seen"] > first["read_seen"]

    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for_text(site.text(b), since=mark)
    wait_for_read(site, vm, "read")
    said = site.recontext(b, "status", vm.name).stdout
    assert ", current, read, " in said and "; the guest has read it (" in said, said


@pytest.mark.parametrize("bus", BUSES)
def test_a_guest_that_only_looks_at_its_discs_has_not_read_them(site, lab, bus):
    a, b = lab.hosts
    vm = site.guest(bus=bus, mode="probe", name=f"looks-{bus}")
    vm.create(a)
    vm.wait_for("probed")
    assert wait_for_read(site, vm, "not-read")["read_seen"] is None
    for step in (lambda: refresh(site, vm, f"https://{bus}.example"), lambda: vm.migrate(b)):
        mark = vm.mark()
        step()
        site.wait_for_state(vm.host, vm, "delivered")
        vm.wait_for("probed", since=mark)
        # It looks at the empty drive, too.
        lab.wait_for(lambda: site.status(vm.host, vm)["read_bytes"] >= LOOK, 10, "the guest to have looked at its new disc")
        assert site.status(vm.host, vm)["read"] == "not-read"
    said = site.recontext(b, "status", vm.name).stdout
    assert ", current, not read, " in said and "has looked at it since it came (" in said, said


def test_a_receipt_is_told_after_a_restart_of_the_daemon_a_restore_and_in_a_new_drive(site, lab, guest):
    a, _ = lab.hosts
    vm = site.guest(bus="scsi", mode="event")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    seen = wait_for_read(site, vm, "read")["read_seen"]
    a.restart_libvirtd()
    assert wait_for_read(site, vm, "read")["read_seen"] == seen

    vm.save("/srv/saved")
    site.set_endpoint(a, "https://restored.example")
    mark = vm.mark()
    vm.restore(a, "/srv/saved")
    vm.wait_for_text("monitoring endpoint: https://restored.example", since=mark)
    assert wait_for_read(site, vm, "read")["read_seen"] > seen

    plugged = guest("plugged", cdrom=None, bus="plug", mode="event")
    plugged.create(a)
    site.recontext(a, "enable", plugged.name)
    plugged.wait_for_text("monitoring endpoint: https://restored.example")
    assert wait_for_read(site, plugged, "read")["read_bytes"] > 50_000


def test_of_a_vm_that_hangs_it_is_unknown_and_holds_up_no_other(site, lab):
    a, _ = lab.hosts
    hangs, works = (site.guest(bus="scsi", mode="event", name=name) for name in ("hangs", "works"))
    for vm in (hangs, works):
        vm.create(a)
        # Nobody has asked yet: what was seen once is known.
        vm.wait_for_text(site.text(a))
    pid = int(a.read(f"/run/libvirt/qemu/{hangs.name}.pid"))
    a.run("kill", f"-{signal.SIGSTOP.value}", str(pid))
    try:
        begun = time.monotonic()
        assert (site.status(a, works)["read"], site.status(a, hangs)["read"]) == ("read", "unknown")
        assert time.monotonic() - begun < 15
        # Nor does anybody wait for our question.
        assert "<name>hangs</name>" in a.run("timeout", "10", "virsh", "dumpxml", hangs.name).stdout
    finally:
        a.run("kill", f"-{signal.SIGCONT.value}", str(pid))
    wait_for_read(site, hangs, "read")
