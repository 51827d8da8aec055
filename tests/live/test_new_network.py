"""A guest that comes to another network has an address there within seconds, without a reboot.

Each host has a bridge of its own name and on it a DHCP server of its own, whose lease is for hours. One Debian guest with
systemd-networkd, with the recipe in packaging/guest/new-networks, goes there and back.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab import DebianGuest, Host, Lab
from live.site import CONFIG, Site

MAC = "52:54:00:00:00:01"
RULES = f"{CONFIG}/rewrite.d/50-site.toml"
# A guest that does nothing would keep its address for hours.
SECONDS = 60


class NetworkedGuest(DebianGuest):
    """Has one interface, on the first host's bridge."""

    def __init__(self, lab: Lab, name: str, **options: object) -> None:
        super().__init__(lab, name, **options)
        self._devices += (f"<interface type='bridge'><mac address='{MAC}'/><source bridge='{bridge(lab.hosts[0])}'/>"
                          "<model type='virtio'/></interface>")

    def addresses(self) -> str:
        """Those of IPv4 that its interface has."""
        return self.run("ip -4 -oneline address show dev eth0 scope global")


def bridge(host: Host) -> str:
    """How a host calls its bridge."""
    return f"br-{host.name[-1]}"


def subnet(host: Host) -> str:
    """How all addresses at a host begin."""
    return f"10.{ord(host.name[-1])}.0."


@contextmanager
def network(host: Host) -> Iterator[None]:
    """A host's bridge and the DHCP server on it, which answers at once and only for what it has given itself."""
    name, prefix = bridge(host), subnet(host)
    host.run("ip", "link", "add", name, "type", "bridge")
    host.run("ip", "address", "add", f"{prefix}1/24", "dev", name)
    host.run("ip", "link", "set", name, "up")
    server = host.popen("dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file=",
                        "--port=0", f"--interface={name}", "--bind-interfaces", "--no-ping", "--leasefile-ro",
                        f"--dhcp-range={prefix}10,{prefix}20,12h", stdin=subprocess.DEVNULL,
                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        yield
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        host.run("ip", "link", "delete", name)


@pytest.fixture(scope="module")
def networked(lab, programs):
    """A site with the guest, which has an address of the first host's network."""
    made = Site(lab, lambda name="networked", **options: NetworkedGuest(lab, name, **options))
    made.install(programs)
    for host in lab.hosts:
        made.configure(host, 'force_after = "never"\n')
    with network(lab.hosts[0]), network(lab.hosts[1]):
        vm = made.guest()
        try:
            vm.create(lab.hosts[0])
            vm.run("printf '[Match]\\nName=eth0\\n[Network]\\nDHCP=ipv4\\n' >/etc/systemd/network/lab.network; "
                   "ip address flush dev eth0; systemctl start systemd-networkd")
            lab.wait_for(lambda: subnet(lab.hosts[0]) in vm.addresses(), 60, "the guest to have its first address")
            vm.wait_for_text(made.text(vm.host))
            yield made, vm
        finally:
            vm.remove()
            made.remove()


def go(networked, target, new_network):
    """Moves the guest to a host that puts it on its own bridge, and waits until it has an address there."""
    site, vm = networked
    target.write(RULES, f'[[rewrite]]\nchange = "interface.bridge"\nnew_network = {new_network}\n'
                        f'map = {{ "{bridge(vm.host)}" = "{bridge(target)}" }}\n')
    boot = "cat /proc/sys/kernel/random/boot_id"
    before, mark, origin = vm.run(boot), vm.mark(), vm.host
    vm.migrate(target)
    site.lab.wait_for(lambda: subnet(target) in vm.addresses(), SECONDS, f"the guest to have an address of {target.name}")
    assert subnet(origin) not in vm.addresses()
    vm.wait_for_text(site.text(target), since=mark)
    assert json.loads(vm.run("cat /run/recontext/recontext.json"))["new_networks"] == [MAC]
    assert vm.run(boot) == before


def recipe_runs(vm):
    """How often the recipe had something configured anew."""
    return vm.run("journalctl --no-pager --output cat --unit 'recontext@*'").count("30-new-networks: eth0 ")


def test_the_recipe_gets_an_address_where_the_disc_names_the_interface_once(networked, lab):
    site, vm = networked
    assert recipe_runs(vm) == 0
    go(networked, lab.hosts[1], '"disc"')
    site.wait_for_state(vm.host, vm, "delivered")
    assert recipe_runs(vm) == 1
    mark = vm.mark()
    site.set_endpoint(vm.host, "https://another.example")
    site.recontext(vm.host, "refresh", vm.name)
    vm.wait_for_text("monitoring endpoint: https://another.example", since=mark)
    assert json.loads(vm.run("cat /run/recontext/recontext.json"))["new_networks"] == [MAC], "until it leaves"
    assert recipe_runs(vm) == 1


def test_with_true_its_link_goes_down_and_up_besides(networked, lab):
    _, vm = networked
    go(networked, lab.hosts[0], "true")
    assert f"the link of {MAC} went down and up" in vm.host.syslog()
