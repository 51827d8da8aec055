use anyhow::bail;
use serde_json::json;

use super::place::TABLE;
use super::*;

const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// A host that has everything but what is called `absent`.
#[derive(Default)]
struct Told {
    required: bool,
    looks: Vec<(Needs, String)>,
}

impl Site for Told {
    fn facts(&mut self) -> Result<Facts> {
        Ok(serde_json::from_value(
            json!({"console": {"listen": "10.0.0.2"}, "bridge": "br7", "gold_bridge": "br9", "path": "/srv/b"}),
        )?)
    }

    fn check(&mut self, looks: &[Look]) -> Result<()> {
        self.looks = looks.iter().map(|look| (look.needs, look.what.display().to_string())).collect();
        let absent = looks.iter().find(|look| look.what.display().to_string().contains("absent"));
        absent.map_or(Ok(()), |look| bail!("{}: not here", look.who))
    }

    fn is_required(&mut self) {
        self.required = true;
    }
}

fn domain(inner: &str) -> String {
    format!("<domain type='kvm'><name>web-1</name><uuid>{UUID}</uuid>{inner}</domain>")
}

fn devices(inner: &str) -> String {
    domain(&format!("<devices>{inner}</devices>"))
}

/// What comes of the rules, in their files, for a VM.
fn outcome(xml: &str, reason: Reason, files: &[&str], site: &mut Told) -> Result<Option<Rewritten>, Fault> {
    outcome_of(xml, (reason, To::coming(reason)), files, site)
}

fn outcome_of(
    xml: &str,
    (reason, to): (Reason, To),
    files: &[&str],
    site: &mut Told,
) -> Result<Option<Rewritten>, Fault> {
    // Read in one go, both are what they are when each is read for itself.
    let (domain, alone) = (Domain::read_for_rules(xml).unwrap(), Domain::read(xml).unwrap());
    assert_eq!(
        format!("{:?}", Domain { for_rules: None, ..Domain::read_for_rules(xml).unwrap() }),
        format!("{alone:?}")
    );
    assert_eq!(format!("{:?}", Spots::of(&domain, &[]).unwrap()), format!("{:?}", Spots::of(&alone, &[]).unwrap()));
    let files: Vec<RuleFile> = files.iter().map(|text| RuleFile::parse("rewrite.d/x.toml", text).unwrap()).collect();
    let files: Vec<&RuleFile> = files.iter().collect();
    let limits =
        Limits { bytes: 1 << 20, files: 10, disc_steps: 100_000, template_steps: 10_000, template_output: 10_000 };
    let drives: Vec<String> = domain.drives_with_disc().map(|drive| drive.target.clone()).collect();
    rewrite(&domain, &files, &Occasion { reason, to, host: "host-b", context_drives: &drives, limits }, site)
}

fn at(reason: Reason, xml: &str, rules: &str) -> String {
    match outcome(xml, reason, &[rules], &mut Told::default()) {
        Ok(None) => xml.to_owned(),
        Ok(Some(rewritten)) => rewritten.xml,
        Err(Fault::Dropped(error)) => format!("dropped: {error:#}"),
        Err(Fault::Refused(error)) => format!("refused: {error:#}"),
    }
}

fn adapted(xml: &str, rules: &str) -> String {
    at(Reason::Migrate, xml, rules)
}

fn rule(place: &str, rest: &str) -> String {
    format!("[[rewrite]]\nchange = '{place}'\n{rest}\n")
}

