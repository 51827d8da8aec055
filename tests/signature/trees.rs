//! Random trees as discs have them: coreutils and busybox find every file as its sum says, and ssh-keygen the sums as signed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use tempfile::tempdir;
use virt_recontext::context::disc::compose::compose;
use virt_recontext::context::disc::files::File;
use virt_recontext::context::disc::format::Format;
use virt_recontext::context::disc::layer::{Layer, Owner};
use virt_recontext::context::disc::marker::{Edition, Generation, Occasion, Reason};
use virt_recontext::context::signature::{NAMESPACE, SigningKey};
use virt_recontext::host::config::Limits;

use super::keys::Keys;
use crate::site::UUID;

const SUMS: &str = "recontext.sums";

/// How many trees; `TREES` says another number.
fn trees() -> u32 {
    std::env::var("TREES").ok().and_then(|number| number.parse().ok()).unwrap_or(40)
}

/// What a name can hold that a reader of sums may take for something else.
const NAME: &str = "[a-zäß*#\\\\ '\"$.~-]{0,8}[a-z*\\\\ ]";

fn check(program: &[&str], dir: &Path, sums: &[u8]) -> bool {
    let list = dir.join("../sums");
    fs::write(&list, sums).unwrap();
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("-c").arg(&list).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().unwrap().success()
}

#[test]
fn others_find_every_file_of_a_disc_as_its_sums_say_and_these_as_they_were_signed() {
    let keys = Keys::with_key();
    let key = SigningKey::read(&keys.text("key"), None).unwrap();
    let allowed = format!("site-c namespaces=\"{NAMESPACE}\" {}", keys.text("key.pub"));
    let config = Config { cases: trees(), failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let names = vec(NAME, 1..4).prop_map(|names| names.join("/"));
    let any_tree = btree_map(names, vec(any::<u8>(), 0..200), 0..12);
    let outcome = runner.run(&(any_tree, 0..Format::ALL.len()), |(tree, format)| {
        let file = |(path, bytes): (String, Vec<u8>)| (path, File { bytes: bytes.into(), mode: 0o444 });
        let layer = Layer { owner: Owner::Vm, files: tree.into_iter().map(file).collect(), ..Layer::default() };
        let uuid = UUID.parse().unwrap();
        let occasion = Occasion {
            name: "vm",
            uuid: &uuid,
            host: None,
            edition: Edition { generation: Generation(179_540_670_612), reason: Reason::Start },
            format: Format::ALL[format],
            signer: Some("site-c"),
            new_networks: &[],
        };
        // A name that is a directory as well, or a file that the format cannot merge.
        let Ok(files) = compose(&[layer], &occasion, Limits::default().into()) else { return Ok(()) };
        let work = tempdir().unwrap();
        let dir = work.path().join("disc");
        for (path, file) in files.iter() {
            let place = dir.join(path.to_string());
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(place, file.bytes.as_slice()).unwrap();
        }
        let sums = files.get(&SUMS.parse().unwrap()).unwrap().bytes.to_vec();
        let mut paths: Vec<String> =
            files.iter().map(|(path, _)| path.to_string()).filter(|path| path != SUMS).collect();
        paths.sort();
        let printed = Command::new("sha256sum").arg("--").args(paths).current_dir(&dir).output().unwrap().stdout;
        assert_eq!(String::from_utf8_lossy(&sums), String::from_utf8_lossy(&printed));
        assert!(check(&["sha256sum", "--strict", "--quiet"], &dir, &sums), "{}", String::from_utf8_lossy(&sums));
        // It knows no escaped names.
        if !sums.contains(&b'\\') {
            assert!(check(&["busybox", "sha256sum"], &dir, &sums), "{}", String::from_utf8_lossy(&sums));
        }
        let signature = key.sign(&sums);
        assert!(keys.verified(&allowed, "site-c", &sums, &signature));
        fs::write(dir.join("recontext.json"), "{}").unwrap();
        assert!(!check(&["sha256sum", "--strict", "--quiet"], &dir, &sums), "a changed file is found");
        Ok(())
    });
    outcome.unwrap();
}
