"""The XML of a VM with some devices, as large as those of virt-manager and OpenStack are: 17 KB."""

from pathlib import Path

SITUATIONS = Path(__file__).resolve().parents[1] / "situations" / "domain"
SIZE = 17_000
NAME = "vm"

PORT = """    <controller type='pci' index='{n}' model='pcie-root-port'>
      <model name='pcie-root-port'/>
      <target chassis='{n}' port='0x{n:x}'/>
      <alias name='pci.{n}'/>
      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' function='0x0' multifunction='on'/>
    </controller>
"""


def domain(template: str, *, context: bool) -> str:
    """A domain of tests/situations, with more devices; with our metadata or without.

    template: "arriving", "running" or "gone", as libvirtd gives it at different calls.
    """
    xml = (SITUATIONS / f"{template}.xml").read_text("utf-8").replace("<!-- name -->", NAME)
    xml = xml.replace("<!-- metadata -->", (SITUATIONS / "metadata.xml").read_text("utf-8").strip() if context else "")
    xml = xml.replace("<!-- drives -->", (SITUATIONS / "drives.xml").read_text("utf-8").strip())
    head, tail = xml.split("    <controller type='sata'", 1)
    number = 2
    while len(head) + len(tail) < SIZE:
        head += PORT.format(n=number)
        number += 1
    return f"{head}    <controller type='sata'{tail}"
