"""What a site has to take the reports of its VMs' probes: an HTTP server that notes who reported."""

import os
import re
import signal
import subprocess

from .. import Host, Lab

PORT = 9100


class Monitor:
    """The one of a host, at an address of its. A context manager; inside it the server answers."""

    def __init__(self, lab: Lab, host: Host, address: str) -> None:
        self.url = f"http://{address}:{PORT}"
        self._lab, self._host, self._address = lab, host, address
        self._log = host.directory / "monitor.log"
        self._nothing = host.directory / "monitor"
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Monitor":
        self._nothing.mkdir(exist_ok=True)
        with open(self._log, "wb") as log:
            self._server = self._host.popen(
                "/usr/bin/python3", "-u", "-m", "http.server", str(PORT), "--bind", self._address,
                "--directory", str(self._nothing),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self._lab.wait_for(lambda: "Serving HTTP" in self._read(), 20, f"the monitor of {self._host.name}")
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()

    def heard(self) -> list[str]:
        """From which address each report came, oldest first."""
        return re.findall(r'^(\S+) .*"GET /\?uptime=', self._read(), re.M)

    def _read(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")
