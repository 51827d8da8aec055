"""Many hosts: the Ansible role on packaging/platforms/fleet.md is taken at its word, by a real ansible-playbook against both hosts."""

import os
import re
import subprocess

import pytest

from lab.managed_guest import PAGES
from live.site import CONFIG, IMAGES

# The VM of the page.
UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
SECRET = "T0p-Secret"
RACK = "#!/bin/sh\nprintf '{\"rack\": \"rack of %s\"}' \"$(hostname)\"\n"


class Fleet:
    """The files of the page, and whoever runs them. Hosts are entered where ssh would log in to them."""

    def __init__(self, lab, directory, uuid):
        self.directory = directory
        page = (PAGES / "fleet.md").read_text(encoding="utf-8").replace(UUID, uuid)
        files = re.findall(r"^`([\w./]+)`:[^\n]*\n\n```\w+\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        assert len(files) == 6
        for name, text in files:
            self.write(name, text)
        enter = "".join(f"{host.name}) pid={host.pid} ;;\n" for host in lab.hosts)
        # Options, the host, and what its shell is to do.
        self.write("ssh", f'#!/bin/bash\ncase "${{@: -2:1}}" in\n{enter}esac\n'
                          'exec nsenter -t "$pid" -m -u -i -n -p -- /bin/sh -c "${@: -1}"\n').chmod(0o755)

    def write(self, name, text):
        file = self.directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        return file

    def replace(self, name, old, new):
        """Edits one of the files, as its administrator does."""
        file = self.directory / name
        text = file.read_text(encoding="utf-8")
        assert text.count(old) == 1
        file.write_text(text.replace(old, new), encoding="utf-8")

    def play(self, *options):
        """Runs the playbook; gives its exit status, how many tasks have changed something on each host, and what it said."""
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.directory), "LC_ALL": "C.UTF-8", "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_SSH_EXECUTABLE": str(self.directory / "ssh"), "ANSIBLE_REMOTE_USER": "root", "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_SSH_TRANSFER_METHOD": "piped", "ANSIBLE_REMOTE_TMP": "/run/ansible",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        }
        done = subprocess.run(
            ["ansible-playbook", "-i", "inventory.yml", "playbook.yml", "--skip-tags", "install", "-vv",
             "-e", f"vault_web_token={SECRET}", *options],
            cwd=self.directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
            check=False)
        said = done.stdout + done.stderr
        assert SECRET not in said
        changed = {host: int(number) for host, number in re.findall(r"^(\S+) +: ok=.* changed=(\d+)", said, re.MULTILINE)}
        return done.returncode, changed, said


@pytest.fixture
def fleet(site, lab, tmp_path):
    """Hosts with the programs and nothing else; and a VM that runs on the first one."""
    vm = site.guest()
    for host in lab.hosts:
        host.remove(CONFIG)
        host.write("/usr/sbin/site-rack", RACK, 0o755)
    vm.create(lab.hosts[0])
    yield Fleet(lab, tmp_path, vm.uuid), vm
    for host in lab.hosts:
        host.remove("/usr/sbin/site-rack")


def on_disc(host, vm, text):
    return text.encode() in host.path(f"{IMAGES}/{vm.uuid}.iso").read_bytes()


def test_the_role_configures_hosts_once_and_keeps_what_is_broken_off_them(fleet, site, lab):
    (fleet, vm), (a, b) = fleet, lab.hosts
    a.write(f"{CONFIG}/facts.d/old.toml", "left = 'behind'\n")
    code, changed, said = fleet.play()
    assert code == 0, said
    assert changed["host-a"] > 5 and changed["host-b"] > 5
    assert not a.path(f"{CONFIG}/facts.d/old.toml").exists()
    code, changed, said = fleet.play()
    assert (code, changed) == (0, {"host-a": 0, "host-b": 0}), said

    # The handler has brought the running VM what the play has put there.
    vm.wait_for_text("monitoring endpoint: https://monitor.site-a.example:9100")
    mark = vm.mark()
    vm.migrate(b)
    assert vm.wait_for("context", since=mark).text == "monitoring endpoint: https://monitor.site-b.example:9100"
    site.wait_for_state(b, vm, "delivered")
    assert on_disc(b, vm, SECRET) and on_disc(b, vm, "rack of host-b")

    # An error of the administrator's stays where he made it, and the host as it was.
    template = "roles/virt_recontext/files/context/endpoint.j2"
    fleet.replace(template, "facts.monitoring.endpoint", "facts.monitoring.endpiont")
    fleet.replace("inventory.yml", "monitor.site-b", "new.site-b")
    code, _, said = fleet.play("--limit", "host-b")
    assert code == 2
    assert f"error: the template {CONFIG}/context/endpoint.j2, line 1: it uses facts.monitoring.endpiont" in said, said
    assert "endpoint }}" in b.read(f"{CONFIG}/context/endpoint.j2")

    # What was done before that has got to the guest all the same.
    vm.wait_for_text("monitoring endpoint: https://new.site-b.example:9100")

    # A host that gives VMs no context fails the play.
    fleet.replace(template, "endpiont", "endpoint")
    b.path("/etc/libvirt/hooks/qemu").chmod(0o644)
    code, changed, said = fleet.play("--limit", "host-b")
    assert (code, changed) == (2, {"host-b": 0}) and "bad: hook: " in said, said
