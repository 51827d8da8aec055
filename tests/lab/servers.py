"""What a host offers to guests at its own address: a package archive, time, names, and a collector of measurements.

Guests reach it from wherever they are. What was asked of each server is in its log.
"""

import hashlib
import os
import signal
import subprocess
from pathlib import Path

from .boot_files import tool
from .host import Host
from .lab import Lab

UDP_SERVERS = Path(__file__).with_name("udp_servers.py")
# A name that each host's DNS server answers with the host's own address.
HERE_NAME = "here.example"
# The one package of the archive.
PACKAGE = "site-tool"


class Servers:
    """The servers of one host. A context manager; inside it all of them answer."""

    def __init__(self, lab: Lab, host: Host) -> None:
        self._lab = lab
        self._host = host
        self._archive = lab.shared / "archive"
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Servers":
        if not self._archive.exists():
            make_archive(self._archive)
        address = self._host.address
        self._start("http", "/usr/bin/python3", "-u", "-m", "http.server", "80", "--bind", address,
                    "--directory", str(self._archive))
        self._start("dns", "dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=/dev/null", "--pid-file=",
                    "--no-resolv", "--no-hosts", f"--listen-address={address}", "--bind-interfaces", "--log-queries",
                    "--log-facility=-", f"--address=/{HERE_NAME}/{address}")
        self._start("udp", "/usr/bin/python3", "-I", str(UDP_SERVERS), address)
        for what, ready in (("http", "Serving HTTP"), ("dns", "started"), ("udp", "ready")):
            self._lab.wait_for(lambda what=what, ready=ready: ready in self.asked(what), 20,
                               f"the server for {what} on {self._host.name}: {self.asked(what)}")
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def asked(self, what: str) -> str:
        """The log of the server for "http", "dns" or "udp" (time and measurements)."""
        return self._log(what).read_text(encoding="utf-8", errors="replace")

    def _start(self, what: str, *argv: str) -> None:
        with open(self._log(what), "wb") as log:
            self._processes.append(self._host.popen(*argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                    start_new_session=True))

    def _log(self, what: str) -> Path:
        return self._host.directory / f"server-{what}.log"


def make_archive(directory: Path) -> None:
    """An archive for apt, with one package, that says what it holds as real ones do. It is not signed."""
    package = directory / "package"
    (package / "DEBIAN").mkdir(parents=True)
    control = (f"Package: {PACKAGE}\nVersion: 1\nArchitecture: all\nMaintainer: Lab <lab@example.org>\n"
               "Description: nothing\n")
    (package / "DEBIAN/control").write_text(control, encoding="ascii")
    deb = directory / f"{PACKAGE}.deb"
    tool("dpkg-deb", "--build", "--root-owner-group", package, deb)
    index = (f"{control.strip()}\nFilename: ./{deb.name}\nSize: {deb.stat().st_size}\n"
             f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n").encode()
    (directory / "Packages").write_bytes(index)
    (directory / "Release").write_text(
        f"Suite: lab\nDate: Thu, 01 Jan 2026 00:00:00 UTC\nSHA256:\n"
        f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n", encoding="ascii")
