"""cloud-init in a real distribution, with our discs in the format nocloud: see packaging/guest/cloud-init.

On demand, for an emulated guest takes minutes over it: what cloud-init makes of the discs, tests/formats asks its own code.

    python3 -m pytest tests/live/cloud_init_on_demand.py
"""

import pytest

from lab import Cdrom, DebianGuest, context_metadata
from live.site import CONFIG, Site


@pytest.fixture
def cloud(lab, programs):
    """A site with a guest that runs cloud-init at its start; its user-data tells of each time that it is provisioned."""
    made = Site(lab, lambda name="cloud", **options: DebianGuest(lab, name, cloud_init=True, **options))
    made.install(programs)
    for host in lab.hosts:
        host.write(f"{CONFIG}/facts.d/site.toml", f'site = "{host.name}"\n')
        host.write(f"{CONFIG}/context/user-data.j2", "#!/bin/sh\n/usr/local/bin/tell instance {{ facts.site }}\n")
        host.remove(f"{CONFIG}/context/endpoint.j2")
    vm = DebianGuest(lab, "cloud", cloud_init=True, bus="sata",
                     metadata=context_metadata("sata", attributes="format='nocloud'"))
    vm.cdrom = Cdrom(vm.image)
    yield made, vm
    vm.remove()
    made.remove()


def test_a_guest_that_migrated_is_no_new_instance(cloud, lab):
    site, vm = cloud

    def seen():
        return vm.run("cloud-init query ds.meta_data.site").strip()

    a, b = lab.hosts
    vm.create(a)
    assert vm.wait_for("instance", seconds=120).rest == "host-a"
    assert seen() == "host-a"
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    assert seen() == "host-a", "it looks only when it is told to"
    vm.run("rm /run/cloud-init/.instance-id && cloud-init init --local")
    assert seen() == "host-b"
    vm.reboot()
    vm.run("cloud-init status --wait", seconds=120)
    assert seen() == "host-b"
    assert vm.run("cloud-init query instance_id").strip() == vm.uuid
    assert [said.rest for said in vm.said() if said.kind == "instance"] == ["host-a"]