/// For each place XML that has it, its old value, a new one, and the XML with that; and without it, where it may go.
const EXAMPLES: &[(&str, &str, &str, &str, &str, &str)] = &[
    (
        "interface.attachment",
        "<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/><vlan><tag id='7'/></vlan><model type='virtio'/></interface></devices>",
        "bridge:br0 vlan:7",
        "ovs:br-int vlan:9",
        "<devices><interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br-int'/><virtualport type='openvswitch'/><vlan><tag id='9'/></vlan><model type='virtio'/></interface></devices>",
        "",
    ),
    (
        "interface.attachment",
        "<devices><interface type='bridge'><source bridge='br-int'/><virtualport type='openvswitch'><parameters interfaceid='6695eb01-f6a4-8304-79aa-97f2502e193f'/></virtualport><vlan><tag id='9'/></vlan></interface></devices>",
        "ovs:br-int vlan:9",
        "network:prod portgroup:a",
        "<devices><interface type='network'><source network='prod' portgroup='a'/></interface></devices>",
        "",
    ),
    (
        "interface.attachment",
        "<devices><interface type='network'><source network='prod' portid='x' bridge='virbr0'/><target dev='vnet0'/></interface></devices>",
        "network:prod",
        "macvtap:eth0 mode:bridge",
        "<devices><interface type='direct'><source dev='eth0' mode='bridge'/><target dev='vnet0'/></interface></devices>",
        "",
    ),
    (
        "interface.attachment",
        "<devices><interface type='direct'><source dev='eth0' mode='vepa'/></interface></devices>",
        "macvtap:eth0 mode:vepa",
        "bridge:br0",
        "<devices><interface type='bridge'><source bridge='br0'/></interface></devices>",
        "",
    ),
    (
        "interface.bridge",
        "<devices><interface type='bridge'><source bridge='br&#45;prod' /></interface></devices>",
        "br-prod",
        "br0",
        "<devices><interface type='bridge'><source bridge='br0' /></interface></devices>",
        "",
    ),
    (
        "interface.network",
        "<devices><interface type=\"network\"><source portgroup='a' network = \"prod\"/></interface></devices>",
        "prod",
        "a & 'b'",
        "<devices><interface type=\"network\"><source portgroup='a' network = \"a &amp; &apos;b&apos;\"/></interface></devices>",
        "",
    ),
    (
        "interface.portgroup",
        "<devices><interface type='network'><source network='prod' portgroup='a'/></interface></devices>",
        "a",
        "b",
        "<devices><interface type='network'><source network='prod' portgroup='b'/></interface></devices>",
        "<devices><interface type='network'><source network='prod'/></interface></devices>",
    ),
    (
        "interface.dev",
        "<devices><interface type='direct'><source dev='eth0' mode='bridge'/></interface></devices>",
        "eth0",
        "eno1",
        "<devices><interface type='direct'><source dev='eno1' mode='bridge'/></interface></devices>",
        "",
    ),
    (
        "interface.socket",
        "<devices><interface type='vhostuser'><source type='unix' path='/run/a' mode='server'/></interface></devices>",
        "/run/a",
        "/run/b",
        "<devices><interface type='vhostuser'><source type='unix' path='/run/b' mode='server'/></interface></devices>",
        "",
    ),
    (
        "interface.portid",
        "<devices><interface type='bridge'><source bridge='br0'/><virtualport type='openvswitch'><parameters interfaceid='6695eb01-f6a4-8304-79aa-97f2502e193f'/></virtualport></interface></devices>",
        "6695eb01-f6a4-8304-79aa-97f2502e193f",
        "11111111-2222-4333-8444-555555555555",
        "<devices><interface type='bridge'><source bridge='br0'/><virtualport type='openvswitch'><parameters interfaceid='11111111-2222-4333-8444-555555555555'/></virtualport></interface></devices>",
        "",
    ),
    (
        "interface.filter",
        "<devices><interface type='bridge'><source bridge='br0'/><filterref filter='clean'><parameter name='IP' value='10.0.0.1'/></filterref></interface></devices>",
        "clean",
        "site",
        "<devices><interface type='bridge'><source bridge='br0'/><filterref filter='site'><parameter name='IP' value='10.0.0.1'/></filterref></interface></devices>",
        "<devices><interface type='bridge'><source bridge='br0'/></interface></devices>",
    ),
    (
        "interface.vlan",
        "<devices><interface type='bridge'><source bridge='br0'/><vlan><tag id='42'/></vlan></interface></devices>",
        "42",
        "7",
        "<devices><interface type='bridge'><source bridge='br0'/><vlan><tag id='7'/></vlan></interface></devices>",
        "<devices><interface type='bridge'><source bridge='br0'/></interface></devices>",
    ),
    (
        "disk.file",
        "<devices><disk type='file' device='disk'><source file='/a/x'/><backingStore type='file'><source file='/a/x'/></backingStore><mirror type='file'><source file='/a/x'/></mirror><target dev='vda'/></disk></devices>",
        "/a/x",
        "/b/x",
        "<devices><disk type='file' device='disk'><source file='/b/x'/><backingStore type='file'><source file='/a/x'/></backingStore><mirror type='file'><source file='/a/x'/></mirror><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.dev",
        "<devices><disk type='block' device='disk'><source dev='/dev/a'/><target dev='vda'/></disk></devices>",
        "/dev/a",
        "/dev/b",
        "<devices><disk type='block' device='disk'><source dev='/dev/b'/><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.pool",
        "<devices><disk type='volume' device='disk'><source pool='a' volume='v'/><target dev='vda'/></disk></devices>",
        "a",
        "b",
        "<devices><disk type='volume' device='disk'><source pool='b' volume='v'/><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.volume",
        "<devices><disk type='volume' device='disk'><source pool='a' volume='v'/><target dev='vda'/></disk></devices>",
        "v",
        "w",
        "<devices><disk type='volume' device='disk'><source pool='a' volume='w'/><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.name",
        "<devices><disk type='network' device='disk'><source protocol='rbd' name='pool/a'><host name='m1'/></source><target dev='vda'/></disk></devices>",
        "pool/a",
        "other/a",
        "<devices><disk type='network' device='disk'><source protocol='rbd' name='other/a'><host name='m1'/></source><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.hosts",
        "<devices><disk type='network' device='disk'><source protocol='rbd' name='p/a'><host name='m1' port='6789'/>\n<host name='m2'/><auth username='u'><secret type='ceph' uuid='6695eb01-f6a4-8304-79aa-97f2502e193f'/></auth></source><target dev='vda'/></disk></devices>",
        "m1:6789,m2",
        "[2001:db8::1]:6789",
        "<devices><disk type='network' device='disk'><source protocol='rbd' name='p/a'><host name='2001:db8::1' port='6789'/>\n<auth username='u'><secret type='ceph' uuid='6695eb01-f6a4-8304-79aa-97f2502e193f'/></auth></source><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.host",
        "<devices><disk type='network' device='disk'><source protocol='nbd' name='a'><host name='m1' port='1'/></source><target dev='vda'/></disk></devices>",
        "m1",
        "m2",
        "<devices><disk type='network' device='disk'><source protocol='nbd' name='a'><host name='m2' port='1'/></source><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "disk.secret",
        "<devices><disk type='network' device='disk'><auth username='u'><secret type='ceph' uuid='6695eb01-f6a4-8304-79aa-97f2502e193f'/></auth><source protocol='rbd' name='a'/><target dev='vda'/></disk></devices>",
        UUID,
        "11111111-2222-4333-8444-555555555555",
        "<devices><disk type='network' device='disk'><auth username='u'><secret type='ceph' uuid='11111111-2222-4333-8444-555555555555'/></auth><source protocol='rbd' name='a'/><target dev='vda'/></disk></devices>",
        "",
    ),
    (
        "filesystem.dir",
        "<devices><filesystem type='mount'><driver type='virtiofs'/><source dir='/a'/><target dir='tag'/></filesystem></devices>",
        "/a",
        "/b",
        "<devices><filesystem type='mount'><driver type='virtiofs'/><source dir='/b'/><target dir='tag'/></filesystem></devices>",
        "",
    ),
    (
        "graphics.listen",
        "<devices><graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='secret'><listen type='address' address='127.0.0.1'/></graphics></devices>",
        "127.0.0.1",
        "10.0.0.1",
        "<devices><graphics type='vnc' autoport='yes' listen='10.0.0.1' passwd='secret'><listen type='address' address='10.0.0.1'/></graphics></devices>",
        "",
    ),
    (
        "graphics.network",
        "<devices><graphics type='vnc'><listen type='network' network='a'/></graphics></devices>",
        "a",
        "b",
        "<devices><graphics type='vnc'><listen type='network' network='b'/></graphics></devices>",
        "",
    ),
    (
        "graphics.port",
        "<devices><graphics type='vnc' port='5901' autoport='no'/></devices>",
        "5901",
        "5902",
        "<devices><graphics type='vnc' port='5902' autoport='no'/></devices>",
        "",
    ),
    (
        "graphics.socket",
        "<devices><graphics type='vnc' socket='/run/a'><listen type='socket' socket='/run/a'/></graphics></devices>",
        "/run/a",
        "/run/b",
        "<devices><graphics type='vnc' socket='/run/b'><listen type='socket' socket='/run/b'/></graphics></devices>",
        "",
    ),
    (
        "serial.path",
        "<devices><serial type='unix'><source mode='bind' path='/run/a'/><target type='isa-serial' port='0'/></serial><console type='unix'><source mode='bind' path='/run/a'/><target type='serial' port='0'/></console></devices>",
        "/run/a",
        "/run/b",
        "<devices><serial type='unix'><source mode='bind' path='/run/b'/><target type='isa-serial' port='0'/></serial><console type='unix'><source mode='bind' path='/run/b'/><target type='serial' port='0'/></console></devices>",
        "",
    ),
    (
        "serial.host",
        "<devices><serial type='tcp'><source mode='bind' host='10.0.0.1' service='2000'/><target port='0'/></serial></devices>",
        "10.0.0.1",
        "10.0.0.2",
        "<devices><serial type='tcp'><source mode='bind' host='10.0.0.2' service='2000'/><target port='0'/></serial></devices>",
        "",
    ),
    (
        "serial.port",
        "<devices><serial type='tcp'><source mode='bind' host='10.0.0.1' service='2000'/><target port='0'/></serial></devices>",
        "2000",
        "2001",
        "<devices><serial type='tcp'><source mode='bind' host='10.0.0.1' service='2001'/><target port='0'/></serial></devices>",
        "",
    ),
    (
        "serial.log",
        "<devices><serial type='pty'><source path='/dev/pts/1'/><log file='/a/l' append='on'/><target port='0'/></serial><console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/><log file='/a/l' append='on'/><target type='serial' port='0'/></console></devices>",
        "/a/l",
        "/b/l",
        "<devices><serial type='pty'><source path='/dev/pts/1'/><log file='/b/l' append='on'/><target port='0'/></serial><console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/><log file='/b/l' append='on'/><target type='serial' port='0'/></console></devices>",
        "<devices><serial type='pty'><source path='/dev/pts/1'/><target port='0'/></serial><console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/><target type='serial' port='0'/></console></devices>",
    ),
    (
        "channel.path",
        "<devices><channel type='unix'><source mode='bind' path='/run/a'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>",
        "/run/a",
        "/run/b",
        "<devices><channel type='unix'><source mode='bind' path='/run/b'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel></devices>",
        "",
    ),
    (
        "firmware.loader",
        "<os><type>hvm</type><loader readonly='yes' type='pflash'> /a/code.fd\n</loader></os>",
        "/a/code.fd",
        "/b/code.fd",
        "<os><type>hvm</type><loader readonly='yes' type='pflash'> /b/code.fd\n</loader></os>",
        "",
    ),
    (
        "firmware.nvram",
        "<os><type>hvm</type><nvram template='/a/vars'>/a/web.fd</nvram></os>",
        "/a/web.fd",
        "/b/web.fd",
        "<os><type>hvm</type><nvram template='/a/vars'>/b/web.fd</nvram></os>",
        "",
    ),
    (
        "firmware.nvram",
        "<os><type>hvm</type><nvram type='file' template='/a/vars'>\n<source file='/a/web.fd'/></nvram></os>",
        "/a/web.fd",
        "/b/web.fd",
        "<os><type>hvm</type><nvram type='file' template='/a/vars'>\n<source file='/b/web.fd'/></nvram></os>",
        "",
    ),
    (
        "firmware.template",
        "<os><type>hvm</type><nvram template='/a/vars'>/a/web.fd</nvram></os>",
        "/a/vars",
        "/b/vars",
        "<os><type>hvm</type><nvram template='/b/vars'>/a/web.fd</nvram></os>",
        "<os><type>hvm</type><nvram>/a/web.fd</nvram></os>",
    ),
    (
        "boot.kernel",
        "<os><type>hvm</type><kernel>/a/linux</kernel></os>",
        "/a/linux",
        "/b/linux",
        "<os><type>hvm</type><kernel>/b/linux</kernel></os>",
        "",
    ),
    (
        "boot.initrd",
        "<os><type>hvm</type><initrd>/a/initrd</initrd></os>",
        "/a/initrd",
        "/b/initrd",
        "<os><type>hvm</type><initrd>/b/initrd</initrd></os>",
        "",
    ),
    (
        "cpu.set",
        "<vcpu placement='static' cpuset='0-3'>2</vcpu>",
        "0-3",
        "4-7",
        "<vcpu placement='static' cpuset='4-7'>2</vcpu>",
        "<vcpu placement='static'>2</vcpu>",
    ),
    (
        "cpu.pin",
        "<cputune><shares>9</shares><vcpupin vcpu='0' cpuset='1'/><vcpupin vcpu='1' cpuset='2'/></cputune>",
        "1",
        "5",
        "<cputune><shares>9</shares><vcpupin vcpu='0' cpuset='5'/><vcpupin vcpu='1' cpuset='2'/></cputune>",
        "<cputune><shares>9</shares><vcpupin vcpu='1' cpuset='2'/></cputune>",
    ),
    (
        "cpu.emulatorpin",
        "<cputune><emulatorpin cpuset='1'/></cputune>",
        "1",
        "5",
        "<cputune><emulatorpin cpuset='5'/></cputune>",
        "<cputune></cputune>",
    ),
    (
        "cpu.iothreadpin",
        "<cputune><iothreadpin iothread='1' cpuset='1'/></cputune>",
        "1",
        "5",
        "<cputune><iothreadpin iothread='1' cpuset='5'/></cputune>",
        "<cputune></cputune>",
    ),
    (
        "memory.nodeset",
        "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
        "0",
        "1",
        "<numatune><memory mode='strict' nodeset='1'/><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
        "<numatune><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
    ),
    (
        "memory.cellnodeset",
        "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='1'/></numatune>",
        "1",
        "0",
        "<numatune><memory mode='strict' nodeset='0'/><memnode cellid='0' mode='strict' nodeset='0'/></numatune>",
        "<numatune><memory mode='strict' nodeset='0'/></numatune>",
    ),
    (
        "partition",
        "<resource><partition>/machine/a</partition></resource>",
        "/machine/a",
        "/machine/b",
        "<resource><partition>/machine/b</partition></resource>",
        "",
    ),
];

