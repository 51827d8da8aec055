"""libvirtd dies and comes back. For a guest that runs it calls the hook, whose failure would have the guest killed."""

from live.site import CONFIG, IMAGES, STATE

HELPER = "/usr/sbin/virt-recontext"

# How the hook's work can fail, and what mends it.
FAULTS = {
    "a configuration that is none": (f"echo '[[' >{CONFIG}/config.toml", f": >{CONFIG}/config.toml"),
    "no helper": (f"mv {HELPER} {HELPER}.away", f"mv {HELPER}.away {HELPER}"),
    "no place for images": (f"mv {IMAGES} {IMAGES}.away && touch {IMAGES}", f"rm {IMAGES}; mv {IMAGES}.away {IMAGES}"),
    "no place for state": (f"mv {STATE} {STATE}.away && touch {STATE}", f"rm {STATE}; mv {STATE}.away {STATE}"),
}


def test_a_running_guest_outlives_the_daemon_whatever_is_wrong_with_us(site, lab):
    a, _ = lab.hosts
    vm = site.pv()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    for fault, (bring, mend) in FAULTS.items():
        a.shell(bring)
        try:
            a.kill_libvirtd()
            assert vm.state() == "running", fault
        finally:
            a.shell(mend)
    site.set_endpoint(a, "https://moved.example")
    mark = vm.mark()
    vm.save("/var/lib/libvirt/vm.save")
    vm.restore(a, "/var/lib/libvirt/vm.save")
    vm.wait_for_text("monitoring endpoint: https://moved.example", since=mark)
