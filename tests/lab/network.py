"""A network of one host's own for its guests: a bridge, and a DHCP server there. No other host is in it.

    with Network(lab, host, "br-prod", "10.1.0") as network:
        …                       # <interface type='bridge'><source bridge='br-prod'/></interface>
        network.address(mac)    # what the server has given the guest

Sites that know nothing of each other each have one. What the server was asked and answered is in its log.
"""

import os
import signal
import subprocess

from .host import Host
from .lab import Lab

PREFIX_LENGTH = 24


class Network:
    """See the module. A context manager; inside it the server answers. Afterwards the bridge is gone as well.

    subnet: its first three bytes. The host is .1 there, and guests get .100 and above, for hours.
    """

    def __init__(self, lab: Lab, host: Host, bridge: str, subnet: str) -> None:
        self.host, self.bridge, self.subnet = host, bridge, subnet
        self.gateway = f"{subnet}.1"
        self._lab = lab
        self._log = host.directory / f"dhcp-{bridge}.log"
        self._leases = host.directory / f"dhcp-{bridge}.leases"
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Network":
        try:
            self._make_bridge()
            self._start_server()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
        self.host.run("ip", "link", "delete", self.bridge, check=False)

    def log(self) -> str:
        """What the server was asked, and answered."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def address(self, mac: str) -> str:
        """What the server has given a guest; "" if nothing."""
        leases = [line.split() for line in self._leases.read_text(encoding="utf-8").splitlines()]
        return next((lease[2] for lease in leases if lease[1] == mac), "")

    def _make_bridge(self) -> None:
        for command in (("link", "add", self.bridge, "type", "bridge"), ("link", "set", self.bridge, "up"),
                        ("address", "add", f"{self.gateway}/{PREFIX_LENGTH}", "dev", self.bridge)):
            self.host.run("ip", *command)

    def _start_server(self) -> None:
        self._leases.unlink(missing_ok=True)
        with open(self._log, "wb") as log:
            # Without --no-ping it looks for three seconds whether an address is free.
            self._server = self.host.popen(
                "dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file=", "--port=0",
                f"--interface={self.bridge}", "--except-interface=lo", "--bind-interfaces", "--no-ping",
                f"--dhcp-range={self.subnet}.100,{self.subnet}.199,12h",
                f"--dhcp-leasefile={self._leases}", "--log-dhcp", "--log-facility=-",
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._lab.wait_for(lambda: "sockets bound" in self.log(), 20, f"the DHCP server on {self.bridge}: {self.log()}")