#[test]
fn every_place_of_the_table_changes_where_it_stands_and_nowhere_else() {
    for row in &TABLE {
        let examples: Vec<_> = EXAMPLES.iter().filter(|(place, ..)| *place == row.name).collect();
        assert!(!examples.is_empty(), "{} has no example", row.name);
        for (place, before, old, new, after, without) in examples {
            let (before, after) = (domain(before), domain(after));
            let map = format!("map = {{ {old:?} = {new:?} }}");
            assert_eq!(adapted(&before, &rule(place, &map)), after, "{place}");
            let other = "map = { 'other' = 'x' }";
            if !matches!(*place, "interface.attachment" | "disk.hosts") && row.kind.check("x").is_ok() {
                assert_eq!(adapted(&before, &rule(place, other)), before, "{place}");
            }
            // One that has nothing of it is as it was.
            assert_eq!(adapted(&domain(""), &rule(place, &map)), domain(""));
            if row.may_go {
                let wanted = if without.is_empty() { domain("") } else { domain(without) };
                let removed = adapted(&before, &rule(place, &format!("from = {old:?}\nremove = true")));
                assert_eq!(removed, wanted, "{place}");
            }
        }
    }
}

#[test]
fn values_swap_and_are_changed_once() {
    let xml = |first: &str, second: &str| {
        devices(&format!(
            "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='{first}'/></interface>\
             <interface type='bridge'><mac address='52:54:00:00:00:02'/><source bridge='{second}'/></interface>"
        ))
    };
    let swap = rule("interface.bridge", "map = { 'a' = 'b', 'b' = 'a' }");
    assert_eq!(adapted(&xml("a", "b"), &swap), xml("b", "a"));
    let chain = rule("interface.bridge", "map = { 'a' = 'b' }") + &rule("interface.bridge", "map = { 'b' = 'c' }");
    assert_eq!(adapted(&xml("a", "b"), &chain), xml("b", "c"));
    // The first that fits counts, and a value that it maps to itself is not seen by those behind.
    let fitted = rule("interface.bridge", "map = { 'a' = 'a', 'b' = 'x' }") + &rule("interface.bridge", "to = 'y'");
    assert_eq!(adapted(&xml("a", "b"), &fitted), xml("a", "x"));
    let of_one = rule("interface.bridge", "to = 'x'\nwhen = { mac = '52:54:*:02', domain = 'web-*' }");
    assert_eq!(adapted(&xml("a", "b"), &of_one), xml("a", "x"));
    assert_eq!(
        adapted(&xml("a", "b"), &rule("interface.bridge", "to = 'x'\nwhen = { domain = 'web' }")),
        xml("a", "b")
    );
}

