"""VMs whose XML something else writes, as it writes it. The pages in packaging/platforms are taken at their word: their XML is
started, on hosts that have the rules that stand there.
"""

import base64
import json
import re
import xml.etree.ElementTree as ET

import pytest

from lab import ManagedGuest, make_disc_of, on_page, what_cloud_init_finds
from lab.managed_guest import PAGES, TRANSIENT
from live.site import IMAGES, is_tainted

FROM_NOVA = {
    "openstack/latest/meta_data.json": json.dumps({
        "uuid": "0469a0f0-039b-4c28-894f-cce42edff5c5", "hostname": "web-1.example", "name": "web-1", "launch_index": 0,
        "availability_zone": "nova", "project_id": "cf85d71023524497a2ba49904a242f26", "devices": [],
    }),
    "openstack/latest/network_data.json": json.dumps({"links": [], "networks": [], "services": []}),
    "openstack/latest/user_data": "#cloud-config\ntimezone: Europe/Zurich\n",
    "openstack/latest/vendor_data.json": "{}",
    "ec2/latest/meta-data.json": json.dumps({"instance-id": "i-0000002a", "hostname": "web-1.example"}),
}
FROM_OPENNEBULA = {
    "context.sh": "DISK_ID='1'\nETH0_IP='192.0.2.42'\nETH0_MAC='02:00:c0:00:02:2a'\nNETWORK='YES'\nSET_HOSTNAME='web-1'\n"
                  "TARGET='hda'\nVMID='42'\n",
}


def payload_of_ovirt():
    """The files that the page's XML holds, which vdsm puts on a disc."""
    files = ET.fromstring(on_page("ovirt", "xml")).iter("{http://ovirt.org/vm/1.0}file")
    return {file.get("path"): base64.b64decode(file.text).decode() for file in files}


# The label and the files of the disc that a manager gives its VM, and the source for which cloud-init takes it.
OWN_DISCS = {
    "nova": ("config-2", FROM_NOVA, "ConfigDrive"),
    "opennebula": ("CONTEXT", FROM_OPENNEBULA, "OpenNebula"),
    "ovirt": ("config-2", payload_of_ovirt(), "ConfigDrive"),
}
# The name and the place that the manager gives a disk on SCSI that is attached next, which it counts for itself.
NEXT_DISKS = {"opennebula": ("sda", {"target": "0", "unit": "0"}), "ovirt": ("sdd", {"target": "0", "unit": "1"})}
# Whoever makes VMs once, and leaves their XML alone.
MADE_ONCE = ("virt-install", "virt-manager")


@pytest.fixture(scope="module")
def running(lasting_site, lab):
    """The VM of each page, all on the first host and booting at the same time; both hosts have the rules of all pages."""
    for host in lab.hosts:
        lasting_site.configure(host, "\n".join(on_page(manager, "toml") for manager in OWN_DISCS))
    vms = {}
    for manager, (label, files, _) in OWN_DISCS.items():
        config_drive = lab.shared / f"{manager}.iso"
        make_disc_of(config_drive, label, files)
        config_drive.chmod(0o644)
        vms[manager] = ManagedGuest(lab, manager, config_drive=config_drive)
    for manager in MADE_ONCE:
        vms[manager] = ManagedGuest(lab, manager)
    for vm in vms.values():
        vm.begin(lab.hosts[0])
    return vms


def discs(vm):
    """The image in each CD-ROM drive of the running VM that is not empty, by the drive's name."""
    found = {}
    for disk in ET.fromstring(vm.live_xml()).findall("devices/disk[@device='cdrom']"):
        source = disk.find("source")
        if source is not None and source.get("file"):
            found[disk.find("target").get("dev")] = source.get("file")
    return found


