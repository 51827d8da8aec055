"""The packages as administrators use them: installed on a host with a running VM, upgraded, removed and purged."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from lab import Host
from live.site import CONFIG, IMAGES, STATE, Site

TOP = Path(__file__).resolve().parents[2]
PROGRAM = "/usr/sbin/virt-recontext-hook"
MAIN = "/etc/libvirt/hooks/qemu"
FILTER = "/etc/libvirt/hooks/qemu.d/50-virt-recontext"
LIBXL = "/etc/libvirt/hooks/libxl"
LIBXL_FILTER = f"{LIBXL}.d/50-virt-recontext"
XENS_DRIVER = "/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_libxl.so"
FOREIGN = "#!/bin/sh\nexec cat\n"

# What packages write to, besides what is each host's own anyway.
WRITTEN_TO = ["/usr/share", "/usr/lib", "/usr/libexec", "/var/lib/dpkg", "/var/lib/systemd"]


class Kind(NamedTuple):
    """How a package manager is called."""

    end: str
    install: list[str]
    upgrade: list[str]
    remove: list[str]


DEB = Kind("deb", ["dpkg", "--no-triggers", "-i"], ["dpkg", "--no-triggers", "-i"],
           ["dpkg", "--no-triggers", "-r", "virt-recontext"])
# Debian's rpm knows nothing of what dpkg has installed.
_RPM = ["rpm", "--force-debian", "--dbpath", "/run/rpm"]
RPM = Kind("rpm", [*_RPM, "--nodeps", "-i"], [*_RPM, "--nodeps", "-U"], [*_RPM, "-e", "virt-recontext"])


@pytest.fixture(scope="module")
def packages(programs, tmp_path_factory) -> dict[str, Path]:
    """The packages of two versions, by version and kind."""
    made = {}
    environment = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    for version in ("0.0.1", "0.0.2"):
        for kind in ("deb", "rpm"):
            directory = tmp_path_factory.mktemp(f"{version}-{kind}")
            # A host may read it, whoever its user is.
            directory.chmod(0o755)
            subprocess.run([TOP / f"packaging/{kind}/build", version, directory], check=True, env=environment)
            made[f"{version}.{kind}"] = next(directory.iterdir())
    return made


@pytest.fixture
def hosts(lab) -> Iterator[list[Host]]:
    """Both hosts, with directories of their own for what packages bring, and nothing of ours in the end."""
    for host in lab.hosts:
        host.run("mkdir", "-p", "/run/over")
        host.run("mount", "-t", "tmpfs", "over", "/run/over")
        for number, path in enumerate(WRITTEN_TO):
            upper, work = f"/run/over/{number}/upper", f"/run/over/{number}/work"
            host.run("mkdir", "-p", upper, work)
            host.run("mount", "-t", "overlay", "-o", f"lowerdir={path},upperdir={upper},workdir={work}", "over", path)
    yield lab.hosts
    for guest in list(lab.guests):
        guest.remove()
    for host in lab.hosts:
        for path in (MAIN, f"{MAIN}.d", LIBXL, f"{LIBXL}.d", CONFIG, IMAGES, STATE, "/run/rpm", *map(str, Path("/usr/sbin").glob("virt-rec*"))):
            host.remove(path)
        for path in reversed(WRITTEN_TO):
            host.run("umount", "-l", path)
        host.run("umount", "-l", "/run/over")
        host.reload()


def link(host: Host, path: str) -> str:
    """Where a link leads; "" if there is none."""
    found = host.path(path)
    return os.readlink(found) if found.is_symlink() else ""


def set_data(host: Host, endpoint: str) -> None:
    host.write(f"{CONFIG}/context/endpoint.j2", "monitoring endpoint: {{ facts.monitoring.endpoint }}\n")
    host.write(f"{CONFIG}/facts.d/site.toml", f'[monitoring]\nendpoint = "{endpoint}"\n')


@pytest.mark.parametrize("foreign", [False, True], ids=["alone", "beside-a-foreign-hook"])
@pytest.mark.parametrize("kind", [DEB, RPM], ids=["deb", "rpm"])
def test_a_vm_lives_through_install_upgrade_and_removal(lab, guest, hosts, packages, kind, foreign):
    host, ours = hosts[0], FILTER if foreign else MAIN
    site = Site(lab, guest)
    if foreign:
        host.write(MAIN, FOREIGN, 0o755)
        host.reload()
    vm = site.guest()
    vm.create(host)
    vm.wait_for("no disc")

    with host.awaiting_reload():
        host.run(*kind.install, str(packages[f"0.0.1.{kind.end}"]))
    assert link(host, ours) == PROGRAM
    assert host.path(FILTER).is_symlink() == foreign
    set_data(host, "https://one.example")
    host.run("virt-recontext", "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://one.example")
    checked = host.run("virt-recontext", "doctor", check=False)
    assert "bad: hook" not in checked.stdout and "bad: vm" not in checked.stdout

    host.write(f"{CONFIG}/config.toml", 'expose_host = "none"\n')
    host.run(*kind.upgrade, str(packages[f"0.0.2.{kind.end}"]))
    assert link(host, ours) == PROGRAM
    assert host.read(f"{CONFIG}/config.toml") == 'expose_host = "none"\n', "what the administrator wrote stays"
    other = site.guest(name="other")
    other.create(host)
    other.wait_for_text("monitoring endpoint: https://one.example")

    host.run(*kind.remove)
    assert not link(host, MAIN) and not link(host, FILTER)
    assert not host.path(PROGRAM).exists()
    assert not foreign or host.read(MAIN) == FOREIGN
    assert vm.state() == other.state() == "running"
    third = site.guest(name="third")
    third.create(host)
    assert third.state() == "running"

    with host.awaiting_reload():
        host.run(*kind.install, str(packages[f"0.0.2.{kind.end}"]))
    assert link(host, ours) == PROGRAM, "installed again, it is in place again"
    host.remove(ours)
    host.run(*kind.upgrade, *(["--replacepkgs"] if kind is RPM else []), str(packages[f"0.0.2.{kind.end}"]))
    assert not link(host, ours), "a link that the administrator has removed does not come back"
    host.run(*kind.remove)
    if kind is DEB:
        host.run("dpkg", "--no-triggers", "-P", "virt-recontext")
        assert not any(host.path(path).exists() for path in (CONFIG, IMAGES, STATE))
    assert not foreign or host.read(MAIN) == FOREIGN
    assert vm.state() == other.state() == third.state() == "running"


@pytest.mark.parametrize("foreign", [False, True], ids=["alone", "beside-a-foreign-hook"])
@pytest.mark.parametrize("kind", [DEB, RPM], ids=["deb", "rpm"])
def test_the_hook_of_xen_is_linked_where_its_driver_is_installed(hosts, packages, kind, foreign):
    with_xen, without = hosts
    with_xen.write(XENS_DRIVER, "")
    ours = LIBXL_FILTER if foreign else LIBXL
    for host in hosts:
        if foreign:
            host.write(LIBXL, FOREIGN, 0o755)
        with host.awaiting_reload():
            host.run(*kind.install, str(packages[f"0.0.1.{kind.end}"]))
        assert link(host, MAIN) == PROGRAM
    assert link(with_xen, ours) == PROGRAM
    assert not link(without, LIBXL) and not link(without, LIBXL_FILTER)

    with_xen.remove(ours)
    with_xen.run(*kind.upgrade, str(packages[f"0.0.2.{kind.end}"]))
    assert not link(with_xen, ours), "a link that the administrator has removed does not come back"
    with_xen.run("mkdir", "-p", str(Path(ours).parent))
    with_xen.run("ln", "-s", PROGRAM, ours)
    with_xen.remove(XENS_DRIVER)
    with_xen.run(*kind.remove)
    assert not link(with_xen, ours), "no link is left to a program that is gone"
    assert not foreign or with_xen.read(LIBXL) == FOREIGN


def test_one_command_on_each_host_then_enable_and_migrate(lab, guest, hosts, packages):
    a, b = hosts
    for host in hosts:
        with host.awaiting_reload():
            host.run(*DEB.install, str(packages["0.0.2.deb"]))
        set_data(host, f"https://{host.name}.example")
    vm = guest()
    vm.define(a)
    a.run("virt-recontext", "enable", vm.name)
    vm.start(a)
    vm.wait_for_text("monitoring endpoint: https://host-a.example")
    mark = vm.mark()
    vm.migrate(b)
    vm.wait_for_text("monitoring endpoint: https://host-b.example", since=mark)
    vm.wait_for("event media-change", since=mark)
