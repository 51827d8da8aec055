//! Rules for the XML of VMs that come, as a person sees them.

use super::node::{Node, OFF, TRANSIENT, Vm};

const RULES: &str = "etc/virt-recontext/rewrite.d/50-site.toml";

const BRIDGE: &str =
    "<interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br-prod'/></interface>";

/// A node with a VM on the bridge `br-prod`, and with these rules.
fn node_with(rules: &str) -> (Node, Vm) {
    let web = Vm { devices: BRIDGE, ..Vm::called("web") };
    let node = Node::with(&[&web]);
    node.site.write("sys/class/net/br0/mtu", "1500\n");
    node.site.write(RULES, rules);
    (node, web)
}

fn map(new: &str) -> String {
    format!("[[rewrite]]\nchange = \"interface.bridge\"\nmap = {{ \"br-prod\" = \"{new}\" }}\n")
}

#[test]
fn preview_shows_the_lines_that_rules_would_change_and_changes_nothing() {
    let (node, _) = node_with(&map("br0"));
    let xml = node.site.beside("web.xml");
    let text = "<domain type='kvm'>\n  <name>web</name>\n  <uuid>6695eb01-f6a4-8304-79aa-000000776562</uuid>\n  \
                <metadata>\n    <r:context xmlns:r='urn:virt-recontext:1'/>\n  </metadata>\n  <devices>\n    \
                <interface type='bridge'>\n      <source bridge='br-prod'/>\n    </interface>\n  </devices>\n</domain>\n";
    std::fs::write(&xml, text).unwrap();
    let preview = || node.say(&["preview", "--rewrite", "--xml", xml.to_str().unwrap()]);
    let wanted = "# rewrite.d/50-site.toml, line 1: interface 0: interface.bridge \"br-prod\" -> \"br0\"\n\
                  -      <source bridge='br-prod'/>\n+      <source bridge='br0'/>\n";
    assert_eq!(preview(), (0, wanted.to_owned()));
    node.site.write(RULES, &map("br1"));
    let (code, said) = preview();
    assert_eq!(code, 1);
    assert!(
        said.contains("it would come as it is, since not all rules that fit can be applied: ")
            && said.contains("this host has no network interface br1"),
        "{said}"
    );
    node.site.write(RULES, &("required = true\n".to_owned() + &map("br1")));
    assert!(preview().1.contains("it would be refused: "));
    node.site.write(RULES, &map("br0").replace("br-prod", "other"));
    assert_eq!(preview(), (0, "virt-recontext: web: no rule would change anything\n".to_owned()));
    std::fs::write(&xml, text.replace("urn:virt-recontext:1", "urn:other")).unwrap();
    assert_eq!(
        preview(),
        (
            0,
            "virt-recontext: web: it takes no part, and no rule of this host is for such VMs too (vms = \"all\")\n"
                .to_owned()
        )
    );
}

#[test]
fn preview_shows_no_password_and_nothing_that_a_terminal_obeys() {
    let (node, _) = node_with("vms = \"all\"\n[[rewrite]]\nchange = \"graphics.listen\"\nto = \"10.0.0.2\"\n");
    let xml = node.site.beside("web.xml");
    let graphics = "<graphics type='vnc' passwd = \"T0p'Secret\" listen='127.0.0.1'/><!-- \u{1b}[2J\u{9b}2J\r -->";
    let domain = format!(
        "<domain type='kvm'><name>web</name><uuid>6695eb01-f6a4-8304-79aa-000000776562</uuid><devices>\n{graphics}\n\
         </devices></domain>\n"
    );
    std::fs::write(&xml, domain).unwrap();
    let wanted = "# rewrite.d/50-site.toml, line 2: graphics vnc: graphics.listen \"127.0.0.1\" -> \"10.0.0.2\"\n\
                  -<graphics type='vnc' passwd=\"...\" listen='127.0.0.1'/><!--  [2J 2J  -->\n\
                  +<graphics type='vnc' passwd=\"...\" listen='10.0.0.2'/><!--  [2J 2J  -->\n";
    assert_eq!(node.say(&["preview", "--rewrite", "--xml", xml.to_str().unwrap()]), (0, wanted.to_owned()));
}

