//! What the random input begins from, and the words that are put into it.

use crate::properties::UUID;

const ARRIVING: &str = include_str!("../situations/domain/arriving.xml");
const DRIVES: &str = include_str!("../situations/domain/drives.xml");

/// Pieces of XML, and of a domain.
pub const XML: &[&str] = &[
    "<domain>",
    "</domain>",
    "<disk type='file' device='cdrom'>",
    "</disk>",
    "<source file='/x.iso'/>",
    "<source/>",
    "<target dev='sda' bus='sata'/>",
    "<target dev='sdb' bus='scsi'/>",
    "<uuid>../../etc/passwd</uuid>",
    "<name>../x</name>",
    "<!DOCTYPE a [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>",
    "<!DOCTYPE a [<!ENTITY e 'eeeeeeeeee'>]>",
    "&e;",
    "&amp;",
    "&#0;",
    "&#x10FFFF;",
    "&#xD;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?x",
    "?>",
    "'",
    "\"",
    "<",
    ">",
    "/>",
    "=",
    "xmlns=''",
    "xmlns:x='urn:virt-recontext:1'",
    " startupPolicy='mandatory'",
    " type='block'",
    " type='network'",
    " file='/var/lib/libvirt/recontext/../../x.iso'",
    "<source file='/var/lib/libvirt/recontext/x.iso'/>",
    "\0",
    "\r\n",
    "\u{85}",
    "\u{feff}",
    "ä",
    "<metadata>",
    "</metadata>",
    "<x:context xmlns:x='urn:virt-recontext:1'/>",
    "<a>",
    "</a>",
    "<backingStore/>",
    "<driver type='qcow2'/>",
    " index='1'",
];

/// Pieces of our metadata, with templates.
pub const METADATA: &[&str] = &[
    "<c:fact name='a.b'>1</c:fact>",
    "<c:fact name='a'>x</c:fact>",
    "<c:fact name='a.b.c.d.e'>&#13;</c:fact>",
    "<c:fact name='",
    "'>",
    "</c:fact>",
    "<c:file path='x.j2'>",
    "<c:file path='../x'>",
    "<c:file path='a/b/c'>",
    "<c:file path='meta-data'>",
    "<c:file path='user-data'>",
    "<c:file path='openstack/latest/meta_data.json'>",
    "<c:file path='context.sh'>",
    "<c:file path='recontext.json'>",
    "</c:file>",
    "{{ facts.site }}",
    "{{ facts.monitoring.port * 3 }}",
    "{% for a in range(1000) %}",
    "{% endfor %}",
    "{% set x = 'x' * 9999 %}",
    "{% if facts.a %}",
    "{% endif %}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% include '/etc/passwd' %}",
    "{{ [1,2]|",
    "tojson",
    "join",
    "sort",
    "batch(99999)",
    "indent(999999)",
    "round(-999)",
    "format",
    "slice(0)",
    "replace('','xxxxxxxxxxxxxxxx')",
    "split('')",
    " }}",
    "{{",
    "}}",
    "{#",
    "#}",
    "{% raw %}",
    "{{ 9223372036854775807 + 1 }}",
    "{{ -9223372036854775808 // -1 }}",
    "{{ 2 ** 999 }}",
    "{{ range(99999999)|list }}",
    "{{ 'x'[::0] }}",
    "{{ facts }}",
    "[*]",
    "key: value\n",
    "- a\n",
    "{\"a\": ",
    "}",
    "[",
    "]",
    "null",
    "1e999",
    "'",
    "\"",
    "&lt;",
    "&#0;",
    "&#10;",
    "&#13;",
    "\r",
    "ä",
    "\u{202e}",
    "/",
    "..",
    "instance-id: x\n",
    "local-hostname: x\n",
    "seedfrom",
    "PATH",
    "ETH0_IP",
    "dsmode",
    "<c:x/>",
    "<!-- -->",
    "<![CDATA[",
    "]]>",
];

/// Pieces of job and state files.
pub const JSON: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "null",
    "true",
    "18446744073709551615",
    "-1",
    "1e999",
    "\"uuid\":",
    "\"name\":",
    "\"image\":",
    "\"/etc/passwd\"",
    "\"../../x\"",
    "\"\\u0000\"",
    "\"\\ud800\"",
    "\"identity\":{\"dev\":1,\"ino\":1}",
    "\"edition\":{\"generation\":18446744073709551615,\"reason\":\"start\"}",
    "\"reason\":\"refresh\"",
    "\"progress\":\"delivered\"",
    "\"since\":18446744073709551615",
    "\"programs\":{\"/x\":{\"facts\":{},\"at\":0}}",
    "\"force\":true",
    "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    "\n",
    "\0",
    "\u{feff}",
];

