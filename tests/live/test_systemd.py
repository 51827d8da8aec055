"""The package on a machine with systemd, where nobody but systemd starts anything: what its units promise."""

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import context_metadata, wait_for
from lab.host import QEMU_CONF
from live.site import CONFIG, IMAGES

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
REFRESH = "virt-recontext-refresh.service"
DELIVERED = "6075f781dbcd4bf797eb7f9f6c21bf24"
UNITS = ["virt-recontext-refresh.path", "virt-recontext-refresh.timer"]

# A guest without a system, which holds no tray.
DOMAIN = f"""
<domain type='qemu'>
  <name>vm</name><uuid>{UUID}</uuid>
  <metadata>{context_metadata("sata")}</metadata>
  <memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='cdrom'>
      <source file='{IMAGES}/{UUID}.iso' startupPolicy='optional'/><target dev='sda' bus='sata'/><readonly/>
    </disk>
  </devices>
</domain>
"""

# What is started besides the basic system.
TARGET = """
[Unit]
Requires=basic.target dbus.socket
Wants=libvirtd.service
After=basic.target
"""


class Machine:
    """A container with a systemd of its own, on top of this machine's files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        nspawn = ["systemd-nspawn", "--quiet", f"--directory={root}", "--register=no", "--keep-unit", "--private-network",
                  "--console=pipe"]
        tried = subprocess.run([*nspawn, "true"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if tried.returncode != 0:
            pytest.skip(f"systemd-nspawn cannot run here: {tried.stderr.strip()}")
        (root / "usr/sbin/policy-rc.d").unlink(missing_ok=True)
        shutil.rmtree(root / "etc/libvirt/hooks", ignore_errors=True)
        for wants in (root / "etc/systemd/system").glob("*.wants"):
            shutil.rmtree(wants)
        (root / "etc/systemd/system/test.target").write_text(TARGET, "ascii")
        (root / "etc/libvirt/qemu.conf").write_text(QEMU_CONF, "ascii")
        self._container = subprocess.Popen(
            [*nspawn, "--boot", "systemd.unit=test.target"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self._init = wait_for(self._find_init, 30, "the container's first process")
        wait_for(lambda: self.run("systemctl", "is-active", "libvirtd", check=False).returncode == 0, 60,
                 "the container's libvirtd", self._evidence)

    def _find_init(self) -> str:
        """The container's systemd; systemd-nspawn's own children, which come and go before it, are not it."""
        children = subprocess.run(["pgrep", "-P", str(self._container.pid)], capture_output=True, text=True, check=False)
        for child in children.stdout.split():
            try:
                status = Path(f"/proc/{child}/status").read_text("ascii")
            except OSError:
                continue
            if status.startswith("Name:\tsystemd\n") and re.search(r"^NSpid:.*\t1$", status, re.M):
                return child
        return ""

    def _evidence(self) -> str:
        """What systemd says of the daemon and of all that waits or has failed."""
        asked = (["status", "--no-pager", "libvirtd"], ["list-jobs"], ["--failed"])
        return "\n".join(self.run("systemctl", *words, check=False).stdout for words in asked)

    def run(self, *argv: str, check: bool = True, **options) -> subprocess.CompletedProcess[str]:
        """Runs a program in it."""
        done = subprocess.run(["nsenter", "-t", self._init, "-a", *argv], capture_output=True, text=True, check=False,
                              env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, timeout=120, **options)
        assert not check or done.returncode == 0, f"{argv}: {done.stdout}{done.stderr}"
        return done

    def set_endpoint(self, url: str) -> None:
        """Changes a fact, as an administrator would."""
        (self.root / f"{CONFIG[1:]}/context/endpoint.j2").write_text("{{ facts.endpoint }}\n", "ascii")
        (self.root / f"{CONFIG[1:]}/facts.d/site.toml").write_text(f'endpoint = "{url}"\n', "ascii")

    def disc(self) -> str:
        """What is on the VM's disc."""
        done = self.run("bsdtar", "-xOf", f"{IMAGES}/{UUID}.iso", "endpoint", check=False)
        return done.stdout.strip()

    def units_as_doctor_tells(self) -> list[tuple[str, str]]:
        """The level and the message of each thing that doctor says of the units."""
        found = json.loads(self.run("virt-recontext", "doctor", "--json", check=False).stdout)
        return [(one["level"], one["message"].split(";")[0]) for one in found if one["check"] == "units"]

    def log_of(self, unit: str) -> str:
        """What a unit's programs have said themselves, and not to the log."""
        return self.run("journalctl", "--output=cat", "--unit", unit, "_TRANSPORT=stdout", check=False).stdout

    def daemon(self) -> str:
        """libvirtd's process, and since when it runs."""
        return self.run("systemctl", "show", "libvirtd", "-p", "MainPID", "-p", "ExecMainStartTimestamp").stdout

    def stop(self) -> None:
        """Ends it with all that runs in it."""
        self.run("systemctl", "--no-block", "exit", check=False)
        try:
            self._container.wait(20)
        except subprocess.TimeoutExpired:
            self._container.kill()
            self._container.wait()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Such a machine."""
    def run(*argv: str | Path) -> None:
        subprocess.run(argv, check=True)

    run("mount", "-t", "tmpfs", "machine", tmp_path)
    for name in ("upper", "work", "root"):
        (tmp_path / name).mkdir()
    root = tmp_path / "root"
    run("mount", "-t", "overlay", "-o", f"lowerdir=/,upperdir={tmp_path}/upper,workdir={tmp_path}/work", "machine", root)
    made = None
    try:
        made = Machine(root)
        yield made
    finally:
        if made:
            made.stop()
        run("umount", "-l", root)
        run("umount", "-l", tmp_path)


WATCH = "virt-recontext-watch@etcd.service"
MANUAL = Path(__file__).resolve().parents[2] / "packaging/man/virt-recontext.8"


def example_of_the_manual() -> list[str]:
    """The commands of each step of its example, for this VM and a store on this machine."""
    section = MANUAL.read_text("ascii").split(".SH A STORE OF FACTS\n")[1].split("\n.SH ")[0]
    steps = re.findall(r"^\.nf\n(.*?)^\.fi$", section, re.M | re.S)
    return [step.replace(r"\e", "\\").replace("192.0.2.10", "127.0.0.1").replace(" web", " vm") for step in steps]


def test_a_watcher_brings_what_changes_in_etcd_as_the_manual_says_also_after_each_of_the_two_was_away(machine, programs):
    def sh(commands: str) -> str:
        return machine.run("sh", "-euc", commands).stdout

    def brings(host: str) -> None:
        wait_for(lambda: machine.disc() == f"http://{host}.example.org", 30, f"the watcher to bring {host}",
                 lambda: machine.run("systemctl", "status", "--no-pager", WATCH, check=False).stdout)

    shutil.copy(next(programs.hook.parent.glob("*.deb")), machine.root / "var/package.deb")
    machine.run("dpkg", "--no-triggers", "-i", "/var/package.deb")
    # Nothing but the watcher brings anything then.
    machine.run("systemctl", "stop", *UNITS)
    # An etcd that is alone needs no second to find that out.
    (machine.root / "etc/default/etcd").write_text("ETCD_HEARTBEAT_INTERVAL=10\nETCD_ELECTION_TIMEOUT=100\n", "ascii")
    # The package's own pause is longer than a test should be.
    drop_in = machine.root / f"etc/systemd/system/{WATCH}.d"
    drop_in.mkdir()
    (drop_in / "test.conf").write_text("[Service]\nRestartSec=1\n", "ascii")
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "etcd")
    machine.run("virsh", "create", "/dev/stdin", input=DOMAIN)

    put, link, watch, enable, read_in_the_guest, put_again, _with_dns = example_of_the_manual()
    sh(put)
    assert sh(link) == '{"monitoring":{"endpoint":"http://mon1.example.org"}}\n'
    sh(watch)
    brings("mon1")
    assert sh(enable).endswith("http://mon1.example.org\n")
    assert read_in_the_guest == "cat /run/recontext/endpoint\n"
    begin = time.monotonic()
    sh(put_again)
    brings("mon2")
    assert time.monotonic() - begin < 5

    # The watcher goes on where it was when etcd is back.
    machine.run("systemctl", "restart", "etcd")
    sh(put_again.replace("mon2", "mon3"))
    brings("mon3")
    # One that dies and begins anew while etcd is away says so, and finds what it has missed as soon as it can.
    machine.run("systemctl", "stop", "etcd")
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", WATCH)
    wait_for(lambda: "asking etcd at" in machine.log_of(WATCH), 30, "the log to tell why")
    machine.run("systemctl", "start", "etcd")
    sh(put_again.replace("mon2", "mon4"))
    brings("mon4")
    assert machine.run("systemctl", "is-active", WATCH).stdout == "active\n"
    machine.run("dpkg", "--no-triggers", "-P", "virt-recontext")
    assert machine.run("systemctl", "is-active", WATCH, check=False).stdout == "inactive\n"
    assert machine.run("systemctl", "list-units", "--all", "--no-legend", "--plain", "virt-recontext*").stdout == ""


def test_units_bring_each_change_of_the_hosts_data_to_running_vms(machine, programs):
    package = next(programs.hook.parent.glob("*.deb"))
    shutil.copy(package, machine.root / "var/package.deb")
    before = machine.daemon()
    machine.run("dpkg", "--no-triggers", "-i", "/var/package.deb")
    assert machine.daemon() == before, "reloaded, not restarted"
    for unit in UNITS:
        assert machine.run("systemctl", "is-enabled", unit).stdout == "enabled\n"
        assert machine.run("systemctl", "is-active", unit).stdout == "active\n"

    machine.set_endpoint("https://one.example")
    machine.run("virsh", "create", "/dev/stdin", input=DOMAIN)
    assert machine.disc() == "https://one.example"
    # More, and faster, than systemd lets a unit be started that has not asked for it.
    for number in range(10):
        machine.set_endpoint(f"https://{number}.example")
        wait_for(lambda: machine.disc() == f"https://{number}.example", 30, f"the path unit to bring change {number}")
    assert machine.run("systemctl", "is-active", UNITS[0]).stdout == "active\n"
    wait_for(lambda: "delivered (refresh" in machine.run("virt-recontext", "status", "vm", check=False).stdout, 30,
             "status to tell of it")
    assert machine.run("systemctl", "is-failed", "virt-recontext-refresh.service", check=False).stdout != "failed\n"

    generation = json.loads(machine.run("virt-recontext", "status", "--json", "vm").stdout)[0]["generation"]
    found = machine.run("journalctl", "--output=json", f"MESSAGE_ID={DELIVERED}", "VIRT_RECONTEXT_NAME=vm",
                        f"VIRT_RECONTEXT_UUID={UUID}", f"VIRT_RECONTEXT_GENERATION={generation}").stdout
    delivered = json.loads(found)
    assert delivered["MESSAGE"].startswith(f"vm: refresh: disc {generation}: ")
    assert delivered["SYSLOG_IDENTIFIER"] == "virt-recontext" and delivered["VIRT_RECONTEXT_REASON"] == "refresh"
    # What dpkg has left to systemd's package was left to it by ours.
    machine.run("dpkg", "--triggers-only", "systemd")
    explained = machine.run("journalctl", "--catalog", "VIRT_RECONTEXT_EVENT=delivered", "VIRT_RECONTEXT_NAME=vm").stdout
    assert "Subject: VM vm was given the settings of this host\n" in explained
    assert "man:virt-recontext(8)\n" in explained

    assert machine.units_as_doctor_tells() == [("good", "at work: " + ", ".join(UNITS))]
    (machine.root / f"{CONFIG[1:]}/facts.d/site.toml").write_text("endpoint\n", "ascii")
    wait_for(lambda: machine.run("systemctl", "is-failed", REFRESH, check=False).stdout == "failed\n", 30, "a refresh to fail")
    assert "facts.d/site.toml" in machine.log_of(REFRESH)
    machine.run("systemctl", "stop", UNITS[1])
    assert {level for level, _ in machine.units_as_doctor_tells()} == {"warning"}
    assert [message for _, message in machine.units_as_doctor_tells()][0].startswith(f"{UNITS[1]} is enabled, and not at work")

    known = ["systemctl", "list-units", "--all", "--no-legend", "--plain", "virt-recontext*"]
    machine.run("dpkg", "--no-triggers", "-r", "virt-recontext")
    machine.run("systemctl", "daemon-reload")
    # Whoever lists these looks where the links lead that enabled the units.
    machine.run("systemctl", "list-dependencies", "--all", "multi-user.target", "timers.target")
    assert not re.search("failed|not-found", machine.run(*known).stdout)
    machine.run("dpkg", "--no-triggers", "-P", "virt-recontext")
    assert machine.run(*known).stdout == ""
    assert machine.run("virsh", "domstate", "vm").stdout.strip() == "running"
    assert machine.daemon() == before
