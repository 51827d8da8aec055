"""What the hook makes of each place that a rule can change is what libvirt itself reads as meant, by its own parser."""

import re
import uuid
from typing import NamedTuple

from lab import Host, Lab
from live.site import CONFIG, Site

UUID = "6695eb01-f6a4-8304-79aa-97f2502e193f"
OTHER = "11111111-2222-4333-8444-555555555555"
SECRET = f"<auth username='u'><secret type='ceph' uuid='{UUID}'/></auth>"
OVS = f"<virtualport type='openvswitch'><parameters interfaceid='{UUID}'/></virtualport>"


class Part(NamedTuple):
    """A part of a VM in which there is a place; `{}` stands for the value."""

    place: str
    old: str
    new: str
    xml: str
    # With the new value, if that is more than another text in the same spots; and without any, if it can be taken out.
    meant: str = ""
    without: str | None = None


def interface(kind: str, inner: str) -> str:
    return f"<interface type='{kind}'><mac address='52:54:00:00:00:01'/>{inner}<model type='virtio'/></interface>"


def disk(kind: str, inner: str) -> str:
    return (f"<disk type='{kind}' device='disk'><driver name='qemu' type='raw'/>{inner}"
            "<target dev='vda' bus='virtio'/></disk>")


def serial(kind: str, inner: str) -> str:
    """With the copy that libvirt makes of it."""
    return (f"<serial type='{kind}'>{inner}<target type='isa-serial' port='0'/></serial>"
            f"<console type='{kind}'>{inner}<target type='serial' port='0'/></console>")


P_A = "<source protocol='rbd' name='p/a'>"
# Stands between what virsh prints.
SIGN = "====="

