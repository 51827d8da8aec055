"""Rules for every place, on each XML file below a directory: nothing but the spots differs, as another reader sees it.

    rewrite.py HOOK DIRECTORY

Three times for each file: all simple places changed, the two that are made of several changed, all removed that can
be; and what came of it restored, which changes nothing. What is meant is worked out here from the file's bytes, with
Python's XML parser and none of the hook's code. Prints how many files there were of each kind, and each that came out
otherwise; the exit code tells whether any did.
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

UUID = "11111111-2222-4333-8444-555555555555"
# A new value for each simple place; a star is the old one.
CHANGES = {
    "interface.bridge": "nb0", "interface.network": "nn", "interface.portgroup": "np", "interface.dev": "nd0",
    "interface.socket": "/n*", "interface.portid": UUID, "interface.filter": "nf", "interface.vlan": "77",
    "disk.file": "/n*", "disk.dev": "/n*", "disk.pool": "nq", "disk.volume": "nv*", "disk.name": "ni*",
    "disk.host": "nh", "disk.secret": UUID, "filesystem.dir": "/n*", "graphics.listen": "203.0.113.9",
    "graphics.network": "ng", "graphics.port": "5999", "graphics.socket": "/n*", "serial.path": "/n*",
    "serial.host": "ns", "serial.port": "1999",
    "serial.log": "/n*", "channel.path": "/n*", "firmware.loader": "/n*", "firmware.nvram": "/n*",
    "firmware.template": "/n*", "boot.kernel": "/n*", "boot.initrd": "/n*", "cpu.set": "77", "cpu.pin": "77",
    "cpu.emulatorpin": "77", "cpu.iothreadpin": "77", "memory.nodeset": "77", "memory.cellnodeset": "77",
    "partition": "/n*",
}
WHOLES = {"interface.attachment": "ovs:nb0 vlan:77", "disk.hosts": "nh:1,[2001:db8::1]"}
REMOVABLE = ["interface.portgroup", "interface.filter", "interface.vlan", "serial.log", "firmware.template", "cpu.set",
             "cpu.pin", "cpu.emulatorpin", "cpu.iothreadpin", "memory.nodeset", "memory.cellnodeset", "partition"]
# How a line in the log begins that is no warning: facility daemon, level info.
INFO = "<30>"


@dataclass
class Element:
    """Where it lies: `<a …>` is from start to inside, all of it from start to end."""

    name: str
    attributes: dict[str, str]
    start: int
    inside: int
    outside: int = 0
    end: int = 0
    text: str = ""
    children: list["Element"] = field(default_factory=list)

    def all(self, *names: str) -> Iterator["Element"]:
        yield from (child for child in self.children if child.name in names)

    def first(self, name: str) -> "Element | None":
        return next(self.all(name), None)

    def get(self, child: str, attribute: str) -> str | None:
        found = self.first(child)
        return found.attributes.get(attribute) if found else None


class Spot(NamedTuple):
    """A value: where its bytes are, and what is cut where it is taken out."""

    place: str
    value: str
    start: int
    end: int
    cut: tuple[int, int]


def read(text: bytes) -> Element | None:
    """The document's root; None if it is no XML."""
    parser = expat.ParserCreate()
    around: list[Element] = [Element("", {}, 0, 0)]

    def begin(name: str, attributes: dict[str, str]) -> None:
        start = parser.CurrentByteIndex
        element = Element(name, attributes, start, tag_end(text, start))
        around[-1].children.append(element)
        around.append(element)

    def end(_: str) -> None:
        element, at = around.pop(), parser.CurrentByteIndex
        closes = text[at:at + 2] == b"</"
        element.outside = at if closes else element.inside
        element.end = text.index(b">", at) + 1 if closes else element.inside

    def characters(data: str) -> None:
        around[-1].text += data

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = begin, end, characters
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return None
    return around[0].children[0]


def tag_end(text: bytes, start: int) -> int:
    match = re.compile(rb"<[^\s/>]+(?:\s+[^\s=]+\s*=\s*(?:'[^']*'|\"[^\"]*\"))*\s*/?>").match(text, start)
    assert match, text[start:start + 80]
    return match.end()