/// Whole calls of the hook.
pub fn calls() -> Vec<Vec<u8>> {
    let metadata = "<recontext:context xmlns:recontext='urn:virt-recontext:1' target='sda'/>";
    let usual = ARRIVING.replace("<!-- name -->", "vm").replace("<!-- metadata -->", metadata);
    let drives = [
        DRIVES,
        "<disk device='cdrom'><target dev='sda' bus='sata'/></disk>",
        "<disk type='network' device='cdrom'><source protocol='http' name='x'><host name='h'/></source><target dev='sda' bus='ide'/></disk>",
        "<disk type='block' device='cdrom'><source dev='/dev/sr0' index='1'/><target dev='hdc' bus='ide'/></disk>",
        "<disk type='file' device='cdrom'><source file='/a &amp; b.iso'/><backingStore/><target dev='sda' bus='scsi'/></disk>",
    ];
    let domains = drives.map(|drives| usual.replace("<!-- drives -->", drives));
    let least = format!("<domain><name>vm</name><uuid>{UUID}</uuid><devices>{}</devices></domain>", drives[1]);
    let calls = ["vm migrate begin -", "vm prepare begin -", "../x release end migrated"];
    let all = domains.iter().chain([&least]).enumerate();
    all.map(|(number, xml)| format!("{}\n{xml}", calls[number % calls.len()]).into_bytes()).collect()
}

/// Our metadata, for each format.
pub fn metadata() -> Vec<Vec<u8>> {
    let inner = [
        "",
        "<c:fact name='role'>web</c:fact><c:file path='probe.conf.j2'>endpoint={{ facts.monitoring.port }} {{ facts.role }}\n</c:file>",
        "<c:fact name='eth0.ip'>10.0.0.1</c:fact><c:file path='meta-data'>local-hostname: web\nlist:\n- a\n- b\n</c:file>",
        "<c:file path='openstack/latest/meta_data.json'>{\"hostname\": \"web\", \"meta\": {\"a\": \"b\"}}</c:file>",
        "<c:file path='context.sh.j2'>{% for name in facts %}{{ name }}={{ facts[name]|tojson }}\n{% endfor %}</c:file>",
        "<c:file path='a/b.j2'>{{ [3,1,2]|sort|join(',') }} {{ 'abc'|upper }} {{ domain.uuid }} {{ event.time }} {{ 'x' * 10 }}</c:file>",
    ];
    let deep = format!("<c:file path='{}x'/>", "a/".repeat(300_000));
    let many: String = (0..2_000).map(|number| format!("<c:fact name='{}{number}'/>", "a.".repeat(90))).collect();
    let large = [format!("\0{deep}"), format!("\0{many}")].map(String::into_bytes);
    let usual = (0..4_u8).flat_map(|format| inner.map(|inner| [&[format], inner.as_bytes()].concat()));
    usual.chain(large).collect()
}

/// Job files.
pub fn jobs() -> Vec<Vec<u8>> {
    let other = UUID.replace('6', "7");
    [UUID, &other]
        .map(|uuid| format!("{{\"uuid\":\"{uuid}\",\"name\":\"vm\",\"reason\":\"migrate\",\"force\":false,\"noted\":179540670612,\"id\":\"1-2\"}}"))
        .map(String::into_bytes)
        .to_vec()
}

/// State files, and what programs printed.
pub fn states() -> Vec<Vec<u8>> {
    [
        format!("{{\"uuid\":\"{UUID}\",\"name\":\"vm\",\"progress\":\"delivered\",\"since\":179540670612,\"reason\":\"migrate\",\"message\":\"x\",\
                 \"edition\":{{\"generation\":179540670612,\"reason\":\"migrate\"}},\"image\":\"/var/lib/libvirt/recontext/other.iso\",\
                 \"identity\":{{\"dev\":1,\"ino\":2}}}}"),
        "{\"programs\":{\"/etc/virt-recontext/facts.d/x\":{\"facts\":{\"a\":[1,{\"b\":null}]},\"at\":179540670612}}}".to_owned(),
    ]
    .map(String::into_bytes)
    .to_vec()
}
