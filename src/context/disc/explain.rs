//! Tells for each file and fact of a disc which layer it came from, and which layers it hides.

use std::fmt::{self, Write};

use super::compose::{Layer, Owner, path_of};
use super::composed::{Composed, Origin};
use super::facts::{self, Facts};
use super::formats::flat::flat;
use super::path::DiscPath;

/// A page for a person: the layers, the files and the facts.
///
/// # Errors
/// None in practice: writing to a text does not fail.
pub fn explain(layers: &[Layer], disc: &Composed) -> Result<String, fmt::Error> {
    let mut page = "Layers; what stands further down wins:\n".to_owned();
    for (number, layer) in numbered(layers) {
        let empty = if layer.files.is_empty() && layer.facts.is_empty() { "  (nothing there)" } else { "" };
        let owner = match &layer.owner {
            Owner::Host(directory) => directory.as_str(),
            Owner::Vm => "the VM's own metadata",
        };
        writeln!(page, "  {number}  {owner}{empty}")?;
    }
    let files: Vec<_> =
        disc.tree().iter().map(|(path, _)| (format!("/{path}"), file_from(layers, disc, path))).collect();
    table(&mut page, "Files", files)?;
    let mut all = Facts::new();
    layers.iter().for_each(|layer| facts::merge(&mut all, layer.facts.clone()));
    let facts = flat(&all).into_iter().map(|(name, value)| {
        let from = fact_from(layers, &name);
        (format!("{name} = {}", on_one_line(&value)), from)
    });
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

fn numbered(layers: &[Layer]) -> impl Iterator<Item = (usize, &Layer)> {
    layers.iter().enumerate().map(|(index, layer)| (index + 1, layer))
}

fn file_from(layers: &[Layer], disc: &Composed, path: &DiscPath) -> String {
    let sources = numbered(layers).flat_map(|(number, layer)| layer.files.iter().map(move |(name, _)| (number, name)));
    let sources: Vec<_> = sources.filter(|(_, name)| path_of(name).as_ref() == Ok(path)).collect();
    let Some(((number, name), hidden)) = sources.split_last() else { return "generated".to_owned() };
    let template = if path.to_string() == **name { "" } else { ", a template" };
    let merged = if disc.origin(path) == Some(Origin::Merged) { ", merged with the facts" } else { "" };
    format!("layer {number}{template}{merged}{}", hides(hidden.iter().map(|(number, _)| *number)))
}

fn fact_from(layers: &[Layer], name: &str) -> String {
    let has = |layer: &Layer| flat(&layer.facts).iter().any(|(other, _)| other == name);
    let with: Vec<usize> = numbered(layers).filter(|(_, layer)| has(layer)).map(|(number, _)| number).collect();
    match with.split_last() {
        Some((number, hidden)) => format!("layer {number}{}", hides(hidden.iter().copied())),
        // An empty table over one with facts changes nothing, so whatever is in the end is in a layer.
        None => String::new(),
    }
}

fn hides(layers: impl Iterator<Item = usize>) -> String {
    let layers: Vec<String> = layers.map(|number| number.to_string()).collect();
    if layers.is_empty() { String::new() } else { format!("; hides layer {}", layers.join(", ")) }
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
    use crate::context::disc::compose::{Limits, Occasion, compose};
    use crate::context::disc::format::Format;
    use crate::context::disc::marker::{Edition, Generation, Reason};
    use crate::context::disc::tree::File;

    fn layer(owner: Owner, facts: &str, files: &[(&str, &str)]) -> Layer {
        let file = |text: &str| File { bytes: text.as_bytes().to_vec().into(), mode: 0o444 };
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), file(text))).collect();
        Layer { owner, facts: facts::from_toml(facts).unwrap(), files }
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
        let occasion = Occasion { name: "web", uuid: &uuid, host: None, edition, format: Format::Files };
        let limits = Limits { bytes: 1_000, files: 10, template_steps: 1_000, template_output: 1_000 };
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
             \nFacts:\n\
             \x20 m.port = 1  layer 1\n\
             \x20 site = b    layer 3; hides layer 1\n"
        );
    }
}
