"""The .deb on a Xen host: its scripts put the hook where libvirt's Xen driver looks for it, and take it away again."""

from live.site import CONFIG, IMAGES, STATE
from xen.site import HOOK, PACKAGE

PROGRAM = "/usr/sbin/virt-recontext-hook"
FILTER = f"{HOOK}.d/50-virt-recontext"


def link(host, path):
    """Where a link leads; "" if there is none."""
    return host.run("readlink", path, check=False).stdout.strip()


def test_the_hook_comes_and_goes_with_the_package_and_guests_live_on(site, lab):
    a, _ = lab.hosts
    assert link(a, HOOK) == PROGRAM
    vm = site.pv()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    checked = site.recontext(a, "doctor", check=False)
    assert "bad: hook" not in checked.stdout and "bad: vm" not in checked.stdout

    a.run("dpkg", "--no-triggers", "-P", "virt-recontext")
    assert not a.exists(HOOK) and not a.exists(PROGRAM)
    assert not any(a.exists(path) for path in (CONFIG, IMAGES, STATE))
    assert vm.state() == "running"

    a.write(HOOK, "#!/bin/sh\nexit 0\n", 0o755)
    a.run("dpkg", "--no-triggers", "-i", PACKAGE)
    assert link(a, FILTER) == PROGRAM, "beside a hook of the administrator's"
    vm.remove()
    a.run("dpkg", "--no-triggers", "-P", "virt-recontext")
    assert not a.exists(FILTER)
    a.remove(HOOK)
    with a.awaiting_reload():
        a.run("dpkg", "--no-triggers", "-i", PACKAGE)
    assert link(a, HOOK) == PROGRAM