#[test]
fn a_whole_hides_its_parts() {
    let xml = |bridge: &str| devices(&format!("<interface type='bridge'><source bridge='{bridge}'/></interface>"));
    let rules =
        rule("interface.bridge", "to = 'part'") + &rule("interface.attachment", "map = { 'bridge:a*' = 'bridge:b*' }");
    assert_eq!(adapted(&xml("a1"), &rules), xml("b1"));
    assert_eq!(adapted(&xml("c"), &rules), xml("part"));
    let fitted = rule("interface.bridge", "to = 'part'") + &rule("interface.attachment", "map = { '*' = '*' }");
    assert_eq!(adapted(&xml("a"), &fitted), xml("a"));
}

#[test]
fn at_a_restore_what_is_of_this_host_stays() {
    let xml = |bridge: &str| devices(&format!("<interface type='bridge'><source bridge='{bridge}'/></interface>"));
    let restored = |bridge: &str, rules: &str| at(Reason::Restore, &xml(bridge), rules);
    let swap = rule("interface.bridge", "map = { 'a' = 'b', 'b' = 'a' }");
    assert_eq!([restored("a", &swap), restored("b", &swap)], [xml("a"), xml("b")]);
    let explicit = rule("interface.bridge", "map = { 'a' = 'b', 'b' = 'a' }\nwhen = { reason = 'restore' }");
    assert_eq!(restored("a", &explicit), xml("b"));
    assert_eq!(adapted(&xml("a"), &explicit), xml("a"));
    // One that was saved elsewhere is adapted as one that arrives, also where a rule leaves the rest as it is.
    let site = rule("interface.bridge", "map = { 'prod' = 'br0', 'dmz-*' = 'vmbr*', '*' = '*' }");
    assert_eq!([restored("prod", &site), restored("dmz-7", &site)], [xml("br0"), xml("vmbr7")]);
    assert_eq!(
        [restored("br0", &site), restored("vmbr7", &site), restored("x", &site)],
        [xml("br0"), xml("vmbr7"), xml("x")]
    );
    let chain = rule("interface.bridge", "map = { 'a' = 'b' }") + &rule("interface.bridge", "map = { 'b' = 'c' }");
    assert_eq!([restored("a", &chain), restored("b", &chain), restored("c", &chain)], [xml("b"), xml("b"), xml("c")]);
    // A list of what is admitted does not keep a VM out that was let in by it.
    let list = rule("interface.bridge", "map = { 'prod' = 'br0', 'dmz-*' = 'vmbr*' }")
        + &rule("interface.bridge", "refuse = 'no {{ old }}'");
    assert_eq!([adapted(&xml("prod"), &list), adapted(&xml("dmz-7"), &list)], [xml("br0"), xml("vmbr7")]);
    assert_eq!([restored("br0", &list), restored("vmbr7", &list)], [xml("br0"), xml("vmbr7")]);
    assert_eq!(adapted(&xml("br0"), &list), "refused: rewrite.d/x.toml, line 4: no br0");
    // Nor one that was born here, on what no rule knows, unless the rule is for that.
    assert_eq!(restored("x", &list), xml("x"));
    let at_restore = rule("interface.bridge", "refuse = 'no {{ old }}'\nwhen = { reason = 'restore' }");
    assert_eq!(
        [restored("x", &at_restore), adapted(&xml("x"), &at_restore)],
        ["refused: rewrite.d/x.toml, line 1: no x".to_owned(), xml("x")]
    );
    for template in ["to = '{{ facts.bridge }}'", "to = '{{ old }}-b'\nfrom = '*'"] {
        let rules = rule("interface.bridge", template);
        let once = adapted(&xml("a"), &rules);
        assert_ne!(once, xml("a"));
        assert_eq!(at(Reason::Restore, &once, &rules), once, "{template}");
    }
    let facts = rule("interface.bridge", "from = 'a'\nto = '{{ facts.gold_bridge }}'");
    assert_eq!([restored("a", &facts), restored("br9", &facts)], [xml("br9"), xml("br9")]);
}

