//! The NoCloud seed of cloud-init: `meta-data`, `user-data`, and whatever else the layers give.
//!
//! `meta-data` is JSON, which readers of YAML read. It holds `instance-id`, the domain's UUID, and every fact under its
//! own name, tables as tables. A layer's `meta-data` is merged with that, its keys win: JSON table by table; YAML, the
//! usual way to write it, key by key, its text following ours unchanged.
//!
//! A name for the guest is set by nobody but the user (`local-hostname`, as a fact or in `meta-data`): a guest that
//! has named itself must not be renamed because it has moved. `user-data` has to exist, so an empty one is made.

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::json;
use super::yaml;
use crate::context::disc::facts::{self, Facts};
use crate::context::disc::files::Files;
use crate::context::uuid::Uuid;

const META_DATA: &str = "meta-data";
const USER_DATA: &str = "user-data";
const INSTANCE_ID: &str = "instance-id";

/// Sends cloud-init elsewhere, in place of this disc.
const SEED_FROM: &str = "seedfrom";

pub(super) fn complete(disc: &mut Files, domain: &Uuid, facts: &Facts) -> Result<()> {
    disc.make(META_DATA, |given| meta_data(given, domain, facts))?;
    let given = disc.get(&USER_DATA.parse()?).is_some();
    if given { Ok(()) } else { disc.make(USER_DATA, |_| Ok(Vec::new())) }
}

fn meta_data(given: Option<&[u8]>, domain: &Uuid, facts: &Facts) -> Result<Vec<u8>> {
    for (name, why) in [
        (INSTANCE_ID, "that is the domain's UUID, on every host"),
        (SEED_FROM, "it makes cloud-init read another place than this disc"),
    ] {
        ensure!(!facts.contains_key(name), "the fact {name:?} cannot be: in meta-data {why}");
    }
    let given = given.unwrap_or_default();
    let mut all = facts.clone();
    if given.trim_ascii().is_empty() || given.trim_ascii_start().starts_with(b"{") {
        let given = json::read(given).context("merging a layer's meta-data with the facts")?;
        let is_the_domains = |id: &Value| id.as_str().is_some_and(|id| domain.is_meant_by(id));
        ensure!(given.get(INSTANCE_ID).is_none_or(is_the_domains), other_identity(domain));
        facts::merge(&mut all, given);
        return json::write(&identified(all, domain)?);
    }
    let given = yaml::read(given).context("merging a layer's meta-data with the facts")?;
    let mut all = identified(all, domain)?;
    for (key, value) in &given.keys {
        let same = domain.is_meant_by(value.trim_matches(['"', '\'']));
        ensure!(*key != INSTANCE_ID || same, other_identity(domain));
        all.remove(*key);
    }
    let mut bytes = json::write_lines(&all)?;
    // Another way to write the same UUID would be another instance to the guest.
    bytes.extend_from_slice(given.text_with(INSTANCE_ID, &domain.to_string()).as_bytes());
    Ok(bytes)
}

/// All keys with the identity, checked.
fn identified(mut all: Facts, domain: &Uuid) -> Result<Facts> {
    all.insert(INSTANCE_ID.to_owned(), Value::from(domain.to_string()));
    if let Some(name) = json::too_long_for_yaml(&all) {
        let begin: String = name.chars().take(60).collect();
        bail!("the fact {begin:?}… cannot be in meta-data: YAML takes names of 1022 characters at most");
    }
    Ok(all)
}

