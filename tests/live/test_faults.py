"""Faults in us: whatever happens to the helper, its files or the daemon, the VM runs on, and the next helper, with the
fault gone, brings it right without anyone cleaning up."""

import json
import subprocess

import pytest

from live.aftermath import helper_runs, jobs, wait_until_delivered
from live.site import CONFIG, IMAGES, STATE

# The steps at which the helper is killed: every one of the first so many of each system call, in each of its threads.
STEPS = ["rename,renameat,renameat2", "unlink,unlinkat", "flock", "write"]
AT_MOST = 40


@pytest.fixture(scope="module")
def site(lasting_site):
    """One site for all tests here: after each, its guest runs and the fault is gone."""
    return lasting_site


@pytest.fixture
def vm(site, lab):
    """A guest that runs on the first host and has its disc, without a trace of the test before; booted anew if it died."""
    a = lab.hosts[0]
    site.set_data()
    for made in list(lab.guests):
        if made.state() == "running":
            a.remove(f"{CONFIG}/context/damaged")
            site.recontext(a, "refresh", made.name)
            lab.wait_for(lambda made=made: made.last("context").text == site.text(a), 30, "the guest to be as at first")
            break
        made.remove()
    else:
        made = site.guest()
        made.create(a)
        made.wait_for_text(site.text(a))
    wait_until_delivered(site, a, made)
    return made


def note_job(host, vm):
    """What `refresh --force` leaves for the helper, without a helper."""
    host.write(f"{STATE}/jobs/{vm.uuid}.json", json.dumps(
        {"uuid": vm.uuid, "name": vm.name, "reason": "refresh", "force": True, "noted": 0, "id": "test"}), 0o600)


def helper_killed_at(host, calls, number):
    """Runs the helper until its so-manieth of these system calls. Whether it was killed there."""
    done = host.run("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}",
                    "-e", f"inject={calls}:signal=KILL:when={number}", "virt-recontext", "deliver", check=False)
    return done.returncode != 0


def refreshed(site, lab, host, vm, endpoint):
    """With the fault gone, one refresh brings the newest data to the guest."""
    for place in (IMAGES, f"{STATE}/jobs", f"{STATE}/state", f"{STATE}/facts"):
        # What a killed writer has left is taken for abandoned after a minute, which is over now.
        host.run("sh", "-c", f"touch -c -d '2 minutes ago' {place}/.new-*")
    site.set_endpoint(host, endpoint)
    mark = vm.mark()
    site.recontext(host, "refresh", vm.name)
    vm.wait_for_text(f"monitoring endpoint: {endpoint}", since=mark)
    wait_until_delivered(site, host, vm)
    left = [path for path in site.files_of_ours(host) if path.name.startswith(".new-")]
    assert left == [], "what a killed writer left is tidied"


@pytest.mark.parametrize("calls", STEPS, ids=[calls.partition(",")[0] for calls in STEPS])
def test_a_helper_killed_at_any_step_leaves_nothing_that_the_next_cannot_mend(site, lab, vm, calls):
    a, _ = lab.hosts
    for number in range(1, AT_MOST):
        site.set_endpoint(a, f"https://{calls[:4]}-{number}.example")
        note_job(a, vm)
        killed = helper_killed_at(a, calls, number)
        assert vm.state() == "running"
        if not killed:
            break
        site.recontext(a, "deliver")
        assert jobs(site, a) == []
        wait_until_delivered(site, a, vm)
    assert number > 1, "the helper was never killed"
    refreshed(site, lab, a, vm, f"https://{calls[:4]}.example")


def test_composers_that_are_killed_whenever_they_write_cost_the_vm_this_disc_and_the_helper_nothing(site, lab, vm):
    a, _ = lab.hosts
    site.set_endpoint(a, "https://never.example")
    note_job(a, vm)
    # Only they end an image.
    assert not helper_killed_at(a, "ftruncate", 1)
    assert vm.state() == "running"
    told = site.status(a, vm)
    assert told["state"] == "failed" and "was killed" in told["message"]
    assert vm.last("context").text == site.text(a)
    refreshed(site, lab, a, vm, "https://again.example")


def test_a_daemon_that_does_not_answer_keeps_no_helper(site, lab, vm):
    a, _ = lab.hosts
    note_job(a, vm)
    with a.silent_libvirtd():
        assert a.run("virt-recontext", "deliver", check=False, timeout=120).returncode != 0
        assert jobs(site, a) == [f"{vm.uuid}.json"], "nothing is lost"
    refreshed(site, lab, a, vm, "https://awake.example")


@pytest.mark.parametrize("fault", ["read-only", "full"])
def test_an_image_directory_that_cannot_be_written_keeps_the_old_disc(site, lab, vm, fault):
    a, _ = lab.hosts
    site.set_endpoint(a, "https://unwritten.example")
    if fault == "read-only":
        a.run("mount", "--bind", IMAGES, IMAGES)
        a.run("mount", "-o", "remount,bind,ro", IMAGES)
    else:
        a.run("mount", "-t", "tmpfs", "-o", "size=16k,mode=711", "none", IMAGES)
    try:
        mark = vm.mark()
        said = site.recontext(a, "refresh", vm.name, check=False)
        assert said.returncode != 0
        assert IMAGES in said.stdout + said.stderr
        assert vm.state() == "running"
        assert site.wait_for_state(a, vm, "failed")["message"]
        assert all(seen.text == site.text(a) for seen in vm.said()[mark:] if seen.kind == "context")
    finally:
        a.run("umount", IMAGES)
    refreshed(site, lab, a, vm, "https://written.example")


def test_damaged_files_of_ours_are_written_anew(site, lab, vm):
    a, _ = lab.hosts
    for damage in ("", "{", '{"uuid":', "\x00" * 4096, "[" * 5000, "x" * (2 << 20)):
        for kind in ("state", "jobs", "facts"):
            a.write(f"{STATE}/{kind}/{vm.uuid}.json", damage, 0o600)
        a.write(f"{CONFIG}/context/damaged", damage[:1] or "none")
        refreshed(site, lab, a, vm, f"https://after-{len(damage)}.example")


def test_two_helpers_at_once_are_one(site, lab, vm):
    a, _ = lab.hosts
    before = a.syslog().count("in the drive")
    site.set_endpoint(a, "https://two.example")
    note_job(a, vm)
    both = [a.popen("virt-recontext", "deliver", stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    for helper in both:
        helper.communicate(timeout=60)
        assert helper.returncode == 0
    lab.wait_for(lambda: not helper_runs(a), 20, "both to end")
    wait_until_delivered(site, a, vm)
    assert a.syslog().count("in the drive") == before + 1, "one media change"