class Reader:
    """The spots of a domain."""

    def __init__(self, text: bytes) -> None:
        self._text = text
        self.spots: list[Spot] = []

    def domain(self, root: Element) -> list[Spot]:
        for os_ in list(root.all("os"))[:1]:
            self._content("firmware.loader", os_.first("loader"))
            for nvram in list(os_.all("nvram"))[:1]:
                self._content("firmware.nvram", nvram)
                if nvram.attributes.get("type") == "file":
                    self._value("firmware.nvram", nvram.first("source"), "file")
                self._value("firmware.template", nvram, "template")
            self._content("boot.kernel", os_.first("kernel"))
            self._content("boot.initrd", os_.first("initrd"))
        self._value("cpu.set", root.first("vcpu"), "cpuset")
        for name in ("vcpupin", "emulatorpin", "iothreadpin"):
            place = f"cpu.{name.removeprefix('vcpu')}"
            self._values(place, "cpuset", *children(root.first("cputune"), name), whole=True)
        self._values("memory.nodeset", "nodeset", *children(root.first("numatune"), "memory"), whole=True)
        self._values("memory.cellnodeset", "nodeset", *children(root.first("numatune"), "memnode"), whole=True)
        for resource in list(root.all("resource"))[:1]:
            self._content("partition", resource.first("partition"), resource)
        for device in (root.first("devices") or root).children if root.first("devices") else []:
            getattr(self, f"_{device.name}", lambda _: None)(device)
        return self.spots

    def _interface(self, interface: Element) -> None:
        kind, source = interface.attributes.get("type"), interface.first("source")
        simple = {"bridge": ("interface.bridge", "bridge"), "network": ("interface.network", "network"),
                  "direct": ("interface.dev", "dev"), "vhostuser": ("interface.socket", "path")}
        if kind in simple:
            self._value(simple[kind][0], source, simple[kind][1])
        if kind == "network":
            self._value("interface.portgroup", source, "portgroup")
        for port in list(interface.all("virtualport"))[:1]:
            self._value("interface.portid", port.first("parameters"), "interfaceid")
        self._value("interface.filter", interface.first("filterref"), "filter", interface.first("filterref"))
        vlan = interface.first("vlan")
        if vlan and only_tag(vlan):
            self._value("interface.vlan", only_tag(vlan), "id", vlan)

    def _disk(self, disk: Element) -> None:
        source = disk.first("source")
        if source is None:
            return
        kinds = {"file": [("disk.file", "file")], "block": [("disk.dev", "dev")],
                 "volume": [("disk.pool", "pool"), ("disk.volume", "volume")], "network": [("disk.name", "name")]}
        for place, name in kinds.get(disk.attributes.get("type", ""), []):
            self._value(place, source, name)
        if disk.attributes.get("type") == "network":
            self._values("disk.host", "name", *source.all("host"))
        secrets = [secret for holder in (source, disk) for parent in holder.all("auth", "encryption")
                   for secret in parent.all("secret")]
        self._values("disk.secret", "uuid", *secrets)

    def _filesystem(self, filesystem: Element) -> None:
        if filesystem.attributes.get("type", "mount") == "mount":
            self._value("filesystem.dir", filesystem.first("source"), "dir")

    def _graphics(self, graphics: Element) -> None:
        if graphics.attributes.get("autoport") == "no":
            self._value("graphics.port", graphics, "port")
        listens = list(graphics.all("listen"))
        addresses = [listen for listen in listens if listen.attributes.get("type") == "address"]
        self._values("graphics.listen", "address", *addresses)
        if not listens or any("address" in address.attributes for address in addresses):
            self._value("graphics.listen", graphics, "listen")
        self._values("graphics.network", "network", *(x for x in listens if x.attributes.get("type") == "network"))
        sockets = [listen for listen in listens if listen.attributes.get("type") == "socket"]
        self._values("graphics.socket", "socket", *sockets)
        if any(socket.attributes.get("socket") == graphics.attributes.get("socket", "") for socket in sockets):
            self._value("graphics.socket", graphics, "socket")

    def _serial(self, serial: Element) -> None:
        kind = serial.attributes.get("type")
        if kind in ("unix", "file", "dev", "pipe"):
            self._values("serial.path", "path", *serial.all("source"))
        if kind in ("tcp", "udp"):
            self._values("serial.host", "host", *serial.all("source"))
            self._values("serial.port", "service", *serial.all("source"))
        self._value("serial.log", serial.first("log"), "file", serial.first("log"))

    _console = _serial

    def _channel(self, channel: Element) -> None:
        if channel.attributes.get("type") == "unix":
            self._value("channel.path", channel.first("source"), "path")

    def _values(self, place: str, attribute: str, *elements: Element, whole: bool = False) -> None:
        for element in elements:
            self._value(place, element, attribute, element if whole else None)

    def _value(self, place: str, element: Element | None, attribute: str, goes: Element | None = None) -> None:
        """An attribute; what goes with it is that element, or itself with the white space before it."""
        if element is None or attribute not in element.attributes:
            return
        pattern = re.compile(rb"\s+%b\s*=\s*(['\"])(.*?)\1" % attribute.encode(), re.DOTALL)
        match = pattern.search(self._text, element.start, element.inside)
        assert match, (attribute, self._text[element.start:element.inside])
        cut = (goes.start, goes.end) if goes else match.span()
        self.spots.append(Spot(place, element.attributes[attribute], *match.span(2), cut))

    def _content(self, place: str, element: Element | None, goes: Element | None = None) -> None:
        """What an element has between its tags."""
        if element is None or element.children or not element.text.strip():
            return
        inner = self._text[element.inside:element.outside]
        start = element.inside + len(inner) - len(inner.lstrip())
        end = element.outside - (len(inner) - len(inner.rstrip()))
        cut = (goes.start, goes.end) if goes else (0, 0)
        self.spots.append(Spot(place, element.text.strip(), start, end, cut))