fn other_identity(domain: &Uuid) -> String {
    format!(
        "{INSTANCE_ID:?} in a layer's meta-data must be the domain's UUID, {domain}, or be left out: with another one the \
         guest would be set up anew"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::files::{File, Origin};

    const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    fn completed(facts: &str, files: &[(&str, &str)]) -> Result<Files> {
        let mut disc = Files::default();
        for (path, text) in files {
            let origin = Origin { layers: vec![1], ..Origin::default() };
            disc.insert(path.parse()?, File { bytes: text.as_bytes().to_vec().into(), mode: 0o400 }, origin)?;
        }
        complete(&mut disc, &UUID.parse()?, &facts::from_toml(facts)?)?;
        Ok(disc)
    }

    fn text<'d>(disc: &'d Files, path: &str) -> &'d str {
        std::str::from_utf8(&disc.get(&path.parse().unwrap()).unwrap().bytes).unwrap()
    }

    #[test]
    fn facts_stand_in_meta_data_beside_the_identity_and_no_host_name() {
        let disc = completed("zone = 'b'\n[monitoring]\nport = 9100", &[]).unwrap();
        let wanted = format!(
            "{{\n  \"instance-id\": \"{UUID}\",\n  \"monitoring\": {{\"port\": 9100}},\n  \"zone\": \"b\"\n}}\n"
        );
        assert_eq!(text(&disc, "meta-data"), wanted);
        assert_eq!(text(&disc, "user-data"), "");
        assert_eq!(disc.iter().len(), 2, "network-config and vendor-data come from the layers alone");
        assert_eq!(disc.origin(&"meta-data".parse().unwrap()), Some(&Origin::default()));
    }

    #[test]
    fn a_given_meta_data_is_merged_and_wins_and_keeps_its_mode() {
        let given = r#"{"local-hostname": "web", "monitoring": {"port": 1}}"#;
        let files = [("meta-data", given), ("user-data", "#cloud-config\n")];
        let disc = completed("[monitoring]\nport = 9100\nhost = 'm'", &files).unwrap();
        assert_eq!(
            text(&disc, "meta-data"),
            format!(
                "{{\n  \"instance-id\": \"{UUID}\",\n  \"local-hostname\": \"web\",\n  \
                 \"monitoring\": {{\"host\": \"m\", \"port\": 1}}\n}}\n"
            )
        );
        assert_eq!(disc.get(&"meta-data".parse().unwrap()).unwrap().mode, 0o400);
        assert!(disc.origin(&"meta-data".parse().unwrap()).unwrap().merged);
        assert!(!disc.origin(&"user-data".parse().unwrap()).unwrap().merged);
    }

    #[test]
    fn a_given_meta_data_in_yaml_follows_the_facts_and_wins() {
        let given = format!("# mine\nlocal-hostname: web\nzone: c\ninstance-id: '{UUID}'\n");
        let disc = completed("zone = 'b'\n[monitoring]\nport = 9100", &[("meta-data", &given)]).unwrap();
        assert_eq!(text(&disc, "meta-data"), format!("\"monitoring\": {{\"port\": 9100}}\n{given}"));
        let disc = completed("zone = 'b'", &[("meta-data", "a: b")]).unwrap();
        assert_eq!(text(&disc, "meta-data"), format!("\"instance-id\": \"{UUID}\"\n\"zone\": \"b\"\na: b"));
    }

    #[test]
    fn the_identity_is_written_in_one_way_however_it_is_given() {
        for given in [UUID.to_uppercase(), UUID.replace('-', ""), UUID.to_owned()] {
            let disc = completed("", &[("meta-data", &format!("{{\"instance-id\": \"{given}\"}}"))]).unwrap();
            assert_eq!(text(&disc, "meta-data"), text(&completed("", &[]).unwrap(), "meta-data"));
            let yaml = |id: &str| format!("# {id}\na: {given}\n\"instance-id\":  {id} \r\nb:\n- {given}\n");
            let disc = completed("", &[("meta-data", &yaml(&given))]).unwrap();
            assert_eq!(text(&disc, "meta-data"), yaml(UUID).replacen(UUID, &given, 1));
            let disc = completed("", &[("meta-data", &format!("instance-id: '{given}'"))]).unwrap();
            assert_eq!(text(&disc, "meta-data"), format!("instance-id: '{UUID}'"));
        }
    }

    #[test]
    fn the_identity_is_the_domains_and_nobody_elses() {
        assert!(completed("", &[("meta-data", &format!("{{\"instance-id\": \"{UUID}\"}}"))]).is_ok());
        for (facts, given, why) in [
            ("instance-id = 'x'", "", "the fact \"instance-id\""),
            ("seedfrom = '/x/'", "", "the fact \"seedfrom\""),
            ("", "{\"instance-id\": \"i-1\"}", UUID),
            ("", "a: 1\n\"instance-id\": i-1\n", UUID),
            ("", "- instance-id: i-1\n", "line 1, \"- instance-id: i-1\", is not of the simple YAML"),
            ("", "{a: 1}", "not JSON"),
            (&format!("[a]\n{} = 1", "x".repeat(1023)), "", "the fact \"a.xx"),
        ] {
            let error = format!("{:#}", completed(facts, &[("meta-data", given)]).unwrap_err());
            assert!(error.contains(why) && error.contains("/meta-data"), "{error}");
        }
    }
}
