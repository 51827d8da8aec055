"""Who reads what: discs, jobs and states of two real VMs, and no secret of the XML anywhere."""

import os
import pwd

from live.site import IMAGES, STATE

SECRET = "T0pS3cr1"
UNPRIVILEGED = ("setpriv", "--clear-groups", "--regid", "65534", "--reuid", "65534", "--")


def test_discs_are_for_root_and_qemu_and_the_rest_for_root_alone(site, lab):
    a, b = lab.hosts
    first, second = site.guest(name="first"), site.guest(name="second")
    for vm in (first, second):
        vm.create(a)
        vm.wait_for_text(site.text(a))
    first.migrate(b)
    site.wait_for_state(b, first, "delivered")
    qemu = pwd.getpwnam("libvirt-qemu").pw_uid
    for host, vm in ((b, first), (a, second)):
        image = host.path(vm.image).stat()
        assert image.st_uid in (0, qemu) and image.st_mode & 0o077 == 0
        # As the README says: libvirt's one user for all QEMUs reads every VM's disc.
        as_qemu = ("setpriv", "--clear-groups", "--regid", "65534", "--reuid", str(qemu), "--")
        assert host.run(*as_qemu, "cmp", "-n", "1", vm.image, "/dev/zero", check=False).returncode == 0
        assert host.path(IMAGES).stat().st_mode & 0o7777 == 0o711
        assert host.run(*UNPRIVILEGED, "cat", vm.image, check=False).returncode != 0
        assert host.run(*UNPRIVILEGED, "ls", IMAGES, check=False).returncode != 0
        assert host.run(*UNPRIVILEGED, "ls", STATE, check=False).returncode != 0
        for root, _, names in os.walk(host.path(STATE)):
            for name in names:
                file = os.stat(os.path.join(root, name))
                assert (file.st_uid, file.st_mode & 0o7777) == (0, 0o600), name


def test_a_password_of_the_xml_is_nowhere(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    plain = vm.xml
    vm.xml = lambda: plain().replace(
        "<memballoon", f"<graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='{SECRET}'/><memballoon")
    vm.create(a)
    vm.wait_for_text(site.text(a))
    vm.migrate(b)
    site.wait_for_state(b, vm, "delivered")
    assert SECRET in vm.live_xml("--security-info"), "the VM has the secret"
    for host in lab.hosts:
        assert SECRET not in host.syslog()
        for file in site.files_of_ours(host):
            assert SECRET.encode() not in file.read_bytes(), file