#[test]
fn templates_see_this_hosts_facts_and_what_was_there() {
    let xml =
        |listen: &str| devices(&format!("<graphics type='vnc'><listen type='address' address='{listen}'/></graphics>"));
    let rules = rule("graphics.listen", "map = { '127.0.0.1' = '127.0.0.1', '*' = '{{ facts.console.listen }}' }");
    assert_eq!(adapted(&xml("10.9.9.9"), &rules), xml("10.0.0.2"));
    assert_eq!(adapted(&xml("127.0.0.1"), &rules), xml("127.0.0.1"));
    let disk = |path: &str| devices(&format!("<disk type='file'><source file='{path}'/><target dev='vda'/></disk>"));
    let rules = rule(
        "disk.file",
        "from = '/srv/a/*.*'\nto = '{{ facts.path }}/{{ star[0] }}-{{ domain.name }}-{{ device.target }}.{{ star[1] }}'",
    );
    assert_eq!(adapted(&disk("/srv/a/x.qcow2"), &rules), disk("/srv/b/x-web-1-vda.qcow2"));
    let missing = adapted(&disk("/x"), &rule("disk.file", "to = '{{ facts.none }}'"));
    assert!(
        missing.starts_with("dropped: rewrite.d/x.toml, line 1: disk.file \"/x\": ") && missing.contains("none"),
        "{missing}"
    );
}

#[test]
fn what_cannot_be_leaves_all_as_it_came_or_refuses_if_that_is_required() {
    let xml = devices(
        "<interface type='bridge'><source bridge='a'/></interface>\
         <disk type='file'><source file='/a/x'/><target dev='vda'/></disk><disk type='file'><source file='/a/y'/><target dev='vdb'/></disk>",
    );
    let good = rule("interface.bridge", "to = 'b'");
    for (bad, why) in [
        (rule("disk.file", "from = '/a/*'\nto = '/b/../*'"), "\"..\""),
        (rule("disk.file", "from = '/a/*'\nto = '/b/same'"), "\"/a/x\" and \"/a/y\" would both become \"/b/same\""),
        (rule("disk.file", "map = { '/a/x' = '/a/y' }"), "would both become \"/a/y\""),
        (rule("disk.file", &format!("from = '/a/x'\nto = '/b/{UUID}.iso'")), "context disc"),
        (rule("disk.file", "from = '/a/x'\nto = '/absent/x'"), "disk.file \"/a/x\" -> \"/absent/x\": not here"),
        (rule("disk.file", "to = '{{ old[0] }}'"), "\"/\""),
        (
            rule("disk.file", "to = '{% for i in range(9999) %}{% for i in range(9999) %}{% endfor %}{% endfor %}x'"),
            "more steps than",
        ),
    ] {
        let dropped = adapted(&xml, &(good.clone() + &bad));
        assert!(dropped.starts_with("dropped: ") && dropped.contains(why), "{bad}: {dropped}");
        let refused = adapted(&xml, &format!("required = true\n{good}{bad}"));
        assert!(refused.starts_with("refused: ") && refused.contains(why), "{refused}");
        // That it is required counts where one of its rules fits, whichever it is that fails.
        let mut site = Told::default();
        let others =
            ["required = true\n".to_owned() + &rule("interface.bridge", "from = 'other'\nto = 'b'"), bad.clone()];
        let outcome = outcome(&xml, Reason::Migrate, &[&others[0], &others[1]], &mut site);
        assert!(matches!(outcome, Err(Fault::Dropped(_))) && !site.required);
    }
    // What exists elsewhere can be said to be looked for by nobody.
    let trusted = rule("disk.file", "from = '/a/x'\nto = '/absent/x'\nmust_exist = false");
    assert_eq!(adapted(&xml, &trusted), xml.replace("/a/x", "/absent/x"));
    let same = devices(&"<disk type='file'><source file='/a/x'/><target dev='vda'/></disk>".repeat(2));
    assert_eq!(
        adapted(&same, &rule("disk.file", "to = '/b/x'")),
        same.replace("/a/x", "/b/x"),
        "they shared it before"
    );
}