BRIDGE = "<source bridge='br0'/>"
TCP = "<source mode='bind' host='{}' service='SERVICE' tls='no'/><protocol type='telnet'/>"
PARTS = [
    Part("interface.attachment", "bridge:br0 vlan:7", "ovs:br-int vlan:9",
         interface("bridge", "<source bridge='br0'/><vlan><tag id='7'/></vlan>"),
         interface("bridge", "<source bridge='br-int'/><vlan><tag id='9'/></vlan><virtualport type='openvswitch'/>")),
    Part("interface.attachment", "ovs:br-int", "network:prod portgroup:a",
         interface("bridge", f"<source bridge='br-int'/>{OVS}"),
         interface("network", "<source network='prod' portgroup='a'/>")),
    Part("interface.attachment", "network:prod portgroup:a", "macvtap:eth0 mode:bridge",
         interface("network", f"<source network='prod' portid='{UUID}' portgroup='a'/><target dev='mine'/>"),
         interface("direct", "<source dev='eth0' mode='bridge'/><target dev='mine'/>")),
    Part("interface.attachment", "macvtap:eth0 mode:vepa", "bridge:br0",
         interface("direct", "<source dev='eth0' mode='vepa'/>"), interface("bridge", BRIDGE)),
    Part("interface.bridge", "br0", "vmbr1", interface("bridge", "<source bridge='{}'/>")),
    Part("interface.network", "prod", "a & 'b'", interface("network", "<source network='{}' portgroup='a'/>")),
    Part("interface.portgroup", "a", "b", interface("network", "<source network='prod' portgroup='{}'/>"),
         without=interface("network", "<source network='prod'/>")),
    Part("interface.dev", "eth0", "eno1", interface("direct", "<source dev='{}' mode='bridge'/>")),
    Part("interface.socket", "/run/a", "/run/b",
         interface("vhostuser", "<source type='unix' path='{}' mode='server'/>")),
    Part("interface.portid", UUID, OTHER, interface("bridge", BRIDGE + OVS.replace(UUID, "{}"))),
    Part("interface.filter", "clean", "site",
         interface("bridge", BRIDGE + "<filterref filter='{}'><parameter name='IP' value='10.0.0.1'/></filterref>"),
         without=interface("bridge", BRIDGE)),
    Part("interface.vlan", "42", "7",
         interface("bridge", BRIDGE + "<vlan><tag id='{}'/></vlan><virtualport type='openvswitch'/>"),
         without=interface("bridge", BRIDGE + "<virtualport type='openvswitch'/>")),
    Part("disk.file", "/a/x", "/b/x & y",
         disk("file", "<source file='{}'/>"
              "<backingStore type='file'><format type='raw'/><source file='/a/x'/></backingStore>")
         .replace("type='raw'/><source file='{}'", "type='qcow2'/><source file='{}'")),
    Part("disk.dev", "/dev/a", "/dev/b", disk("block", "<source dev='{}'/>")),
    Part("disk.pool", "a", "b", disk("volume", "<source pool='{}' volume='v'/>")),
    Part("disk.volume", "v", "w.img", disk("volume", "<source pool='a' volume='{}'/>")),
    Part("disk.name", "pool/a", "other/a",
         disk("network", "<source protocol='rbd' name='{}'><host name='m1'/></source>")),
    Part("disk.hosts", "m1:6789,m2", "[2001:db8::1]:6789",
         disk("network", f"{P_A}<host name='m1' port='6789'/><host name='m2'/>{SECRET}</source>"),
         disk("network", f"{P_A}<host name='2001:db8::1' port='6789'/>{SECRET}</source>")),
    Part("disk.host", "m1", "m2",
         disk("network", "<source protocol='nbd' name='a'><host name='{}' port='1'/></source>")),
    Part("disk.secret", UUID, OTHER,
         disk("network", f"{SECRET.replace(UUID, '{}')}<source protocol='rbd' name='p/a'><host name='m1'/></source>")),
    Part("filesystem.dir", "/a", "/b",
         "<filesystem type='mount' accessmode='passthrough'><source dir='{}'/><target dir='tag'/></filesystem>"),
    Part("graphics.listen", "127.0.0.1", "10.0.0.1",
         "<graphics type='vnc' port='-1' autoport='yes' listen='{}' passwd='secret'>"
         "<listen type='address' address='{}'/></graphics>"),
    Part("graphics.network", "a", "b",
         "<graphics type='vnc' autoport='yes'><listen type='network' network='{}'/></graphics>"),
    Part("graphics.port", "5901", "5902",
         "<graphics type='vnc' port='{}' autoport='no'><listen type='address'/></graphics>"),
    Part("graphics.socket", "/run/a", "/run/b",
         "<graphics type='vnc' socket='{}'><listen type='socket' socket='{}'/></graphics>"),
    Part("serial.path", "/run/a", "/run/b", serial("unix", "<source mode='bind' path='{}'/>")),
    Part("serial.host", "10.0.0.1", "10.0.0.2", serial("tcp", TCP.replace("SERVICE", "2000"))),
    Part("serial.port", "2000", "2001", serial("tcp", TCP.replace("{}", "10.0.0.1").replace("SERVICE", "{}"))),
    Part("serial.log", "/a/l", "/b/l", serial("pty", "<log file='{}' append='on'/>"), without=serial("pty", "")),
    Part("channel.path", "/run/a", "/run/b",
         "<channel type='unix'><source mode='bind' path='{}'/>"
         "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>"),
    Part("firmware.loader", "/a/code.fd", "/b/code.fd",
         "<os>TYPE<loader readonly='yes' type='pflash'>{}</loader><nvram>/a/vars.fd</nvram></os>"),
    Part("firmware.nvram", "/a/vars.fd", "/b/vars.fd",
         "<os>TYPE<loader readonly='yes' type='pflash'>/a/code.fd</loader><nvram template='/a/vars'>{}</nvram></os>"),
    Part("firmware.nvram", "/a/vars.fd", "/b/vars.fd",
         "<os>TYPE<loader readonly='yes' type='pflash'>/a/code.fd</loader>"
         "<nvram type='file'><source file='{}'/></nvram></os>"),
    Part("firmware.template", "/a/vars", "/b/vars",
         "<os>TYPE<loader readonly='yes' type='pflash'>/a/code.fd</loader><nvram template='{}'>/a/vars.fd</nvram></os>",
         without="<os>TYPE<loader readonly='yes' type='pflash'>/a/code.fd</loader><nvram>/a/vars.fd</nvram></os>"),
    Part("boot.kernel", "/a/linux", "/b/linux", "<os>TYPE<kernel>{}</kernel></os>"),
    Part("boot.initrd", "/a/initrd", "/b/initrd", "<os>TYPE<kernel>/a/linux</kernel><initrd>{}</initrd></os>"),
    Part("cpu.set", "0-1", "1", "<vcpu placement='static' cpuset='{}'>2</vcpu>",
         without="<vcpu placement='static'>2</vcpu>"),
    Part("cpu.pin", "1", "0", "<cputune><vcpupin vcpu='0' cpuset='{}'/></cputune>", without="<cputune></cputune>"),
    Part("cpu.emulatorpin", "1", "0", "<cputune><emulatorpin cpuset='{}'/></cputune>", without="<cputune></cputune>"),
    Part("cpu.iothreadpin", "1", "0",
         "<iothreads>1</iothreads><cputune><iothreadpin iothread='1' cpuset='{}'/></cputune>",
         without="<iothreads>1</iothreads><cputune></cputune>"),
    Part("memory.nodeset", "0", "1", "<numatune><memory mode='strict' nodeset='{}'/></numatune>",
         without="<numatune></numatune>"),
    Part("memory.cellnodeset", "1", "0",
         "<numatune><memnode cellid='0' mode='strict' nodeset='{}'/></numatune>"
         "<cpu><numa><cell id='0' cpus='0' memory='65536'/></numa></cpu>",
         without="<numatune></numatune><cpu><numa><cell id='0' cpus='0' memory='65536'/></numa></cpu>"),
    Part("partition", "/machine/a", "/machine/b", "<resource><partition>{}</partition></resource>", without=""),
]


