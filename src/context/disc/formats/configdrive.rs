//! OpenStack's config drive, version 2: `openstack/latest/meta_data.json`, and whatever else the layers give.
//!
//! `meta_data.json` holds `uuid`, the domain's UUID, and under `meta` every fact: names with dots between the levels,
//! values as text (anything but text as compact JSON), because readers expect a flat map of texts there. A layer's
//! `openstack/latest/meta_data.json` is merged over that, its keys win. `hostname` and `name` are left to the user.
//!
//! Nothing but `latest` may be below `openstack/`, apart from what it points to: a reader that finds a dated
//! directory that it knows prefers it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::flat;
use super::json;
use crate::context::disc::facts::{self, Facts};
use crate::context::disc::files::Files;
use crate::context::disc::path::DiscPath;
use crate::context::uuid::Uuid;

const META_DATA: &str = "openstack/latest/meta_data.json";
const UUID: &str = "uuid";
const META: &str = "meta";

/// The only key in `meta` that cloud-init acts on.
const DSMODE: &str = "dsmode";

pub(super) fn complete(disc: &mut Files, domain: &Uuid, facts: &Facts) -> Result<()> {
    if let Some((path, _)) = disc.iter().find(|(path, _)| is_dated(path)) {
        anyhow::bail!("/{path} would hide openstack/latest from the guest; put it there");
    }
    disc.make(META_DATA, |given| meta_data(given, domain, facts))
}

/// Whether the path lies in a directory such as `openstack/2018-08-27`.
fn is_dated(path: &DiscPath) -> bool {
    let [openstack, version, _, ..] = path.names() else { return false };
    let fits = |(at, byte): (usize, u8)| if matches!(at, 4 | 7) { byte == b'-' } else { byte.is_ascii_digit() };
    openstack == "openstack" && version.len() == 10 && version.bytes().enumerate().all(fits)
}

fn meta_data(given: Option<&[u8]>, domain: &Uuid, facts: &Facts) -> Result<Vec<u8>> {
    let mut meta = Facts::new();
    for (name, text) in flat::flat(facts) {
        ensure!(
            name != DSMODE,
            "the fact {DSMODE:?} cannot be: in \"meta\" it tells cloud-init whether to work at all"
        );
        let before = meta.insert(name.clone(), Value::from(text));
        ensure!(before.is_none(), "two facts are called {name:?}: one by a dot in its name, one by its table");
    }
    let mut all = Facts::new();
    all.insert(META.to_owned(), Value::Object(meta));
    if let Some(given) = given {
        let given = json::read(given).context("reading a layer's meta_data.json")?;
        let identity = given.get(UUID).is_none_or(|uuid| uuid.as_str().is_some_and(|uuid| domain.is_meant_by(uuid)));
        ensure!(
            identity,
            "{UUID:?} in a layer's meta_data.json must be the domain's, {domain}, or be left out: with another one \
             the guest would be set up anew"
        );
        ensure!(
            given.get(META).is_none_or(Value::is_object),
            "{META:?} in a layer's meta_data.json is not an object, so the facts cannot be merged into it"
        );
        facts::merge(&mut all, given);
    }
    all.insert(UUID.to_owned(), Value::from(domain.to_string()));
    json::write(&all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::files::{File, Origin};

    const DOMAIN: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    fn completed(facts: &str, path: &str, given: &str) -> Result<(String, Origin)> {
        let mut disc = Files::default();
        if !path.is_empty() {
            let origin = Origin { layers: vec![1], ..Origin::default() };
            disc.insert(path.parse()?, File { bytes: given.as_bytes().to_vec().into(), mode: 0o400 }, origin)?;
        }
        complete(&mut disc, &DOMAIN.parse()?, &facts::from_json(facts)?)?;
        let path = META_DATA.parse()?;
        let bytes = disc.get(&path).map(|file| file.bytes.to_vec()).unwrap_or_default();
        Ok((String::from_utf8(bytes)?, disc.origin(&path).cloned().unwrap_or_default()))
    }

    #[test]
    fn facts_are_a_flat_map_of_texts_beside_the_identity() {
        let (text, origin) = completed(r#"{"monitoring": {"port": 9100}, "zone": "b", "l": [1]}"#, "", "").unwrap();
        let wanted = format!(
            "{{\n  \"meta\": {{\"l\": \"[1]\", \"monitoring.port\": \"9100\", \"zone\": \"b\"}},\n  \"uuid\": \"{DOMAIN}\"\n}}\n"
        );
        assert_eq!((text, origin), (wanted, Origin::default()));
    }

    #[test]
    fn a_given_file_is_merged_and_wins() {
        let given = r#"{"hostname": "web", "meta": {"zone": "c", "role": "web"}}"#;
        let (text, origin) = completed(r#"{"zone": "b", "site": "s"}"#, META_DATA, given).unwrap();
        let wanted = format!(
            "{{\n  \"hostname\": \"web\",\n  \"meta\": {{\"role\": \"web\", \"site\": \"s\", \"zone\": \"c\"}},\n  \
             \"uuid\": \"{DOMAIN}\"\n}}\n"
        );
        assert_eq!((text, origin.merged), (wanted, true));
    }

    #[test]
    fn the_domains_uuid_may_be_given_however_it_is_written() {
        for given in [DOMAIN.to_uppercase(), DOMAIN.replace('-', "")] {
            let given = format!("{{\"uuid\": \"{given}\"}}");
            assert_eq!(completed("{}", META_DATA, &given).unwrap().0, completed("{}", "", "").unwrap().0);
        }
    }

    #[test]
    fn what_contradicts_the_format_is_an_error_that_names_it() {
        for (facts, path, given, why) in [
            (r#"{"dsmode": "x"}"#, "", "", "the fact \"dsmode\""),
            (r#"{"a.b": 1, "a": {"b": 2}}"#, "", "", "two facts are called \"a.b\""),
            ("{}", META_DATA, r#"{"uuid": "x"}"#, DOMAIN),
            ("{}", META_DATA, r#"{"meta": []}"#, "not an object"),
            ("{}", META_DATA, "a: b", "not JSON"),
            ("{}", "openstack/2018-08-27/user_data", "", "/openstack/2018-08-27/user_data"),
        ] {
            let error = format!("{:#}", completed(facts, path, given).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        assert!(completed("{}", "openstack/content/0000", "").is_ok());
    }
}