def children(element: Element | None, name: str) -> list[Element]:
    return list(element.all(name)) if element else []


def only_tag(vlan: Element) -> Element | None:
    tags = list(vlan.all("tag"))
    single = len(tags) == 1 and "trunk" not in vlan.attributes and "nativeMode" not in tags[0].attributes
    return tags[0] if single else None


def escaped(value: str) -> bytes:
    for character, name in (("&", "amp"), ("<", "lt"), (">", "gt"), ("'", "apos"), ('"', "quot")):
        value = value.replace(character, f"&{name};")
    return value.encode()


def replaced(text: bytes, edits: list[tuple[int, int, bytes]]) -> bytes:
    """With other bytes at some places; one that lies in another is done with it."""
    for start, end, new in sorted(set(edits), reverse=True):
        text = text[:start] + new + text[end:]
    return text


def changed(text: bytes, root: Element) -> bytes:
    """With all simple places changed."""
    spots = Reader(text).domain(root)
    new = [CHANGES[spot.place].replace("*", spot.value) for spot in spots]
    return replaced(text, [(spot.start, spot.end, escaped(value)) for spot, value in zip(spots, new, strict=True)
                           if value != spot.value])


def removed(text: bytes, root: Element) -> bytes:
    """With all taken out that can be."""
    spots = Reader(text).domain(root)
    return replaced(text, [(*spot.cut, b"") for spot in spots if spot.place in REMOVABLE])


def attachments(root: Element) -> list[Element]:
    """The interfaces that are attached in a way that has a name of one line."""
    names = {"bridge": "bridge", "network": "network", "direct": "dev"}
    ports = {"bridge": (None, "openvswitch"), "network": (None, "openvswitch"), "direct": (None,)}
    found = []
    for interface in children(root.first("devices"), "interface"):
        kind = interface.attributes.get("type", "")
        port, vlan = interface.first("virtualport"), interface.first("vlan")
        fits = kind in names and interface.get("source", names[kind]) is not None
        fits = fits and (port.attributes.get("type", "") if port else None) in ports[kind]
        if fits and (vlan is None or (only_tag(vlan) and "id" in only_tag(vlan).attributes)):
            found.append(interface)
    return found


def servers(root: Element) -> list[Element]:
    """The sources of disks whose servers are reached by TCP."""
    disks = [disk for disk in children(root.first("devices"), "disk") if disk.attributes.get("type") == "network"]
    sources = [disk.first("source") for disk in disks]
    return [source for source in sources if source and source.first("host")
            and all(host.attributes.get("transport", "tcp") == "tcp" and "name" in host.attributes
                    for host in source.all("host"))]


def wholes_differ(before: bytes, root: Element, after: bytes) -> str:
    """Why `after` is not what it should be with attachments and servers changed; nothing if it is."""
    again = read(after)
    if again is None:
        return "no XML"
    numbers = [number for number, interface in enumerate(children(root.first("devices"), "interface"))
               if interface in attachments(root)]
    of_disks = [number for number, disk in enumerate(children(root.first("devices"), "disk"))
                if disk.first("source") in servers(root)]

    def without(text: bytes, tree: Element) -> bytes:
        cuts = []
        for number in numbers:
            interface = children(tree.first("devices"), "interface")[number]
            kind = re.compile(rb"\stype\s*=\s*['\"]([^'\"]*)").search(text, interface.start, interface.inside)
            assert kind
            cuts.append((*kind.span(1), b""))
            for name in ("source", "virtualport", "vlan"):
                part = interface.first(name)
                cuts += [(part.start, part.end, b"")] if part else []
        for number in of_disks:
            source = children(tree.first("devices"), "disk")[number].first("source")
            cuts += [(host.start, host.end, b"") for host in children(source, "host")]
        return replaced(text, cuts)

    if without(before, root) != without(after, again):
        return "more differs than the spots"
    for number in numbers:
        made = children(again.first("devices"), "interface")[number]
        is_right = (made.attributes["type"] == "bridge" and made.first("source").attributes == {"bridge": "nb0"}
                    and made.get("virtualport", "type") == "openvswitch"
                    and [tag.attributes for tag in children(made.first("vlan"), "tag")] == [{"id": "77"}])
        if not is_right:
            return f"interface {number} is attached otherwise"
    for number in of_disks:
        source = children(again.first("devices"), "disk")[number].first("source")
        made = [host.attributes for host in children(source, "host")]
        if made != [{"name": "nh", "port": "1"}, {"name": "2001:db8::1"}]:
            return f"disk {number} has other servers"
    return ""


