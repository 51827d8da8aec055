#!/usr/bin/python3
"""A recontextualiser in the way of the paper's, for one arrival: a Python program on the destination.

    recontextualizer.py UUID TARGET BUS CONFIG IMAGE

It listens to libvirt's lifecycle events. When the VM has arrived it resolves (finds the VM's drive, and this host's
facts), detaches the medium, builds a new image with genisoimage and attaches it. Prints "ready" when it listens, and at
the end one line of JSON: the time of the event, and what each step took, in seconds. No hook has a part in it.

With "-" as CONFIG it does nothing but detach and attach the image that is there: libvirt's two calls alone.
"""

import json
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import libvirt

VARIABLE = re.compile(r"{{ facts\.([a-z.]+) }}")


def listen(uuid: str, arrivals: "queue.Queue[float]") -> libvirt.virConnect:
    """A connection whose events are taken by a thread of their own."""
    libvirt.virEventRegisterDefaultImpl()
    connection = libvirt.open("qemu:///system")

    def happened(_: object, domain: libvirt.virDomain, event: int, detail: int, __: object) -> None:
        arrived = event == libvirt.VIR_DOMAIN_EVENT_RESUMED and detail == libvirt.VIR_DOMAIN_EVENT_RESUMED_MIGRATED
        if arrived and domain.UUIDString() == uuid:
            arrivals.put(time.time())

    connection.domainEventRegisterAny(None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, happened, None)

    def take_events() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()

    threading.Thread(target=take_events, daemon=True).start()
    return connection


def resolve(domain: libvirt.virDomain, target: str, config: Path, tree: Path) -> None:
    """Finds the drive in the VM's XML, and writes this host's files with its facts into a directory."""
    drives = ElementTree.fromstring(domain.XMLDesc()).findall("./devices/disk[@device='cdrom']/target")
    if target not in [drive.get("dev") for drive in drives]:
        sys.exit(f"the VM has no CD-ROM drive {target}")
    facts = {}
    for file in sorted((config / "facts.d").glob("*.toml")):
        facts.update(tomllib.loads(file.read_text("utf-8")))

    def value(match: "re.Match[str]") -> str:
        found = facts
        for name in match[1].split("."):
            found = found[name]
        return str(found)

    for file in (config / "context").rglob("*"):
        if file.is_file():
            made = tree / str(file.relative_to(config / "context")).removesuffix(".j2")
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(VARIABLE.sub(value, file.read_text("utf-8")), encoding="utf-8")


def build(tree: Path, image: str) -> None:
    """Makes the image of a directory, in place of the old one."""
    new = Path(f"{image}.new")
    subprocess.run(["genisoimage", "-quiet", "-R", "-J", "-V", "RECONTEXT", "-o", new, tree], check=True)
    new.replace(image)


def drive(target: str, bus: str, image: str | None) -> str:
    source = f"<source file='{image}' startupPolicy='optional'/>" if image else ""
    return (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>{source}"
            f"<target dev='{target}' bus='{bus}'/><readonly/></disk>")


def main() -> None:
    uuid, target, bus, config, image = sys.argv[1:]
    arrivals: "queue.Queue[float]" = queue.Queue()
    connection = listen(uuid, arrivals)
    print("ready", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary) / "tree"
        event = arrivals.get(timeout=120)
        ends = [time.time()]
        domain = connection.lookupByUUIDString(uuid)
        if config != "-":
            resolve(domain, target, Path(config), tree)
        ends.append(time.time())
        domain.updateDeviceFlags(drive(target, bus, None), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        ends.append(time.time())
        if config != "-":
            build(tree, image)
        ends.append(time.time())
        domain.updateDeviceFlags(drive(target, bus, image), libvirt.VIR_DOMAIN_AFFECT_LIVE)
        ends.append(time.time())
    steps = {name: after - before
             for name, before, after in zip(("resolve", "detach", "build", "attach"), ends, ends[1:])}
    print(json.dumps({"event": event, **steps}), flush=True)


main()
