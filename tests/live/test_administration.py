"""What an administrator does with the command line: enable, refresh, disable."""

import re

import pytest

from lab import Cdrom
from live.site import is_tainted

NAMESPACE = "urn:virt-recontext:1"


def wants_context(host, vm):
    """Whether the VM's definition says so. (virsh succeeds with nothing where there is none.)"""
    return host.virsh("metadata", vm.name, NAMESPACE, "--config", check=False).stdout.strip() != ""


@pytest.mark.parametrize(("bus", "cdrom"), [("plug", None), ("sata", Cdrom())], ids=["no-drive", "drive"])
def test_enable_is_all_a_stock_vm_needs(site, lab, guest, bus, cdrom):
    a, b = lab.hosts
    vm = guest(bus=bus, cdrom=cdrom)
    vm.define(a)
    site.recontext(a, "enable", vm.name)
    assert wants_context(a, vm)
    vm.start(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b, "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b))
    assert not is_tainted(vm)
    assert wants_context(b, vm), "it travels with the VM"


def test_disable_lets_go_of_a_vm(site, lab, guest):
    a, _ = lab.hosts
    vm = guest()
    vm.define(a)
    site.recontext(a, "enable", vm.name)
    site.recontext(a, "enable", vm.name)
    site.recontext(a, "disable", vm.name)
    assert not wants_context(a, vm)
    vm.start(a)
    assert vm.wait_for("no disc")
    assert not any(vm.uuid in path.name for path in site.files_of_ours(a))


def test_disable_takes_the_disc_out_of_a_running_vm(site, lab, guest):
    a, _ = lab.hosts
    vm = guest()
    vm.define(a)
    site.recontext(a, "enable", vm.name)
    vm.start(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    assert site.recontext(a, "disable", vm.name).stdout == f"{vm.name}: no longer takes part\n"
    vm.wait_for("no disc", since=mark)
    for xml in (vm.live_xml(), vm.live_xml("--inactive")):
        assert NAMESPACE not in xml and vm.image not in xml and "<target dev='sda'" in xml
    assert not any(vm.uuid in path.name for path in site.files_of_ours(a))


def test_enable_replaces_somebodys_medium_only_if_told_to_and_disable_puts_it_back(site, lab, guest):
    a, _ = lab.hosts
    # What says that a file is the image of a disc, and no more.
    a.write("/srv/seed.iso", "x" * 32768 + "\x01CD001" + "x" * 4096)
    vm = guest(cdrom=Cdrom("/srv/seed.iso"))
    vm.define(a)
    vm.start(a)
    before = vm.live_xml(), vm.live_xml("--inactive")
    refused = site.recontext(a, "enable", vm.name, "--target", "sda", check=False)
    assert refused.returncode == 1 and "the drive sda holds /srv/seed.iso" in refused.stderr
    assert (vm.live_xml(), vm.live_xml("--inactive")) == before

    site.recontext(a, "enable", vm.name, "--target", "sda", "--replace")
    vm.wait_for_text(site.text(a))
    assert vm.image in vm.live_xml() and vm.image in vm.live_xml("--inactive")
    site.recontext(a, "enable", vm.name)
    mark = vm.mark()
    assert "sda holds /srv/seed.iso again" in site.recontext(a, "disable", vm.name).stdout
    vm.wait_for("no disc", since=mark)
    assert vm.live_xml("--inactive") == before[1]


def label(host, vm):
    """The label of the VM's disc, as its primary volume descriptor has it."""
    return host.path(vm.image).read_bytes()[32768 + 40:32768 + 72].decode().rstrip()


def test_the_format_and_the_label_of_enable_are_those_of_each_disc_until_others_are_given(site, lab, guest):
    a, b = lab.hosts
    vm = guest()
    vm.define(a)
    site.recontext(a, "enable", vm.name, "--format", "nocloud")
    vm.start(a)
    vm.wait_for_text(site.text(a))
    assert label(a, vm) == "cidata"
    for options, wanted in [(("--label", "SITE"), "SITE"), (("--format", "files"), "SITE"), ((), "SITE")]:
        site.recontext(a, "enable", vm.name, *options)
        assert label(a, vm) == wanted
    for scope in ("--live", "--config"):
        element = a.virsh("metadata", vm.name, NAMESPACE, scope).stdout
        assert 'format="files"' in element and 'label="SITE"' in element
    assert b"instance-id" not in a.path(vm.image).read_bytes()
    vm.migrate(b, "--persistent", "--undefinesource")
    vm.wait_for_text(site.text(b))
    assert label(b, vm) == "SITE"


def test_refresh_delivers_a_change_and_only_a_change(site, lab):
    a, _ = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    mark = vm.mark()
    site.set_endpoint(a, "https://new.example:9100")
    site.recontext(a, "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://new.example:9100", since=mark)
    vm.wait_for("event media-change", since=mark)
    delivered = site.wait_for_state(a, vm, "delivered")
    assert delivered["reason"] == "refresh"

    changes = site.tray_events(a, vm)
    site.recontext(a, "refresh", vm.name)
    again = site.wait_for_state(a, vm, "delivered")
    assert again["generation"] == delivered["generation"]
    assert site.tray_events(a, vm) == changes


def test_refresh_all_serves_each_vm_that_wants_context(site, lab, guest):
    a, _ = lab.hosts
    one, other, stranger = site.guest(name="one"), site.guest(name="other", bus="scsi"), guest(name="stranger")
    for vm in (one, other, stranger):
        vm.create(a)
    site.set_endpoint(a, "https://new.example:9100")
    site.recontext(a, "refresh", "--all")
    for vm in (one, other):
        vm.wait_for_text("monitoring endpoint: https://new.example:9100")
    assert site.tray_events(a, stranger) == []
    assert stranger.said()[-1].kind == "no disc"


def test_enable_serves_a_vm_that_runs_with_an_empty_drive_at_once(site, lab, guest):
    a, _ = lab.hosts
    vm = guest(cdrom=Cdrom())
    vm.create(a)
    vm.wait_for("no disc")
    said = site.recontext(a, "enable", vm.name).stdout
    assert "in the drive sda" in said
    vm.wait_for_text(site.text(a))


def test_enable_refuses_what_it_could_not_keep_and_changes_nothing(site, lab, guest):
    a, _ = lab.hosts
    vm = guest(cdrom=None)
    vm.create(a)
    before = vm.live_xml()
    refused = site.recontext(a, "enable", vm.name, check=False)
    assert refused.returncode == 1 and "is not persistent, and none can be plugged in" in refused.stderr
    assert vm.live_xml() == before


def test_what_failed_on_arrival_is_mended_by_a_refresh(site, lab):
    a, b = lab.hosts
    b.write("/etc/virt-recontext/context/endpoint.j2", "{{ facts.no.such.fact }}\n")
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    failed = site.wait_for_state(b, vm, "failed")
    assert "endpoint.j2, line 1" in failed["message"]
    assert vm.state() == "running"
    mark = vm.mark()
    b.write("/etc/virt-recontext/context/endpoint.j2", "mended: {{ facts.monitoring.endpoint }}\n")
    site.recontext(b, "refresh", vm.name)
    vm.wait_for_text("mended: https://monitor.host-b.example:9100", since=mark)
    site.wait_for_state(b, vm, "delivered")


def drives(bus, **places):
    """CD-ROM drives with somebody's medium by their names, each at a place of its own: bus and unit of the first controller."""
    return "".join(f"<disk type='file' device='cdrom'><source file='/srv/{name}'/><target dev='{name}' bus='{bus}'/>"
                   f"<address type='drive' controller='0' bus='{at}' target='0' unit='{unit}'/></disk>"
                   for name, (at, unit) in places.items())


def definition(host, vm):
    return host.virsh("dumpxml", vm.name, "--inactive").stdout


def cdrom_drives(host, vm):
    """In the order in which libvirt has them boot."""
    return re.findall(r"<disk [^>]*device='cdrom'.*?<target dev='(\w+)'", definition(host, vm), re.S)


IDE_IS_FULL = drives("ide", hda=(0, 0), hdb=(0, 1), hdc=(1, 0), hdd=(1, 1))
VIRTIO_SCSI = "<controller type='scsi' model='virtio-scsi'/>"


@pytest.mark.parametrize(("bus", "devices", "target", "new"), [
    ("sata", drives("sata", sdc=(0, 0)), (), "dev='sdd' bus='sata'"),
    ("sata", drives("sata", sdc=(0, 0)), ("--target", "sda"), "dev='sda' bus='sata'"),
    ("ide", drives("ide", hdd=(0, 0), hdc=(0, 1), hdb=(1, 0)), (), "dev='hde' bus='ide'"),
    ("ide", drives("ide", hdb=(0, 0)), ("--target", "sdz"), "dev='sdz' bus='ide'"),
    ("ide", IDE_IS_FULL, (), "dev='sdz' bus='scsi'"),
    ("ide", IDE_IS_FULL + VIRTIO_SCSI, (), "dev='sdz' bus='scsi'"),
    ("sata", "", (), "dev='sdz' bus='scsi'"),
], ids=["name-is-not-place", "named", "one-place-left", "far-name", "ide-is-full", "scsi-is-there", "none"])
def test_libvirt_takes_the_new_drive_and_its_discs_wherever_the_others_are(site, lab, guest, bus, devices, target, new):
    a, _ = lab.hosts
    vm = guest(cdrom=None, bus=bus, devices=devices)
    vm.define(a)
    for disk in re.findall(r"/srv/\w+", devices):
        a.write(disk, "x" * 512)
    before = cdrom_drives(a, vm)
    site.recontext(a, "enable", vm.name, *target)
    assert vm.image in definition(a, vm) and f"<target {new}/>" in definition(a, vm)
    assert target or cdrom_drives(a, vm)[:1] == before[:1] or not before, "a VM may boot from its first CD-ROM drive"
    vm.start(a)
    site.set_endpoint(a, "https://new.example:9100")
    site.recontext(a, "refresh", vm.name)
    assert site.wait_for_state(a, vm, "delivered")["reason"] == "refresh"
    site.recontext(a, "disable", vm.name)
    for xml in (vm.live_xml(), vm.live_xml("--inactive")):
        assert vm.image not in xml and "'ua-recontext" not in xml, xml


def test_enable_takes_no_drive_in_which_the_running_vm_has_somebodys_medium(site, lab, guest):
    a, _ = lab.hosts
    vm = guest(cdrom=Cdrom())
    vm.define(a)
    vm.start(a)
    a.write("/srv/install.iso", "x" * 4096)
    a.virsh("change-media", vm.name, "sda", "/srv/install.iso", "--insert", "--live")
    assert "new drive sdz" in site.recontext(a, "enable", vm.name).stdout
    # That it has no drive yet is no failure: it was told, and nobody can do more before the next start.
    assert "runs without the drive sdz" in site.recontext(a, "refresh", "--all").stdout
    doctor = site.recontext(a, "doctor", check=False).stdout
    assert f"warning: vm {vm.name}: it runs without the drive sdz" in doctor
    assert "/srv/install.iso" in vm.live_xml()


def test_a_vm_carries_what_it_is_given_to_every_host(site, lab):
    a, b = lab.hosts
    for host in lab.hosts:
        host.write("/etc/virt-recontext/context/endpoint.j2", "{{ facts.role }} of {{ facts.tier|default('none') }}\n")
        host.write("/etc/virt-recontext/facts.d/role.toml", "role = 'nothing'\n")
    vm = site.guest()
    vm.define(a)
    vm.start(a)
    vm.wait_for_text("nothing of none")
    site.recontext(a, "set", vm.name, "role=a <web> & \"more\"", "tier=front")
    vm.wait_for_text("a <web> & \"more\" of front")
    assert 'role = a <web> & "more"' in site.recontext(a, "preview", vm.name, "--explain").stdout
    vm.migrate(b, "--persistent", "--undefinesource")
    vm.wait_for_text("a <web> & \"more\" of front")
    b.write("/srv/local", "{{ facts.role }} on a file\n")
    site.recontext(b, "set", vm.name, "--file", "endpoint.j2=/srv/local")
    vm.wait_for_text("a <web> & \"more\" on a file")
    site.recontext(b, "unset", vm.name, "role", "--file", "endpoint.j2")
    vm.wait_for_text("nothing of front")
    assert ">front<" in b.virsh("metadata", vm.name, NAMESPACE, "--config").stdout
    assert "more" not in b.virsh("metadata", vm.name, NAMESPACE, "--config").stdout


def test_a_backup_that_takes_hours_keeps_no_change_from_the_guest(site, lab):
    a, _ = lab.hosts
    disk = lab.shared / "backed-up.raw"
    disk.write_bytes(bytes(1 << 20))
    disk.chmod(0o666)
    vm = site.guest(devices=f"<disk type='file'><driver name='qemu' type='raw'/><source file='{disk}'/>"
                            "<target dev='vda' bus='virtio'/></disk>")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    # In pull mode it lasts until it is aborted.
    a.virsh("backup-begin", vm.name, "/dev/stdin",
            input="<domainbackup mode='pull'><server transport='unix' socket='/tmp/backup.sock'/>"
                  "<disks><disk name='vda' backup='yes' type='file'><scratch file='/var/lib/libvirt/scratch'/></disk>"
                  "</disks></domainbackup>")
    assert "Unbounded" in a.virsh("domjobinfo", vm.name).stdout
    site.set_endpoint(a, "https://new.example:9100")
    site.recontext(a, "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://new.example:9100")
    a.virsh("domjobabort", vm.name)


def test_refresh_says_goodbye_to_the_daemon(site, lab):
    a, _ = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    site.wait_for_helpers()
    before = a.libvirtd_log
    site.recontext(a, "refresh", "--force", vm.name)
    site.wait_for_state(a, vm, "delivered")
    site.wait_for_helpers()
    # What the daemon has to say of the helper it says before it hears whoever comes next.
    a.virsh("list")
    assert "End of file" not in a.libvirtd_log.removeprefix(before)
