"""cloud-init in a real distribution, with a NoCloud disc on each host: see packaging/guest/cloud-init."""

import pytest

from lab import Cdrom, DebianGuest, make_disc_of

DISC = "/var/lib/libvirt/images/cidata.iso"


@pytest.fixture
def vm(lab):
    """A guest that runs cloud-init at its start; its user-data tells of each time that it is provisioned."""
    made = DebianGuest(lab, "cloud", cloud_init=True, cdrom=Cdrom(DISC))
    for host in lab.hosts:
        make_disc_of(host.path(DISC), "cidata", {
            "meta-data": f"instance-id: {made.uuid}\nsite: {host.name}\n",
            "user-data": f"#!/bin/sh\n/usr/local/bin/tell instance {host.name}\n"})
    yield made
    made.remove()
    for host in lab.hosts:
        host.remove(DISC)


def test_a_guest_that_migrated_is_no_new_instance(vm, lab):
    def site():
        return vm.run("cloud-init query ds.meta_data.site").strip()

    a, b = lab.hosts
    vm.create(a)
    assert vm.wait_for("instance", seconds=120).rest == "host-a"
    assert site() == "host-a"
    vm.migrate(b)
    assert site() == "host-a", "it looks only when it is told to"
    vm.run("rm /run/cloud-init/.instance-id && cloud-init init --local")
    assert site() == "host-b"
    vm.reboot()
    vm.run("cloud-init status --wait", seconds=120)
    assert site() == "host-b"
    assert [seen.rest for seen in vm.said() if seen.kind == "instance"] == ["host-a"]
