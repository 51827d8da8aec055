"""Hosts of two versions: what one writes, the other reads, and what the other one adds is no reason to do nothing."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lab import Cdrom
from live.site import Programs

HERE = Path(__file__).resolve().parents[2]

# Each released version and the commit that it was.
COMMITS = {"0.1.0": "7542c2f"}


@pytest.fixture(scope="module", params=COMMITS)
def released(request) -> Programs:
    """The programs of a released version, built from its commit."""
    commit = COMMITS[request.param]
    git = ["git", "-c", "safe.directory=*", "-C", str(HERE)]
    if subprocess.run([*git, "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False).returncode:
        pytest.skip(f"this clone has no commit {commit}, which was {request.param}: git fetch --unshallow brings it")
    place = HERE / "target" / "released" / request.param
    source, target = place / "source", place / "target"
    shutil.rmtree(source, ignore_errors=True)
    source.mkdir(parents=True)
    archive = subprocess.run([*git, "archive", commit], capture_output=True, check=True).stdout
    subprocess.run(["tar", "-x", "-C", source], input=archive, check=True)
    # The crates are the same as those of this version, as a rule.
    if not target.exists() and (HERE / "target" / "debug").exists():
        subprocess.run(["cp", "-a", "--parents", "debug/deps", "debug/build", "debug/.fingerprint", place],
                       cwd=HERE / "target", check=True)
        target.mkdir()
        (place / "debug").rename(target / "debug")
    built = subprocess.run(["cargo", "build", "--quiet", "--locked"], cwd=source, capture_output=True, text=True, check=False,
                           env=os.environ | {"CARGO_TARGET_DIR": str(target)})
    assert built.returncode == 0, built.stderr
    return Programs(target / "debug" / "virt-recontext-hook", target / "debug" / "virt-recontext")


def test_hosts_of_two_versions_pass_a_vm_to_each_other(site, lab, guest, released):
    old, new = lab.hosts
    old.install(*released)
    for first, second in ((old, new), (new, old)):
        vm = guest(cdrom=Cdrom(), name=f"enabled-on-{first.name}")
        vm.define(first)
        site.recontext(first, "enable", vm.name)
        vm.start(first)
        vm.wait_for_text(site.text(first))
        for host in (second, first):
            mark = vm.mark()
            vm.migrate(host)
            vm.wait_for_text(site.text(host), since=mark)
            assert site.wait_for_state(host, vm, "delivered")["reason"] == "migrate"
        vm.remove()


def test_another_version_goes_on_where_one_has_stopped(site, lab, programs, released):
    host, _ = lab.hosts
    host.install(*released)
    vm = site.guest()
    vm.create(host)
    vm.wait_for_text(site.text(host))
    generation = site.status(host, vm)["generation"]
    for version, endpoint in ((programs, "https://newer.example"), (released, "https://older.example")):
        host.install(*version)
        assert site.status(host, vm)["generation"] == generation
        site.set_endpoint(host, endpoint)
        site.recontext(host, "refresh", vm.name)
        vm.wait_for_text(f"monitoring endpoint: {endpoint}")
        state = site.status(host, vm)
        assert (state["state"], state["generation"] > generation) == ("delivered", True)
        generation = state["generation"]
    vm.remove()
    assert not any(vm.uuid in path.name for path in site.files_of_ours(host))