#[test]
fn status_tells_what_rules_did_also_to_a_vm_that_takes_part_in_nothing_else() {
    let (node, web) = node_with(&("vms = \"all\"\n".to_owned() + &map("br0")));
    let db = Vm { context: None, devices: BRIDGE, ..Vm::called("db") };
    node.has(&[&web, &db]);
    for vm in [&web, &db] {
        node.hook(vm, "migrate");
    }
    let (code, said) = node.say(&["status", "--verbose"]);
    assert_eq!(code, 0, "{said}");
    let rules =
        "rules: interface 52:54:00:00:00:01: interface.bridge \"br-prod\" -> \"br0\" (rewrite.d/50-site.toml, line 2)";
    let due = format!("{rules}; its definition is still to be changed like that\n");
    assert!(said.contains("db: rules alone (migrate, disc -, ") && said.matches(&due).count() == 2, "{said}");
    // At a glance only what is to be done counts.
    let (_, said) = node.say(&["status"]);
    assert!(
        said.contains(": rules: its definition is still to be changed like that\n") && !said.contains("br0"),
        "{said}"
    );
    node.deliver();
    assert!(!node.say(&["status"]).1.contains("rules: "));
    let (_, said) = node.say(&["status", "--verbose"]);
    assert_eq!(said.matches(&format!("{rules}\n")).count(), 2, "{said}");
    // What was not applied is bad, for as long as the VM is here.
    node.site.write(RULES, "vms = \"all\"\n[[rewrite]]\nchange = \"interface.bridge\"\nto = \"br1\"\n");
    node.hook(&db, "migrate");
    let (code, said) = node.say(&["status", "db"]);
    assert_eq!(code, 1);
    assert!(
        said.contains("rules: no rule was applied: rewrite.d/50-site.toml, line 2: interface.bridge \"br-prod\""),
        "{said}"
    );
    node.has(&[&web]);
    let (code, said) = node.say(&["status"]);
    assert_eq!(code, 0);
    assert!(!said.contains("db"), "{said}");
}

