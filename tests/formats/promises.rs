//! What each format promises, one test each.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use virt_recontext::context::disc::format::Format;

use crate::reader::run;
use crate::site::UUID;

use super::cloud_init::{CloudInit, schema};
use super::disc::{Given, extracted, read, written};
use super::shells::{self, SHELLS};
use super::{expected, samples};

const ALL: [Format; 4] = Format::ALL;

/// What cloud-init reads from the disc.
fn by_cloud_init(given: &Given, format: Format) -> Value {
    CloudInit::start().read(format, given.on_disc(format).path())
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_disc_has_the_label_that_its_readers_look_for_and_the_marker() {
    for (format, label) in ALL.into_iter().zip(["RECONTEXT", "cidata", "config-2", "CONTEXT"]) {
        let composed = Given::facts(json!({"a": "ä"})).composed(format).unwrap();
        let disc = written(&composed, format);
        let mut blkid = Command::new("/usr/sbin/blkid");
        let found = run(blkid.args(["-p", "-o", "value", "-s", "LABEL"]).arg(disc.path()), "util-linux");
        assert_eq!(String::from_utf8(found).unwrap().trim_end(), label);
        let marker: Value =
            serde_json::from_slice(&read(extracted(&composed, format).path(), "recontext.json")).unwrap();
        assert_eq!((&marker["facts"], &marker["domain_uuid"]), (&json!({"a": "ä"}), &json!(UUID)));
    }
}

#[test]
fn cloud_init_reads_every_value_from_meta_data() {
    let facts = samples::values();
    let found = by_cloud_init(&Given::facts(facts.clone()), Format::NoCloud);
    assert_eq!(found["metadata"], with_dsmode(expected::nocloud(&facts)));
    assert_eq!(found["id"], UUID);
    assert_eq!((&found["user-data"], &found["network"]), (&json!(""), &Value::Null));
}

#[test]
fn cloud_init_reads_every_name_from_meta_data() {
    let facts = samples::names();
    let found = by_cloud_init(&Given::facts(facts.clone()), Format::NoCloud);
    assert_eq!(found["metadata"], with_dsmode(expected::nocloud(&facts)));
    let longest = json!({"x".repeat(1022): 1});
    let found = by_cloud_init(&Given::facts(longest.clone()), Format::NoCloud);
    assert_eq!(found["metadata"], with_dsmode(expected::nocloud(&longest)));
}

/// cloud-init adds it when it is not given.
fn with_dsmode(mut metadata: Value) -> Value {
    metadata["dsmode"] = json!("net");
    metadata
}

#[test]
fn cloud_init_reads_the_files_of_the_tree_beside_meta_data() {
    let user_data = "#cloud-config\nwrite_files: [{path: /etc/site, content: b}]\n";
    let given = Given::facts(json!({"zone": "b", "local-hostname": "fact", "m": {"a": 1, "b": 2}}))
        .and_file("meta-data", r#"{"local-hostname": "file", "m": {"b": 3}}"#)
        .and_file("user-data", user_data)
        .and_file("vendor-data", "#!/bin/sh\n")
        .and_file("network-config", "version: 2\nethernets: {}\n");
    let found = by_cloud_init(&given, Format::NoCloud);
    let wanted = json!({"instance-id": UUID, "zone": "b", "local-hostname": "file", "m": {"a": 1, "b": 3}});
    assert_eq!(found["metadata"], with_dsmode(wanted));
    assert_eq!(found["user-data"], hex(user_data));
    assert_eq!(found["vendor-data"], hex("#!/bin/sh\n"));
    assert_eq!(found["network"], json!({"version": 2, "ethernets": {}}));
    let dir = given.on_disc(Format::NoCloud);
    run(&mut schema(&dir.path().join("user-data")), "cloud-init, which tests/packages unpacks");
}

#[test]
fn a_meta_data_in_yaml_is_merged_too() {
    let yaml = "---\n# ours\nlocal-hostname: file\npublic-keys:\n- ssh-rsa A\nm: mine\nmotd: 'yes: no'\n";
    let given = Given::facts(json!({"zone": "b", "local-hostname": "fact", "m": {"a": 1}, "n": {"yes": "\u{85}"}}));
    let found = by_cloud_init(&given.and_file("meta-data", yaml), Format::NoCloud);
    let wanted = json!({
        "instance-id": UUID, "zone": "b", "local-hostname": "file", "m": "mine", "n": {"yes": "\u{85}"},
        "public-keys": ["ssh-rsa A"], "motd": "yes: no",
    });
    assert_eq!(found["metadata"], with_dsmode(wanted));
}

#[test]
fn cloud_init_reads_every_fact_from_meta_of_a_config_drive() {
    for facts in [samples::values(), json!({"a": samples::names()})] {
        let found = by_cloud_init(&Given::facts(facts.clone()), Format::ConfigDrive);
        assert_eq!(found["metadata"]["meta"], expected::configdrive(&facts));
        assert_eq!(found["id"], UUID);
        assert_eq!(found["metadata"]["local-hostname"], Value::Null, "a guest is not renamed");
    }
}

#[test]
fn cloud_init_reads_the_files_of_the_tree_from_a_config_drive() {
    let given = Given::facts(json!({"zone": "b"}))
        .and_file("openstack/latest/meta_data.json", r#"{"hostname": "web", "meta": {"role": "x"}, "uuid": null}"#)
        .and_file("openstack/latest/user_data", "#cloud-config\n")
        .and_file("openstack/latest/vendor_data.json", r#"{"cloud-init": "x"}"#)
        .and_file("openstack/latest/network_data.json", r#"{"links": []}"#);
    let error = format!("{:#}", given.composed(Format::ConfigDrive).unwrap_err());
    assert!(error.contains("uuid") && error.contains("/openstack/latest/meta_data.json"), "{error}");
    let given = given.and_file("openstack/latest/meta_data.json", r#"{"hostname": "web", "meta": {"role": "x"}}"#);
    let found = by_cloud_init(&given, Format::ConfigDrive);
    assert_eq!(found["metadata"]["meta"], json!({"zone": "b", "role": "x"}));
    assert_eq!(found["metadata"]["local-hostname"], "web");
    assert_eq!(found["user-data"], hex("#cloud-config\n"));
    assert_eq!(found["vendor-data"], hex(r#"{"cloud-init": "x"}"#));
    assert_eq!(found["network"], json!({"links": []}));
}

#[test]
fn shells_read_every_value_from_context_sh() {
    let facts = samples::values();
    let dir = Given::facts(facts.clone()).on_disc(Format::OpenNebula);
    let variables = expected::variables(&facts);
    for shell in SHELLS {
        let found = shells::values(shell, dir.path(), variables.keys());
        for (name, value) in &variables {
            assert!(found[name] == value.as_bytes(), "{shell:?}: {name} {value:.80?} {:.80?}", found[name]);
        }
    }
}

#[test]
fn what_windows_would_misread_can_be_decoded() {
    let facts = samples::values();
    let dir = Given::facts(facts.clone()).on_disc(Format::OpenNebula);
    let script = String::from_utf8(read(dir.path(), "context.sh")).unwrap();
    for (name, value) in expected::variables(&facts) {
        let plain = value.chars().all(|c| (' '..='~').contains(&c) && c != '\'');
        let encoded = format!("\n{name}_BASE64='");
        assert_eq!(script.contains(&encoded), !plain, "{name} {value:.80?}");
        if !plain {
            let decode = format!("{{ printf %s \"${name}_BASE64\" | base64 -d; }}");
            let mut command = Command::new("dash");
            command.args(["-ec", &format!(". ./context.sh; {decode}")]).current_dir(dir.path());
            assert!(run(&mut command, "dash") == value.as_bytes(), "{name} {value:.80?}");
        }
    }
}

#[test]
fn cloud_init_reads_every_value_from_context_sh_and_leaves_the_network_alone() {
    let facts = samples::values();
    let found = by_cloud_init(&Given::facts(facts.clone()), Format::OpenNebula);
    let metadata = found["metadata"].as_object().unwrap();
    for (name, value) in expected::variables(&facts) {
        assert!(metadata[&name] == value.as_str(), "{name} {value:.80?} {:.80}", metadata[&name]);
    }
    let surplus = metadata.keys().find(|name| !name.starts_with("TEXT_") && !name.ends_with("_BASE64"));
    let surplus = surplus.filter(|name| !expected::variables(&facts).contains_key(*name));
    assert_eq!((surplus, &found["network"]), (None, &Value::Null));
}

#[test]
fn a_context_sh_of_the_tree_wins() {
    let given = Given::facts(json!({"zone": "b", "role": "x"})).and_file("context.sh", "ZONE=\"c$ROLE\"\nOWN=1\n");
    let dir = given.on_disc(Format::OpenNebula);
    let names = ["ZONE", "ROLE", "OWN"].map(str::to_owned);
    for shell in SHELLS {
        let found = shells::values(shell, dir.path(), names.iter());
        assert_eq!(names.each_ref().map(|name| found[name].clone()), [b"cx".to_vec(), b"x".to_vec(), b"1".to_vec()]);
    }
    let composed = given.composed(Format::OpenNebula).unwrap();
    assert!(composed.origin(&"context.sh".parse().unwrap()).unwrap().merged);
}

#[test]
fn no_fact_becomes_a_variable_that_shells_have_by_themselves() {
    for (shell, list, package) in [("bash", "compgen -v", "bash"), ("dash", "set | sed 's/=.*//'", "dash")] {
        let listed = run(Command::new(shell).args(["-c", list]).env_clear().env("PATH", "/usr/bin:/bin"), package);
        let listed = String::from_utf8(listed).unwrap();
        assert!(listed.lines().count() > 3, "{listed}");
        for name in listed.lines().filter(|name| !name.is_empty()) {
            let composed = Given::facts(json!({name: "x"})).composed(Format::OpenNebula);
            let error = format!("{:#}", composed.err().unwrap_or_else(|| panic!("{shell} has {name}")));
            assert!(error.contains(&format!("the fact {name:?}")), "{error}");
        }
    }
}

/// cloud-init sets a guest up anew when its identity changes, and one-context when one byte of context.sh does.
#[test]
fn another_generation_of_another_host_is_the_same_to_its_readers() {
    let given = Given::facts(json!({"zone": "b", "umlaut": "ä"})).and_file("user-data", "#cloud-config\n");
    for format in ALL {
        let old = extracted(&given.composed_by("host-a", 1, format).unwrap(), format);
        let new = extracted(&given.composed_by("host-b", 999_999_999_999, format).unwrap(), format);
        let mut diff = Command::new("diff");
        diff.args(["-r", "--exclude=recontext.json", "--exclude=recontext.sums"]).args([old.path(), new.path()]);
        run(&mut diff, "diffutils");
        assert_ne!(fs::read(old.path().join("recontext.json")).unwrap(), read(new.path(), "recontext.json"));
        if format != Format::Files {
            let mut cloud_init = CloudInit::start();
            let mut found = |dir: &Path| cloud_init.read(format, dir);
            assert_eq!(found(old.path()), found(new.path()));
        }
    }
}

#[test]
fn plain_files_have_no_generated_file_but_the_marker_and_the_sums() {
    let given = Given::facts(samples::values()).and_file("meta-data", "a: b\n").and_file("context.sh", "x");
    let dir = given.on_disc(Format::Files);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 4);
    assert_eq!((read(dir.path(), "meta-data"), read(dir.path(), "context.sh")), (b"a: b\n".to_vec(), b"x".to_vec()));
}