#[test]
fn two_disks_never_come_to_share_an_image() {
    let disk = |kind: &str, source: &str, target: &str| {
        format!("<disk type='{kind}'><source {source}</source><target dev='{target}'/></disk>")
    };
    let two = |kind: &str, one: &str, other: &str| devices(&(disk(kind, one, "vda") + &disk(kind, other, "vdb")));
    let files = two("file", "file='/x/1'>", "file='/x/2'>");
    let pools = two("volume", "pool='ssd' volume='vm'>", "pool='hdd' volume='vm'>");
    let images = two("network", "name='p/x'><host name='m'/>", "name='p/y'><host name='m'/>");
    let clusters = two("network", "name='p/x'><host name='m'/>", "name='p/x'><host name='n'/>");
    for (xml, rules, why) in [
        (&files, rule("disk.file", "map = { '/x/1' = '/b/x', '/x/2' = '/b/.//x' }"), "would both become"),
        (&files, rule("disk.file", &format!("map = {{ '/x/1' = '/b/{UUID}.iso/' }}")), "place of a context disc"),
        (&pools, rule("disk.pool", "to = 'default'"), "two disks would both become default vm"),
        (&images, rule("disk.name", "to = 'p/x'"), "two disks would both become p/x m"),
        (&clusters, rule("disk.hosts", "to = 'm'"), "two disks would both become p/x m"),
    ] {
        let dropped = adapted(xml, &rules);
        assert!(dropped.starts_with("dropped: ") && dropped.contains(why), "{rules}: {dropped}");
    }
    assert_eq!(adapted(&pools, &rule("disk.volume", "to = 'b'")), pools.replace("'vm'", "'b'"));
    let shared = two("volume", "pool='ssd' volume='vm'>", "pool='ssd' volume='vm'>");
    assert_eq!(adapted(&shared, &rule("disk.pool", "to = 'b'")), shared.replace("ssd", "b"));
}

#[test]
fn what_stands_close_together_is_kept_apart() {
    let interface = |inner: &str| devices(&format!("<interface type='bridge'>{inner}</interface>"));
    let close = interface("<source bridge='a'/><virtualport type='openvswitch'/>");
    let apart = interface("<source bridge='b'/><vlan><tag id='7'/></vlan>");
    assert_eq!(adapted(&close, &rule("interface.attachment", "to = 'bridge:b vlan:7'")), apart);
    let resource = |inner: &str| domain(&format!("<resource>{inner}<fibrechannel appid='x'/></resource>"));
    let rules = rule("partition", "remove = true");
    assert_eq!(adapted(&resource("<partition>/m</partition>"), &rules), resource(""));
}

#[test]
fn a_rule_may_refuse_what_no_other_has_fitted() {
    let xml = |bridge: &str| devices(&format!("<interface type='bridge'><source bridge='{bridge}'/></interface>"));
    let rules = rule("interface.bridge", "map = { 'a' = 'b', 'c' = 'c' }")
        + &rule("interface.bridge", "refuse = 'there is no bridge for {{ old }} at {{ host.name }}'");
    assert_eq!(adapted(&xml("a"), &rules), xml("b"));
    assert_eq!(adapted(&xml("c"), &rules), xml("c"));
    assert_eq!(adapted(&xml("x"), &rules), "refused: rewrite.d/x.toml, line 4: there is no bridge for x at host-b");
    // One that came by these rules, and was saved here, is at home.
    let restored = |bridge: &str| at(Reason::Restore, &xml(bridge), &rules);
    assert_eq!([restored("b"), restored("c")], [xml("b"), xml("c")]);
    assert_eq!(restored("x"), xml("x"));
}

#[test]
fn what_only_looks_like_a_device_and_what_holds_a_context_disc_is_no_spot() {
    let image = format!("/var/lib/libvirt/recontext/{UUID}.iso");
    let xml = domain(&format!(
        "<metadata><x:devices xmlns:x='urn:x'><interface type='bridge'><source bridge='a'/></interface></x:devices></metadata>\
         <devices xmlns:y='urn:y'><y:interface type='bridge'><source bridge='a'/></y:interface>\
         <interface type='bridge'><y:source bridge='a'/></interface><!-- <source bridge='a'/> -->\
         <disk type='file' device='cdrom'><source file='{image}'/><target dev='sda' bus='sata'/></disk></devices>"
    ));
    let rules = rule("interface.bridge", "to = 'b'") + &rule("disk.file", "to = '/b/x'");
    assert_eq!(adapted(&xml, &rules), xml);
}

