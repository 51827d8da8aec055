//! Layers of files and facts become the files of one disc: later layers win.

use std::collections::BTreeMap;

use anyhow::{Context, Error, Result, anyhow, ensure};
use minijinja::{context, value::Serde};

use super::budget::{Budget, Limits};
use super::facts::{self, Facts};
use super::files::{File, Files, Origin};
use super::formats;
use super::layer::Layer;
use super::marker::{Edition, MARKER, Occasion, marker};
use super::path::DiscPath;
use super::sums::{self, SIGNATURE, SUMS};
use super::template::Templates;

/// The end of a template's name, left out on the disc.
pub(crate) const TEMPLATE: &str = ".j2";

/// The files of one disc from `layers`, in their order.
///
/// All facts are gathered before the first template is rendered, and what loses is never rendered, nor what is beyond the
/// `limits`. Made whole or not at all.
///
/// # Errors
/// A template that fails, a path that cannot be on a disc, a limit that is exceeded, a fact that the format cannot carry;
/// with the file's or the fact's name.
pub fn compose(layers: &[Layer], occasion: &Occasion, limits: Limits) -> Result<Files> {
    compose_judged(layers, occasion, limits, &mut Err)
}

/// The same without each file that cannot be on the disc: for that, `fault` is called, and where that fails, it is the end.
pub(crate) fn compose_judged(
    layers: &[Layer],
    occasion: &Occasion,
    limits: Limits,
    fault: &mut dyn FnMut(Error) -> Result<()>,
) -> Result<Files> {
    let mut facts = Facts::new();
    layers.iter().for_each(|layer| facts::merge(&mut facts, layer.facts.clone()));
    let mut budget = Budget::new(limits);
    let sources = sources(layers, fault)?;
    // With the marker.
    budget.check_files(sources.len() + 1)?;
    let Edition { generation, reason } = occasion.edition;
    let values = context! {
        facts => Serde(&facts),
        // Without a name where guests may know none: a template that uses it fails.
        host => occasion.host.map_or(context! {}, |name| context! { name }),
        domain => context! { name => occasion.name, uuid => occasion.uuid.to_string() },
        // A template may show a whole table, so the order counts.
        event => context! {
            reason => reason.to_string(),
            generation => generation.0,
            time => generation.moment().to_string(),
        },
    };
    let mut templates = Templates::new(values)?;
    let marker_path: DiscPath = MARKER.parse()?;
    let since_0_2: [DiscPath; 2] = [SUMS.parse()?, SIGNATURE.parse()?];
    let mut files = Files::default();
    for (path, (place, file, origin)) in sources {
        if path == marker_path || since_0_2.contains(&path) {
            let since = if path == marker_path { "" } else { ", unlike up to 0.2.0; give the file another name" };
            fault(anyhow!("{place} cannot be on the disc: /{path} is made by virt-recontext itself{since}"))?;
            continue;
        }
        let bytes = match origin.template {
            true => match templates.render(&place, &file.bytes, &mut budget) {
                Ok(bytes) => bytes.into(),
                Err(error) => {
                    fault(error)?;
                    continue;
                }
            },
            false => file.bytes.clone(),
        };
        budget.spend_bytes(bytes.len())?;
        files.insert(path, File { bytes, mode: file.mode }, origin).or_else(&mut *fault)?;
    }
    formats::complete(occasion.format, &mut files, occasion.uuid, &facts)?;
    files.make(MARKER, |_| marker(occasion, &facts))?;
    budget.check(&files)?;
    // No part of what the limits are for.
    sums::add(&mut files)?;
    Ok(files)
}

/// For each path on the disc the file that wins, with how a person finds it. Two files of one layer may not want the same
/// path.
fn sources<'l>(layers: &'l [Layer], fault: &mut dyn FnMut(Error) -> Result<()>) -> Result<Sources<'l>> {
    let mut sources = Sources::new();
    for (number, layer) in (1..).zip(layers) {
        for (name, file) in &layer.files {
            source(&mut sources, number, layer, (name, file)).or_else(&mut *fault)?;
        }
    }
    Ok(sources)
}

/// For each path the place of a file, the file, and what it is.
type Sources<'l> = BTreeMap<DiscPath, (String, &'l File, Origin)>;

