"""Faults in us: whatever happens to the helper, its files or the daemon, the VM runs on, and the next helper, with the
fault gone, brings it right without anyone cleaning up."""

import json
import subprocess
import threading
import time

import pytest

from live.aftermath import helper_runs, jobs, wait_until_delivered
from live.site import CONFIG, IMAGES, STATE

# The steps at which the helper is killed: every one of the first so many of each system call, in each of its threads.
STEPS = ["rename,renameat,renameat2", "unlink,unlinkat", "flock", "ftruncate", "write"]
AT_MOST = 40


@pytest.fixture
def vm(site, lab):
    """A guest that runs on the first host and has its disc."""
    a = lab.hosts[0]
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


def test_a_daemon_that_does_not_answer_keeps_no_helper(site, lab, vm):
    a, _ = lab.hosts
    note_job(a, vm)
    with a.silent_libvirtd():
        assert a.run("virt-recontext", "deliver", check=False, timeout=120).returncode != 0
        assert jobs(site, a) == [f"{vm.uuid}.json"], "nothing is lost"
    refreshed(site, lab, a, vm, "https://awake.example")


def test_a_daemon_that_is_killed_at_the_media_change_delays_only(site, lab):
    a, b = lab.hosts
    site.configure(b, 'force_after = "8s"\n')
    vm = site.guest(mode="hold")
    vm.create(a)
    vm.wait_for("medium")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for("event eject-request", since=mark)
    b.kill_libvirtd()
    assert vm.state() == "running"
    site.wait_for_state(b, vm, "delivered", 60)
    assert vm.state() == "running"


def test_a_configuration_that_breaks_during_a_delivery_costs_only_time(site, lab):
    a, b = lab.hosts
    site.configure(b, 'force_after = "never"\n')
    vm = site.guest(mode="hold")
    vm.create(a)
    vm.wait_for("medium")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for("event eject-request", since=mark)
    site.configure(b, "force_after = [\n")
    lab.wait_for(lambda: "config.toml" in site.status(b, vm).get("message", ""), 60, "status to name the broken file")
    assert vm.state() == "running"
    site.configure(b, 'force_after = "1s"\n')
    site.recontext(b, "refresh", vm.name, check=False)
    site.wait_for_state(b, vm, "delivered", 60)
    vm.wait_for("event media-change", since=mark)
    assert vm.state() == "running"


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


def test_a_stuck_hook_holds_libvirtd_up_no_longer_than_its_deadline(site, lab):
    a, b = lab.hosts
    vm = site.guest()
    vm.create(a)
    vm.wait_for_text(site.text(a))
    b.run("mkdir", "-p", "-m", "700", STATE)
    stuck = b.popen("flock", f"{STATE}/{vm.uuid}.lock", "sleep", "600", start_new_session=True)
    lab.wait_for(lambda: b.path(f"{STATE}/{vm.uuid}.lock").exists(), 10, "the lock to be taken")
    took, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            begin = time.monotonic()
            b.virsh("list")
            took.append(time.monotonic() - begin)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        migration = vm.migrate(b)
    finally:
        stop.set()
        asking.join()
        b.run("pkill", "-KILL", "-x", "sleep", check=False)
        stuck.kill()
        stuck.communicate()
    assert vm.state() == "running"
    # migrate until its deadline of 10 s, prepare and started until theirs of 4 s, and the migration itself.
    assert migration.seconds < 30
    assert max(took) < 6, "libvirtd answers, at the latest when a hook's time is over"
    mark = vm.mark()
    site.recontext(b, "refresh", vm.name)
    vm.wait_for_text(site.text(b), since=mark)
    wait_until_delivered(site, b, vm)


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