#[test]
fn doctor_and_check_tell_what_is_wrong_with_rules() {
    let (node, _) = node_with(
        &(map("br0") + &map("br1") + "[[rewrite]]\nchange = \"interface.bridge\"\nto = \"br0\"\n" + &map("br0")),
    );
    let (_, said) = node.say(&["doctor", "--verbose"]);
    for wanted in [
        "good: rewrite: 4 rules in rewrite.d/50-site.toml, for VMs that take part\n",
        "good: rewrite: libvirt has names that are the same on every host, and need no rule: a <network> for interface.bridge; ",
        "warning: rewrite: rewrite.d/50-site.toml, line 4: it gives \"br1\", and this host has no network interface br1 -> ",
        "warning: rewrite: rewrite.d/50-site.toml, line 10: it is never asked, since rewrite.d/50-site.toml, line 7, fits whatever",
    ] {
        assert!(said.contains(wanted), "{wanted}: {said}");
    }
    node.site.write(RULES, &map("br0").replace("interface.bridge", "interface.mac"));
    let (_, said) = node.say(&["doctor", "--verbose"]);
    assert!(
        said.contains("bad: rewrite: reading ") && said.contains("line 2: change = \"interface.mac\" is no place"),
        "{said}"
    );
    let dir = node.site.path("etc/virt-recontext");
    let (code, said) = node.say(&["check", dir.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(said.contains("error: ") && said.contains("change = \"interface.mac\" is no place"), "{said}");
    node.site.write(RULES, &map("br9"));
    assert_eq!(node.say(&["check", dir.to_str().unwrap()]).0, 0);
}

#[test]
fn doctor_tells_of_all_rules_in_one_line_and_which_are_for_all_vms() {
    let (node, _) = node_with(&("vms = \"all\"\n".to_owned() + &map("br0")));
    let said = || node.say(&["doctor", "--verbose"]).1;
    let all = "vms = \"all\": for all that arrive or are restored, whether they take part or not";
    let wanted = format!("good: rewrite: 1 rule in rewrite.d/50-site.toml, {all}\n");
    assert!(said().contains(&wanted), "{}", said());
    for number in 10..40 {
        node.site.write(&format!("etc/virt-recontext/rewrite.d/{number}.toml"), &map("br0"));
    }
    node.site.write("etc/virt-recontext/domains/web/rewrite.d/10.toml", &map("br0"));
    let wanted = "good: rewrite: 32 rules in 32 files, for VMs that take part, and with vms = \"all\" for all that arrive or are \
                  restored: rewrite.d/50-site.toml\n";
    let said = said();
    assert!(said.contains(wanted), "{said}");
    assert_eq!(said.matches(": rewrite: ").count(), 2, "{said}");
}

#[test]
fn doctor_names_rules_that_would_change_what_a_rule_gives() {
    let swap = "[[rewrite]]\nchange = \"interface.bridge\"\nmap = { \"br-prod\" = \"br0\", \"br*\" = \"br*-x\" }\n";
    let (node, _) = node_with(swap);
    let again = || {
        let (_, said) = node.say(&["doctor", "--verbose"]);
        said.lines().filter(|line| line.contains("it would change")).map(str::to_owned).collect::<Vec<_>>()
    };
    let wanted = "warning: rewrite: rewrite.d/50-site.toml, line 1: it would change \"br0\" (and 1 more like it), which it gives \
                  itself; so a VM that is restored here with that keeps it -> if that is meant, when.reason = \"migrate\" says so; \
                  if it is to stay at an arrival too, map it to itself first";
    assert_eq!(again(), [wanted]);
    // Both ways out.
    node.site.write(RULES, &(swap.to_owned() + "when = { reason = \"migrate\" }\n"));
    assert_eq!(again(), Vec::<String>::new());
    node.site.write(RULES, &swap.replace("\"br*\" = \"br*-x\"", "\"br0\" = \"br0\", \"*\" = \"br0\""));
    assert_eq!(again(), Vec::<String>::new());
    // Those of one VM come before those for all.
    let of_web =
        "[[rewrite]]\nchange = \"interface.bridge\"\nfrom = \"br-web\"\nto = \"br-prod\"\nmust_exist = false\n";
    node.site.write("etc/virt-recontext/domains/web/rewrite.d/10.toml", of_web);
    node.site.write(RULES, &map("br0"));
    let lines = again();
    let wanted = "rewrite.d/50-site.toml, line 1: it would change \"br-prod\", which domains/web/rewrite.d/10.toml, line 1 gives;";
    assert!(lines.len() == 1 && lines[0].contains(wanted), "{lines:?}");
    node.site.write(RULES, &(map("br0") + "when = { domain = \"db-*\" }\n"));
    assert_eq!(again(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_done_about_a_definition_is_told_and_keeps_no_disc_from_its_vm() {
    let (node, web) = node_with(&map("br0"));
    node.hook(&web, "migrate");
    assert_eq!(node.state(&web)["rules"]["definition_due"], true);
    node.deliver();
    assert!(node.state(&web)["rules"].get("definition_due").is_none());
    assert_eq!(node.progress(&web).0, "delivered");
    // What the running VM has stays, and this one has not really come.
    assert!(!node.site.messages().concat().contains("definition"));
    // Of what cannot be done the disc is none the wiser, and status and doctor tell.
    node.hook(&web, "migrate");
    node.site.write(RULES, "broken");
    node.deliver();
    assert_eq!(node.progress(&web).0, "delivered");
    let (code, said) = node.say(&["status", "web"]);
    let wanted = "its definition has not been changed like that: nothing in rewrite.d counts until this is mended: ";
    assert!(
        code == 1 && said.contains(wanted) && said.contains("; once that is mended: virt-recontext rewrite web"),
        "{said}"
    );
    let (_, said) = node.say(&["doctor", "--verbose"]);
    assert!(said.contains(&format!("warning: rewrite web: {wanted}")), "{said}");
}

#[test]
fn rewrite_shows_or_changes_definitions_and_says_of_each_vm_how_that_came_out() {
    let (node, web) = node_with(&map("br0"));
    let (off, transient) = (
        Vm { devices: BRIDGE, more: OFF, ..Vm::called("off") },
        Vm { devices: BRIDGE, more: TRANSIENT, ..Vm::called("gone") },
    );
    let other = Vm { context: None, devices: BRIDGE, ..Vm::called("other") };
    node.has(&[&web, &off, &transient, &other]);
    let change =
        "interface 52:54:00:00:00:01: interface.bridge \"br-prod\" -> \"br0\" (rewrite.d/50-site.toml, line 1)";
    let (code, said) = node.say(&["rewrite", "web", "--dry-run"]);
    assert_eq!(code, 0);
    let shown = format!(
        "# web: its definition would be changed\n# {}",
        change.replace(" (rewrite.d/50-site.toml, line 1)", "")
    );
    assert!(said.contains("-      <source bridge='br-prod'/>\n+      <source bridge='br0'/>\n"), "{said}");
    assert!(
        said.starts_with("# web: its definition would be changed\n# rewrite.d/50-site.toml, line 1: "),
        "{shown}: {said}"
    );
    assert!(!node.site.messages().concat().contains("rewrite:"));
    let (code, said) = node.say(&["rewrite", "--all"]);
    assert_eq!(code, 0, "{said}");
    assert!(["web", "off"].iter().all(|name| said.contains(&format!("{name}: {change}\n"))), "{said}");
    assert!(
        said.contains("virt-recontext: other: no rule would change its definition\n") && !said.contains("gone"),
        "{said}"
    );
    let (code, said) = node.say(&["rewrite", "gone"]);
    assert!(code == 1 && said.contains("gone has no definition that outlives it"), "{said}");
    // One at which it fails keeps no other from it.
    node.site.write(
        "etc/virt-recontext/domains/web/rewrite.d/x.toml",
        "[[rewrite]]\nchange = \"interface.bridge\"\nto = \"none\"\n",
    );
    let (code, said) = node.say(&["rewrite", "web", "absent", "off"]);
    assert!(
        code == 1 && said.contains("web: domains/web/rewrite.d/x.toml, line 1: ") && said.contains("off: interface"),
        "{said}"
    );
    assert!(said.contains("there is no VM \"absent\""), "{said}");
}