#[test]
fn a_thousand_interfaces_meet_a_thousand_rules() {
    let interface = |number: usize, bridge: &str| {
        format!(
            "<interface type='bridge'><mac address='52:54:00:00:{:02x}:{:02x}'/><source bridge='{bridge}{number}'/></interface>",
            number / 256,
            number % 256
        )
    };
    let all = |bridge: &str| devices(&(0..1000).map(|number| interface(number, bridge)).collect::<String>());
    let rules: String =
        (0..1000).map(|number| rule("interface.bridge", &format!("map = {{ 'a{number}' = 'b{number}' }}"))).collect();
    assert_eq!(adapted(&all("a"), &rules), all("b"));
}

#[cfg(feature = "libvirt")]
#[test]
fn what_is_said_of_a_restore_is_what_happens() {
    let bridge = |name: &str| devices(&format!("<interface type='bridge'><source bridge='{name}'/></interface>"));
    let (migrate, restore) = ("when = { reason = 'migrate' }", "when = { reason = 'restore' }");
    for (one, other, value, then, comes) in [
        ("from = 'a'\nto = 'b'".to_owned(), "from = 'b'\nto = 'c'".to_owned(), "b", Some(Then::Stays), "b"),
        ("from = 'a'\nto = 'b'".to_owned(), "to = 'c'".to_owned(), "b", Some(Then::Stays), "b"),
        (
            "from = 'br*'\nto = 'br*-x'".to_owned(),
            "from = 'y'\nto = 'z'".to_owned(),
            "br1-x",
            Some(Then::Stays),
            "br1-x",
        ),
        (format!("from = 'a'\nto = 'b'\n{migrate}"), "to = 'c'".to_owned(), "b", Some(Then::Stays), "b"),
        (format!("from = 'a'\nto = 'b'\n{restore}"), "to = 'c'".to_owned(), "b", Some(Then::Changes), "c"),
        ("from = 'a'\nto = 'b'".to_owned(), format!("to = 'c'\n{restore}"), "b", Some(Then::Changes), "c"),
        ("from = 'a'\nto = 'b'".to_owned(), format!("to = 'c'\n{migrate}"), "b", None, "b"),
        ("from = 'a'\nto = 'b'".to_owned(), "from = 'c'\nto = 'd'".to_owned(), "b", None, "b"),
    ] {
        let rules = rule("interface.bridge", &one) + &rule("interface.bridge", &other);
        let file = RuleFile::parse("x", &rules).unwrap();
        let told: Vec<Then> = changed_again(&of(&[&file])).iter().map(|again| again.then).collect();
        assert_eq!(told, then.into_iter().collect::<Vec<_>>(), "{rules}");
        assert_eq!(at(Reason::Restore, &bridge(value), &rules), bridge(comes), "{rules}");
    }
}

const MAC: &str = "52:54:00:00:00:01";

fn interface(mac: &str, attachment: &str) -> String {
    format!("<interface type='bridge'><mac address='{mac}'/>{attachment}</interface>")
}

fn on(bridge: &str) -> String {
    devices(&interface(MAC, &format!("<source bridge='{bridge}'/>")))
}

/// The definition as the rules make it behind an arrival, beside the VM that runs.
fn defined(definition: &str, live: &str, rules: &str) -> String {
    defined_when(Cause::Arrived, definition, Some(live), rules)
}

fn defined_when(cause: Cause, definition: &str, live: Option<&str>, rules: &str) -> String {
    let to = To::Definition { live, cause };
    let done = outcome_of(definition, (Reason::Migrate, to), &[rules], &mut Told::default());
    done.unwrap().map_or_else(|| definition.to_owned(), |rewritten| rewritten.xml)
}

#[test]
fn a_definition_is_changed_as_the_vm_was_and_only_once() {
    let swap = rule("interface.bridge", "map = { a = 'b', b = 'a' }");
    assert_eq!(defined(&on("a"), &on("b"), &swap), on("b"));
    // A helper that was killed behind its change begins again.
    assert_eq!(defined(&on("b"), &on("b"), &swap), on("b"));
    let plain = rule("interface.bridge", "map = { a = 'b' }");
    // A device that only the definition has is changed as well.
    assert_eq!(defined(&on("a"), &devices(""), &plain), on("b"));
}

#[test]
fn of_two_devices_alike_each_is_compared_with_its_own() {
    let of = |one: &str, other: &str| {
        let hosts = format!("<host name='{one}'/><host name='{other}'/>");
        devices(&format!(
            "<disk type='network'><source protocol='rbd' name='p/i'>{hosts}</source><target dev='vda' bus='virtio'/></disk>"
        ))
    };
    let swap = rule("disk.host", "map = { a = 'b', b = 'a' }");
    assert_eq!(defined(&of("a", "b"), &of("b", "a"), &swap), of("b", "a"));
    assert_eq!(defined(&of("b", "a"), &of("b", "a"), &swap), of("b", "a"));
}

#[test]
fn files_that_are_for_what_runs_alone_leave_the_definition_and_hide_others_there() {
    let alone = format!("persist = false\n{}", rule("interface.bridge", "map = { a = 'b' }"));
    let later = rule("interface.bridge", "map = { a = 'c' }");
    let to = || To::Definition { live: None, cause: Cause::Arrived };
    let done = outcome_of(&on("a"), (Reason::Migrate, to()), &[&alone, &later], &mut Told::default()).unwrap();
    assert!(done.is_none());
    let refuse = rule("interface.bridge", "refuse = 'not here'");
    assert!(outcome_of(&on("a"), (Reason::Migrate, to()), &[&refuse], &mut Told::default()).unwrap().is_none());
    for (file, persist) in [(&alone, false), (&later, true)] {
        let done = outcome(&on("a"), Reason::Migrate, &[file], &mut Told::default()).unwrap().unwrap();
        assert_eq!(done.changes[0].persist, persist);
    }
}