class Host:
    """A host's root with rules for all VMs, and the hook on it."""

    def __init__(self, hook: Path, root: Path, rules: str) -> None:
        self._hook, self._root = hook, root
        for directory in ("dev", "run/libvirt", "var/lib/libvirt", "etc/virt-recontext/rewrite.d"):
            (root / directory).mkdir(parents=True)
        (root / "etc/virt-recontext/rewrite.d/corpus.toml").write_text(f'vms = "all"\n{rules}', encoding="ascii")
        self._log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._log.bind(str(root / "dev/log"))
        self._log.setblocking(False)

    def answer(self, text: bytes, operation: str = "migrate") -> tuple[bytes, str]:
        """What the hook prints for a VM that comes, and its errors in the log."""
        done = subprocess.run([self._hook, "vm", operation, "begin", "-"], input=text, capture_output=True, check=True,
                              env={"VIRT_RECONTEXT_ROOT": str(self._root), "PATH": os.environ["PATH"]})
        said = []
        while True:
            try:
                said.append(self._log.recv(1 << 20).decode())
            except BlockingIOError:
                return done.stdout, "\n".join(line for line in said if not line.startswith(INFO))


class Findings:
    """What came of all files."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.spots: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        self.wrong: list[str] = []

    def look_at(self, file: Path, hosts: dict[str, Host]) -> None:
        """Has each host rewrite the file, and judges that."""
        text = file.read_bytes()
        root = read(text)
        kind = "no domain" if root is None or root.name != "domain" else "Xen's" if is_xen(root) else "domain"
        self.counts[f"files: {kind}"] += 1
        if root is not None and kind == "domain":
            self.spots.update(spot.place for spot in Reader(text).domain(root))
            self.spots.update({"interface.attachment": len(attachments(root)), "disk.hosts": len(servers(root))})
        for name, host in hosts.items():
            answer, said = host.answer(text)
            outcome = "rewritten" if answer else "left alone"
            if kind != "domain":
                why = "this is no VM for rules" if answer else ""
            elif said and not answer:
                outcome, why = "not applied", ""
                self.reasons[re.sub(r'"[^"]*"', "…", said.split("]: ", 1)[-1])] += 1
            else:
                why = said or self._judge(name, text, root, answer, host)
            self.counts[f"{name}: {outcome}"] += 1
            if why:
                self.wrong.append(f"{file}: {name}: {outcome}: {why}")

    @staticmethod
    def _judge(name: str, text: bytes, root: Element, answer: bytes, host: Host) -> str:
        """What is wrong with an answer; nothing if it is as it should be."""
        if name == "wholes changed":
            if bool(attachments(root) or servers(root)) != bool(answer):
                return "not as its spots are"
            why = wholes_differ(text, root, answer) if answer else ""
        else:
            meant = (changed if name == "changed" else removed)(text, root)
            why = "" if (answer or text) == meant else "it is not what is meant"
        # What was rewritten here, and saved, is not changed once more when it is restored.
        return why or ("it would be changed again" if answer and host.answer(answer, "restore")[0] else "")


def is_xen(root: Element) -> bool:
    """Xen's driver gives its hook no XML of a VM that arrives, so it has no rules."""
    return root.attributes.get("type") == "xen"


def rules(changes: dict[str, str]) -> str:
    return "".join(f'[[rewrite]]\nchange = "{place}"\nto = "{new}"\nmust_exist = false\n'
                   for place, new in changes.items())


def main() -> int:
    hook, directory = Path(sys.argv[1]), Path(sys.argv[2])
    found = Findings()
    with tempfile.TemporaryDirectory() as temporary:
        removal = "".join(f'[[rewrite]]\nchange = "{place}"\nremove = true\n' for place in REMOVABLE)
        of = {"changed": rules(CHANGES), "wholes changed": rules(WHOLES), "removed": removal}
        hosts = {name: Host(hook, Path(temporary) / name, text) for name, text in of.items()}
        for file in sorted(directory.rglob("*.xml")):
            found.look_at(file, hosts)
    print("\n".join(f"{number:6} {what}" for what, number in sorted(found.counts.items())))
    print("\n".join(f"{number:6} not applied: {why}" for why, number in found.reasons.most_common()))
    print("spots: " + ", ".join(f"{place} {number}" for place, number in sorted(found.spots.items())))
    missing = {*CHANGES, *WHOLES} - {place for place, number in found.spots.items() if number}
    for line in [*found.wrong, *(f"no file has {place}" for place in sorted(missing))]:
        print(line)
    return int(bool(found.wrong or missing or not found.counts["changed: rewritten"]))


if __name__ == "__main__":
    sys.exit(main())
