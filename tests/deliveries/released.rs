//! What released versions have left on a host is read: see tests/fixtures.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

use serde_json::{Value, json};

use crate::site::{Site, here, run};

const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

/// A file that the version 0.1.0 wrote, for this host.
fn fixture(site: &Site, name: &str) -> String {
    let text = fs::read_to_string(here().join("../fixtures/0.1.0").join(name)).unwrap();
    let image = fs::metadata(site.path(&image())).map_or((0, 0), |image| (image.dev(), image.ino()));
    text.replace("ROOT", site.root().to_str().unwrap())
        .replace("DEV", &image.0.to_string())
        .replace("INO", &image.1.to_string())
}

fn image() -> String {
    format!("var/lib/libvirt/recontext/{UUID}.iso")
}

/// A host on which 0.1.0 has delivered a disc.
fn host_of_0_1_0() -> Site {
    let site = Site::usual();
    site.write("etc/virt-recontext/facts.d/site.toml", "site = 'berlin'\n");
    site.install_program("#!/bin/sh\necho '{\"rack\": {\"number\": 8}}'\n", "etc/virt-recontext/facts.d/rack");
    fs::write(site.beside("node.xml"), format!("<node>{}</node>", fixture(&site, "domain.xml"))).unwrap();
    let uri = format!("uri = 'test://{}'\n", site.beside("node.xml").display());
    site.write("etc/virt-recontext/config.toml", &uri);
    site.write(&image(), "the disc of 0.1.0");
    for (name, place) in [("state.json", "state"), ("facts.json", "facts")] {
        site.write(&format!("run/libvirt/recontext/{place}/{UUID}.json"), &fixture(&site, name));
    }
    site
}

fn status(site: &Site) -> Value {
    let output = run(&mut site.recontext(&["status", "--json"]), b"");
    serde_json::from_slice::<Value>(&output.stdout).unwrap()[0].clone()
}

#[test]
fn a_disc_that_0_1_0_delivered_is_known_and_replaced_by_a_newer_one() {
    let site = host_of_0_1_0();
    let old = status(&site);
    assert_eq!((&old["name"], &old["state"], &old["reason"]), (&json!("web"), &json!("delivered"), &json!("migrate")));
    let done = run(&mut site.recontext(&["refresh", "web"]), b"");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let new = status(&site);
    assert_eq!((&new["state"], &new["reason"]), (&json!("delivered"), &json!("refresh")));
    assert!(new["generation"].as_u64() > old["generation"].as_u64());
}

#[test]
fn a_job_that_0_1_0_noted_is_done() {
    let site = host_of_0_1_0();
    let job = format!("run/libvirt/recontext/jobs/{UUID}.json");
    site.write(&job, &fixture(&site, "job.json"));
    let done = run(&mut site.recontext(&["deliver"]), b"");
    assert!(done.status.success() && !site.path(&job).exists(), "{}", String::from_utf8_lossy(&done.stderr));
    let (state, generation) = (status(&site), fixture(&site, "state.json"));
    assert_eq!((&state["state"], &state["reason"]), (&json!("delivered"), &json!("migrate")));
    assert!(!generation.contains(&state["generation"].to_string()), "a new disc was made");
}

#[test]
fn what_programs_printed_for_0_1_0_is_on_the_disc_of_a_vm_that_arrives() {
    let site = host_of_0_1_0();
    let xml = fixture(&site, "domain.xml").replace("type='test'", "type='qemu'");
    let done = run(&mut site.hook(&["web", "migrate", "begin", "-"]), xml.as_bytes());
    assert!(done.status.success() && done.stdout.is_empty());
    let mut bsdtar = Command::new("bsdtar");
    bsdtar.arg("-xOf").arg(site.path(&image())).arg("probe.conf");
    let probe = crate::reader::run(&mut bsdtar, "libarchive-tools");
    assert_eq!(String::from_utf8(probe).unwrap(), "role=web site=berlin rack=7");
}

#[test]
fn a_disc_that_0_1_0_made_goes_with_its_vm() {
    let site = host_of_0_1_0();
    let xml = fixture(&site, "domain.xml").replace("type='test'", "type='qemu'");
    run(&mut site.hook(&["web", "release", "end", "migrated"]), xml.as_bytes());
    assert!(!site.path(&image()).exists());
}