def domain(name: str, part: str) -> str:
    """A VM with this part, which is a device if it is nothing else. Its UUID goes by its name."""
    kind = "<type arch='x86_64' machine='q35'>hvm</type>"
    outside = re.match(r"<(os|vcpu|cputune|iothreads|numatune|resource)\b", part) or not part
    system = "" if part.startswith("<os>") else f"<os>{kind}</os>"
    vcpu = "" if part.startswith("<vcpu") else "<vcpu>1</vcpu>"
    return f"""<domain type='qemu'><name>{name}</name><uuid>{uuid.uuid5(uuid.NAMESPACE_DNS, name)}</uuid>
<memory unit='MiB'>64</memory>{vcpu}{system}{part.replace("TYPE", kind) if outside else ""}
<memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking><features><acpi/></features>
<devices><emulator>/usr/bin/qemu-system-x86_64</emulator>{"" if outside else part}</devices></domain>
"""


def test_libvirt_reads_every_changed_place_as_it_is_meant(site: Site, lab: Lab):
    host = lab.hosts[1]
    assert {part.place for part in PARTS} == set(places(site, host)), "the places of the table, each of them here"
    commands, names = [], []
    for number, (place, old, new, xml, meant, without) in enumerate(PARTS):
        wanted = [(f'to = "{new}"\nmust_exist = false', meant or xml.replace("{}", escape(new)))]
        wanted += [("remove = true", without)] if without is not None else []
        for action, result in wanted:
            name = f"{place}-{number}-{action.split()[0]}"
            host.write(f"{CONFIG}/rewrite.d/x.toml",
                       # None of these VMs comes: no helper is to wait for one, to change its definition.
                       f'vms = "all"\npersist = false\n[[rewrite]]\nchange = "{place}"\nfrom = "{old}"\n{action}\n')
            answer = host.run("/etc/libvirt/hooks/qemu", name, "migrate", "begin", "-",
                              input=domain(name, xml.replace("{}", old))).stdout
            names.append(name)
            for kind, text in (("made", answer), ("meant", domain(name, result))):
                file = f"/run/{name}-{kind}.xml"
                host.write(file, text)
                commands += [f"define --validate {file}", f"echo {SIGN}", f"dumpxml --inactive --security-info {name}",
                             f"undefine {name} --nvram"]
    # All in one call, which goes on behind what libvirt does not take.
    done = host.virsh("\n".join(commands), check=False)
    read = done.stdout.split(SIGN)[1:]
    for name, made, wanted in zip(names, read[::2], read[1::2], strict=True):
        assert f"<name>{name}</name>" in wanted, f"libvirt does not take what is meant: {done.stderr}"
        assert lasting(made) == lasting(wanted), f"{name}: {done.stderr}"


def lasting(xml: str) -> str:
    """What libvirt says without the ports that it invents where none is given."""
    return re.sub(f"interfaceid='(?!{UUID}|{OTHER})[^']*'", "interfaceid=''", xml).strip()


def places(site: Site, host: Host) -> list[str]:
    """The places that there are, as whoever names another one is told."""
    host.write("/run/checkout/rewrite.d/x.toml", '[[rewrite]]\nchange = "interface.mac"\nto = "x"\n')
    said = site.recontext(host, "check", "/run/checkout", check=False).stdout
    return said.split("those are ")[1].split("\n")[0].split(", ")


def escape(value: str) -> str:
    return value.replace("&", "&amp;").replace("'", "&apos;")