def attach_and_detach(lab, vm, name, place):
    """Has the manager attach a disk to the running VM, and take it away again."""
    image = lab.shared / "next"
    image.write_bytes(bytes(1 << 20))
    disk = ET.Element("disk", type="file", device="disk")
    ET.SubElement(disk, "driver", name="qemu", type="raw")
    ET.SubElement(disk, "source", file=str(image))
    ET.SubElement(disk, "target", dev=name, bus="scsi")
    ET.SubElement(disk, "address", type="drive", controller="0", bus="0", **place)
    vm.host.write("/run/next.xml", ET.tostring(disk, encoding="unicode"))
    vm.host.virsh("attach-device", vm.name, "/run/next.xml", "--live")
    vm.host.virsh("detach-device", vm.name, "/run/next.xml", "--live")


def test_every_page_is_in_the_index_and_has_the_xml_of_one_vm():
    # Of many hosts, and not of one manager's VMs.
    pages = {page.stem for page in PAGES.glob("*.md")} - {"README", "fleet"}
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[[^]]*\]\((.*?)\.md\)", index, re.MULTILINE)) == pages == {*OWN_DISCS, *MADE_ONCE}
    for page in pages:
        assert ET.fromstring(on_page(page, "xml")).tag == "domain"
        assert "urn:virt-recontext" not in on_page(page, "xml")


@pytest.mark.parametrize("manager", OWN_DISCS)
def test_a_vm_that_the_rule_selects_has_its_disc_at_each_start_and_arrival_beside_the_one_that_its_manager_gave_it(
        manager, running, lasting_site, lab):
    site, (a, b), vm = lasting_site, lab.hosts, running[manager]
    _, _, source = OWN_DISCS[manager]
    own, image = vm.config_drive.read_bytes(), f"{IMAGES}/{vm.uuid}.iso"
    as_instance = what_cloud_init_finds(source, vm.config_drive)

    def has_both_discs():
        now = discs(vm)
        assert sorted(now.values()) == sorted([str(vm.config_drive), image]), now
        assert vm.config_drive.read_bytes() == own
        # What Nova finds in a definition it copies from its own directory: there must be nothing of ours.
        assert image not in vm.live_xml("--inactive") or manager in TRANSIENT

    vm.wait_for_text(site.text(a), seconds=vm.boot_seconds)
    site.wait_for_state(a, vm, "delivered")
    has_both_discs()

    if manager in NEXT_DISKS:
        attach_and_detach(lab, vm, *NEXT_DISKS[manager])

    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == site.text(b)
    site.wait_for_state(b, vm, "delivered")
    has_both_discs()

    b.virsh("destroy", vm.name)
    mark = vm.mark()
    vm.begin(b)
    assert vm.wait_for("context", since=mark, seconds=vm.boot_seconds).text == site.text(b)
    site.wait_for_state(b, vm, "delivered")
    has_both_discs()
    assert not is_tainted(vm)

    # Whichever of them the guest's kernel finds first.
    assert as_instance is not None and as_instance["drive"] == "/dev/sr0"
    assert what_cloud_init_finds(source, vm.config_drive, b.path(image)) == as_instance
    assert what_cloud_init_finds(source, b.path(image), vm.config_drive) == as_instance | {"drive": "/dev/sr1"}
    vm.remove()


@pytest.mark.parametrize(("manager", "drive", "how"), [
    ("virt-install", "sda", "in the drive sda; insert"),
    ("virt-manager", "sdz", "in the new drive sdz, plugged in;"),
])
def test_enable_lets_a_running_vm_take_part_that_was_made_once(manager, drive, how, running, lasting_site, lab):
    site, (a, b), vm = lasting_site, lab.hosts, running[manager]
    vm.wait_for("booted", seconds=vm.boot_seconds)
    assert "recontext" not in vm.live_xml()
    said = site.recontext(a, "enable", vm.name).stdout
    assert how in said, said
    vm.wait_for_text(site.text(a))
    assert discs(vm) == {drive: f"{IMAGES}/{vm.uuid}.iso"}
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == site.text(b)
    vm.remove()