fn source<'l>(sources: &mut Sources<'l>, number: usize, layer: &Layer, (name, file): (&str, &'l File)) -> Result<()> {
    let place = layer.place_of(name);
    let template = name.strip_suffix(TEMPLATE);
    let path: DiscPath = template.unwrap_or(name).parse().with_context(|| place.clone())?;
    let mut layers = sources.remove(&path).map_or(Vec::new(), |(_, _, hidden)| hidden.layers);
    let new = layers.last() != Some(&number);
    ensure!(new, "{place} is not the only file of its layer that makes /{path}; keep one");
    layers.push(number);
    sources.insert(path, (place, file, Origin { layers, template: template.is_some(), merged: false }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::format::Format;
    use crate::context::disc::layer::Owner;
    use crate::context::disc::marker::{Generation, Reason};
    use crate::context::domain::request::Request;

    const LIMITS: Limits =
        Limits { bytes: 10_000, files: 10, disc_steps: 25_000, template_steps: 10_000, template_output: 5_000 };

    fn file(path: &str, text: &str) -> (String, File) {
        (path.to_owned(), File { bytes: text.as_bytes().to_vec().into(), mode: 0o400 })
    }

    fn layer(facts: &str, files: &[(&str, &str)]) -> Layer {
        Layer {
            owner: Owner::Host("/etc".to_owned()),
            facts: facts::from_toml(facts).unwrap(),
            files: files.iter().map(|(p, t)| file(p, t)).collect(),
            ..Layer::default()
        }
    }

    fn composed(layers: Vec<Layer>) -> Result<Files> {
        composed_as(Format::Files, 179_540_670_612, layers)
    }

    fn composed_as(format: Format, generation: u64, layers: Vec<Layer>) -> Result<Files> {
        let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let edition = Edition { generation: Generation(generation), reason: Reason::Migrate };
        compose(
            &layers,
            &Occasion {
                name: "vm",
                uuid: &uuid,
                host: Some("host-b"),
                edition,
                format,
                signer: None,
                new_networks: &[],
            },
            LIMITS,
        )
    }

    fn text(files: &Files, path: &str) -> String {
        String::from_utf8(files.get(&path.parse().unwrap()).unwrap().bytes.to_vec()).unwrap()
    }

    #[test]
    fn later_layers_win_and_templates_see_all_facts() {
        let host =
            layer("site = 'a'\nport = 1", &[("endpoint.j2", "{{ facts.site }}:{{ facts.port }}"), ("motd", "host")]);
        let vm = layer("site = 'b'", &[("motd.j2", "{{ domain.name }} on {{ host.name }} by {{ event.reason }}")]);
        let tree = composed(vec![host, vm]).unwrap();
        assert_eq!(text(&tree, "endpoint"), "b:1");
        assert_eq!(text(&tree, "motd"), "vm on host-b by migrate");
        assert_eq!(
            text(&tree, "recontext.json"),
            "{\"schema\":1,\"generation\":179540670612,\"reason\":\"migrate\",\"built_at\":\"2026-11-23T04:05:06.12Z\",\
             \"domain_uuid\":\"6695eb01-f6a4-8304-79aa-97f2502e193f\",\"host_id\":\"host-b\",\
             \"facts\":{\"port\":1,\"site\":\"b\"}}\n"
        );
    }

    #[test]
    fn a_template_that_loses_is_not_rendered() {
        let tree = composed(vec![layer("", &[("a.j2", "{{ broken")]), layer("", &[("a", "fine")])]).unwrap();
        assert_eq!(text(&tree, "a"), "fine");
    }

    #[test]
    fn what_cannot_be_on_a_disc_is_an_error_that_names_it() {
        for (files, why) in [
            (vec![("../x", "")], "../x"),
            (vec![("recontext.json", "{}")], "made by virt-recontext"),
            (vec![("a", ""), ("a.j2", "")], "keep one"),
            (vec![("a", ""), ("a/b", "")], "both a file and the directory"),
            (vec![("big", &"x".repeat(10_001))], "limits.disc_size"),
            (vec![("t.j2", "\n{{ nothing }}")], "/etc/context/t.j2, line 2"),
        ] {
            let error = format!("{:#}", composed(vec![layer("", &files)]).unwrap_err());
            assert!(error.contains(why), "{error}");
        }
        let many: Vec<String> = (0..10).map(|n| n.to_string()).collect();
        let many: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "")).collect();
        assert!(composed(vec![layer("", &many)]).unwrap_err().to_string().contains("limits.files"));
    }

    #[test]
    fn the_work_of_a_disc_is_limited_and_not_only_that_of_a_template() {
        let loops = |steps: u64| format!("{{% for i in range({steps}) %}}{{% endfor %}}");
        let many = |count: usize, source: &str| {
            let names: Vec<String> = (0..count).map(|n| format!("f{n}.j2")).collect();
            let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), source)).collect();
            composed(vec![layer("", &files)]).map_err(|error| error.to_string())
        };
        assert!(many(1, &loops(2_000)).is_ok());
        let error = many(8, &loops(2_000)).unwrap_err();
        assert!(error.contains("/etc/context/f") && error.contains("limits.disc_steps allows for all"), "{error}");
        let error = many(1, &loops(10_000)).unwrap_err();
        assert!(error.contains("limits.template_steps allows"), "{error}");
        // What is too much is not made: the first that does not render is never reached.
        let error = many(10, "{{ broken").unwrap_err();
        assert!(error.contains("would hold 11 files"), "{error}");
        let big = [("a", "x".repeat(10_001)), ("b.j2", "{{ broken".to_owned())];
        let big: Vec<(&str, &str)> = big.iter().map(|(name, text)| (*name, text.as_str())).collect();
        let error = composed(vec![layer("", &big)]).unwrap_err().to_string();
        assert!(error.contains("more than limits.disc_size = 10000 bytes"), "{error}");
    }

    #[test]
    fn what_a_vm_carries_is_a_layer_of_its_own() {
        let request = Request {
            facts: vec![("monitoring.endpoint".to_owned(), "x".to_owned())],
            files: vec![("p.j2".to_owned(), "{{ facts.monitoring.endpoint }}".to_owned())],
            ..Request::default()
        };
        let tree = composed(vec![layer("[monitoring]\nport = 1", &[]), request.layer().unwrap()]).unwrap();
        assert_eq!(text(&tree, "p"), "x");
        assert_eq!(tree.get(&"p".parse().unwrap()).unwrap().mode, 0o444);
    }

    #[test]
    fn a_new_generation_changes_nothing_but_the_marker_and_its_sum() {
        for format in Format::ALL {
            let made = |generation| {
                composed_as(format, generation, vec![layer("a = 'ä'", &[("x.j2", "{{ facts.a }}")])]).unwrap()
            };
            let (old, new) = (made(1), made(2));
            for ((path, before), (_, after)) in old.iter().zip(new.iter()) {
                assert_eq!(before == after, ![MARKER, SUMS].contains(&path.to_string().as_str()), "{format}: {path}");
            }
            assert_eq!(old.iter().len(), new.iter().len());
            assert_eq!(old.origin(&MARKER.parse().unwrap()), Some(&Origin::default()));
            let rendered = Origin { layers: vec![1], template: true, merged: false };
            assert_eq!(old.origin(&"x".parse().unwrap()), Some(&rendered));
        }
    }

    #[test]
    fn what_a_format_adds_counts_and_clashes_like_any_file() {
        let files: Vec<String> = (0..9).map(|n| n.to_string()).collect();
        let files: Vec<(&str, &str)> = files.iter().map(|name| (name.as_str(), "")).collect();
        assert!(composed_as(Format::Files, 1, vec![layer("", &files)]).is_ok());
        let error = composed_as(Format::NoCloud, 1, vec![layer("", &files)]).unwrap_err();
        assert!(error.to_string().contains("limits.files"), "{error:#}");
        let error = composed_as(Format::NoCloud, 1, vec![layer("", &[("meta-data/x", "")])]).unwrap_err();
        assert!(format!("{error:#}").contains("\"meta-data\""), "{error:#}");
    }

    #[test]
    fn a_byte_order_mark_is_taken_off_what_is_read_as_data_and_stays_in_what_is_content() {
        let meta_data = "openstack/latest/meta_data.json";
        for (format, path, given, wanted) in [
            (Format::NoCloud, "meta-data", "\u{feff}{\"a\": \"x\"}", "{\n  \"a\": \"x\""),
            (Format::NoCloud, "meta-data", "\u{feff}a: x\n", "\n\"site\": \"b\"\na: x\n"),
            (Format::ConfigDrive, meta_data, "\u{feff}{\"a\": \"x\"}", "{\n  \"a\": \"x\""),
            (Format::OpenNebula, "context.sh", "\u{feff}A=x\n", "\nSITE='b'\nA=x\n"),
        ] {
            let files = [(path, given), ("plain", "\u{feff}x"), ("rendered.j2", "\u{feff}{{ facts.site }}")];
            let disc = composed_as(format, 1, vec![layer("site = 'b'", &files)]).unwrap();
            assert!(text(&disc, path).contains(wanted), "{}", text(&disc, path));
            assert_eq!(
                (text(&disc, "plain"), text(&disc, "rendered")),
                ("\u{feff}x".to_owned(), "\u{feff}b".to_owned())
            );
        }
    }

    #[test]
    fn a_template_may_be_the_file_that_a_format_merges() {
        let template = ("openstack/latest/meta_data.json.j2", "{\"availability_zone\": {{ facts.zone|tojson }}}");
        let disc = composed_as(Format::ConfigDrive, 1, vec![layer("zone = 'b'", &[template])]).unwrap();
        let made = text(&disc, "openstack/latest/meta_data.json");
        assert!(made.contains("\"availability_zone\": \"b\"") && made.contains("\"zone\": \"b\""), "{made}");
    }
}