#[test]
fn a_port_of_open_vswitch_has_one_name_in_both() {
    let port = "<virtualport type='openvswitch'><parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>";
    let live = devices(&interface(MAC, &format!("<source bridge='br-int'/>{port}")));
    let rules = rule("interface.attachment", "map = { 'bridge:a' = 'ovs:br-int' }");
    assert_eq!(defined(&on("a"), &live, &rules), live);
    assert_eq!(defined(&live, &live, &rules), live);
}

#[test]
fn what_libvirt_writes_in_another_way_is_the_same() {
    let meant = devices(&interface(MAC, "<source bridge='b'/><virtualport type='openvswitch'/><model type='virtio'/>"));
    let port = "<virtualport type='openvswitch'>\n<parameters interfaceid='09b11c53-8b5c-4eeb-8f00-d84eaa0aaa4f'/></virtualport>";
    let after = devices(&interface(MAC, &format!("\n<source bridge='b'/>\n{port}\n<model type='virtio'/>")));
    assert!(is_same(&meant, &after, &[]).unwrap());
    let set = |set: &str| domain(&format!("<vcpu cpuset='{set}'>2</vcpu>"));
    assert!(is_same(&set("0,1"), &set("0-1"), &[]).unwrap());
    assert!(!is_same(&set("0,1"), &domain("<vcpu>2</vcpu>"), &[]).unwrap());
    let pinned = domain("\n<cputune>\n</cputune>\n<vcpu>2</vcpu>");
    assert!(is_same(&pinned, &domain("<vcpu>2</vcpu>"), &[]).unwrap());
    assert!(!is_same(&meant, &after.replace("virtio", "e1000"), &[]).unwrap());
}

#[test]
fn the_guest_is_told_of_each_network_that_is_another_one() {
    let moved = |reason, xml: &str, rest: &str| -> Vec<(String, bool)> {
        let rules = rule("interface.bridge", &format!("map = {{ a = 'b', same = 'same' }}\n{rest}"));
        let done = outcome(xml, reason, &[&rules], &mut Told::default()).unwrap();
        let moved = done.map(|done| done.moved).unwrap_or_default();
        moved.into_iter().map(|Moved { mac, by_link }| (mac, by_link)).collect()
    };
    let yes = "new_network = true";
    assert_eq!(moved(Reason::Migrate, &on("a"), yes), [(MAC.to_owned(), true)]);
    assert_eq!(moved(Reason::Migrate, &on("a"), "new_network = 'disc'"), [(MAC.to_owned(), false)]);
    assert_eq!(moved(Reason::Migrate, &on("a"), "new_network = false"), []);
    // It may have the name that the other host's has.
    assert_eq!(moved(Reason::Migrate, &on("same"), yes), [(MAC.to_owned(), true)]);
    assert_eq!(moved(Reason::Migrate, &on("c"), yes), []);
    // What was saved here is on no other network.
    assert_eq!(moved(Reason::Restore, &on("b"), yes), []);
    assert_eq!(moved(Reason::Restore, &on("a"), yes), [(MAC.to_owned(), true)]);
    let done = outcome(
        &on("same"),
        Reason::Migrate,
        &[&rule("interface.bridge", "to = 'same'\nnew_network = true")],
        &mut Told::default(),
    );
    let done = done.unwrap().unwrap();
    assert_eq!((done.xml.as_str(), done.changes.len()), (on("same").as_str(), 0));
}

#[test]
fn by_hand_a_definition_is_changed_as_its_vm_was_or_if_it_is_not_this_hosts_already() {
    let by_hand = |definition: &str, live: Option<&str>, map: &str| {
        let live = live.map(on);
        defined_when(Cause::ByHand, &on(definition), live.as_deref(), &rule("interface.bridge", map))
    };
    let (plain, swap) = ("map = { a = 'b' }", "map = { a = 'b', b = 'a' }");
    for (definition, live, map, becomes) in [
        ("a", None, plain, "b"),
        ("a", Some("a"), plain, "b"),
        ("b", Some("b"), plain, "b"),
        // Who runs with the one that the rule gives was changed by it.
        ("a", Some("b"), swap, "b"),
        ("b", Some("b"), swap, "b"),
        ("b", None, swap, "b"),
    ] {
        assert_eq!(by_hand(definition, live, map), on(becomes), "{definition} {live:?} {map}");
    }
}

#[test]
fn two_interfaces_of_one_mac_are_two() {
    let two = |one: &str, other: &str| {
        let of = |name: &str| interface(MAC, &format!("<source bridge='{name}'/>"));
        devices(&format!("{}{}", of(one), of(other)))
    };
    let rules = [
        rule("interface.attachment", "map = { 'bridge:a' = 'bridge:x' }"),
        rule("interface.bridge", "map = { b = 'y' }"),
    ];
    assert_eq!(adapted(&two("a", "b"), &rules.concat()), two("x", "y"));
    assert_eq!(adapted(&two("b", "a"), &rules.concat()), two("y", "x"));
}

#[test]
fn at_a_restore_what_a_whole_was_given_stays_in_its_parts_and_the_other_way_round() {
    let whole = rule("interface.attachment", "map = { 'bridge:a' = 'bridge:b' }");
    let part = rule("interface.bridge", "map = { b = 'c' }");
    let other_whole = rule("interface.attachment", "map = { 'bridge:c' = 'bridge:d' }");
    assert_eq!(at(Reason::Restore, &on("b"), &[whole.as_str(), &part].concat()), on("b"));
    assert_eq!(at(Reason::Restore, &on("c"), &[part.as_str(), &other_whole].concat()), on("c"));
    assert_eq!(at(Reason::Restore, &on("b"), &part), on("c"));
}
