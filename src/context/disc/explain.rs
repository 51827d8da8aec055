//! A page that tells for each file and fact of a disc which layer it came from, and which layers it hides.

use std::fmt::{self, Write};

use super::fact_origins::FactOrigins;
use super::facts::{self, Facts};
use super::files::{Files, Origin};
use super::formats::flat::flat;
use super::layer::{Layer, Owner};

/// The layers, the files that were made of them, and the facts.
pub(crate) fn explain(layers: &[Layer], files: &Files) -> Result<String, fmt::Error> {
    let mut page = "Layers; what stands further down wins:\n".to_owned();
    let (mut facts, mut origins) = (Facts::new(), FactOrigins::default());
    for (number, layer) in (1..).zip(layers) {
        let empty = if layer.files.is_empty() && layer.facts.is_empty() { "  (nothing there)" } else { "" };
        let owner = match &layer.owner {
            Owner::Host(directory) => directory.as_str(),
            Owner::Vm => "the VM's own metadata",
        };
        writeln!(page, "  {number}  {owner}{empty}")?;
        facts::merge_noting(&mut facts, layer.facts.clone(), Some((&mut origins, number)));
    }
    let files = files.iter().filter_map(|(path, _)| Some((format!("/{path}"), file_from(files.origin(path)?))));
    table(&mut page, "Files", files.collect())?;
    let facts = flat(&facts)
        .into_iter()
        .zip(origins.flat())
        .map(|((name, value), layers)| (format!("{} = {}", on_one_line(&name), on_one_line(&value)), from(layers, "")));
    table(&mut page, "Facts", facts.collect()).map(|()| page)
}

/// Two columns under a heading.
fn table(page: &mut String, heading: &str, rows: Vec<(String, String)>) -> fmt::Result {
    let width = rows.iter().map(|(left, _)| left.chars().count()).max().unwrap_or(0);
    if !rows.is_empty() {
        writeln!(page, "\n{heading}:")?;
    }
    rows.iter().try_for_each(|(left, right)| writeln!(page, "  {left:width$}  {right}"))
}

fn file_from(Origin { layers, template, merged }: &Origin) -> String {
    let template = if *template { ", a template" } else { "" };
    let merged = if *merged { ", merged with the facts" } else { "" };
    from(layers, &format!("{template}{merged}"))
}

/// The last layer wins and hides the others.
fn from<'l>(layers: impl IntoIterator<Item = &'l usize>, how: &str) -> String {
    let mut layers: Vec<String> = layers.into_iter().map(usize::to_string).collect();
    match layers.pop() {
        None => "generated".to_owned(),
        Some(number) if layers.is_empty() => format!("layer {number}{how}"),
        Some(number) => format!("layer {number}{how}; hides layer {}", layers.join(", ")),
    }
}

/// A value on one line of bounded length.
fn on_one_line(value: &str) -> String {
    const MAX: usize = 60;
    let line: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if line.chars().count() <= MAX { line } else { line.chars().take(MAX).chain("…".chars()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::budget::Limits;
    use crate::context::disc::compose::compose;
    use crate::context::disc::files::File;
    use crate::context::disc::format::Format;
    use crate::context::disc::marker::{Edition, Generation, Occasion, Reason};

    fn layer(owner: Owner, facts: &str, files: &[(&str, &str)]) -> Layer {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec().into(), mode: 0o444 };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect();
        Layer { owner, facts: facts::from_toml(facts).unwrap(), files, ..Layer::default() }
    }

    #[test]
    fn each_file_and_fact_is_told_with_its_layer_and_those_that_it_hides() {
        let host = |dir: &str| Owner::Host(dir.to_owned());
        let layers = [
            layer(
                host("/etc/virt-recontext"),
                "site = 'a'\n[m]\nport = 1",
                &[("motd", "x"), ("endpoint.j2", "{{ facts.site }}")],
            ),
            layer(host("/etc/virt-recontext/domains/web"), "", &[]),
            layer(Owner::Vm, "site = 'b'", &[("motd.j2", "y")]),
        ];
        let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let edition = Edition { generation: Generation(1), reason: Reason::Refresh };
        let occasion = Occasion {
            name: "web",
            uuid: &uuid,
            host: None,
            edition,
            format: Format::Files,
            signer: None,
            new_networks: &[],
        };
        let limits =
            Limits { bytes: 1_000, files: 10, disc_steps: 1_000, template_steps: 1_000, template_output: 1_000 };
        let disc = compose(&layers, &occasion, limits).unwrap();
        assert_eq!(
            explain(&layers, &disc).unwrap(),
            "Layers; what stands further down wins:\n\
             \x20 1  /etc/virt-recontext\n\
             \x20 2  /etc/virt-recontext/domains/web  (nothing there)\n\
             \x20 3  the VM's own metadata\n\
             \nFiles:\n\
             \x20 /endpoint        layer 1, a template\n\
             \x20 /motd            layer 3, a template; hides layer 1\n\
             \x20 /recontext.json  generated\n\
             \x20 /recontext.sums  generated\n\
             \nFacts:\n\
             \x20 m.port = 1  layer 1\n\
             \x20 site = b    layer 3; hides layer 1\n"
        );
    }

    #[test]
    fn what_a_vm_carries_forges_no_line() {
        let forged = layer(Owner::Vm, "\"a\\n  site = b  layer 1\" = \"x\\ny\"", &[]);
        let page = explain(&[forged], &Files::default()).unwrap();
        assert_eq!(page.split_once("Facts:\n").unwrap().1, "  a   site = b  layer 1 = x y  layer 1\n");
    }

    #[test]
    fn a_fact_hides_what_merging_has_put_it_in_the_place_of() {
        let layers = ["a.b.c = 1\na.d = 1\ne = {}\n\"g.h\" = 1", "a.b = 2\ne.f = 2\ng.h = 2", "a.b.c = 3\na.d = {}"];
        let layers = layers.map(|facts| layer(Owner::Vm, facts, &[]));
        let page = explain(&layers, &Files::default()).unwrap();
        let (_, facts) = page.split_once("Facts:\n").unwrap();
        assert_eq!(
            facts,
            "\x20 a.b.c = 3  layer 3; hides layer 1, 2\n\
             \x20 a.d = {}   layer 3; hides layer 1\n\
             \x20 e.f = 2    layer 2\n\
             \x20 g.h = 2    layer 2\n\
             \x20 g.h = 1    layer 1\n"
        );
    }
}
