//! What one owner gives for a disc: facts and files. Of several layers, later ones win.

use super::facts::Facts;
use super::files::File;

/// A longer name, in bytes, is told by its beginning.
const LONG: usize = 1024;

/// Whose a layer is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Owner {
    /// The host's: this directory of its configuration.
    Host(String),
    /// The VM's own: its metadata.
    #[default]
    Vm,
}

/// What one owner contributes.
#[derive(Debug, Default)]
pub struct Layer {
    /// Whose it is.
    pub owner: Owner,
    /// Named values; templates see those of all layers.
    pub facts: Facts,
    /// Path in the layer, content and mode. A path that ends in `.j2` is a template.
    pub files: Vec<(String, File)>,
    /// What lies there and does not count, by its name: an editor's swap file, a package's other version.
    pub left_over: Vec<String>,
    /// Directories without anything in them that counts, as a person finds them; a disc has none.
    pub empty: Vec<String>,
}

impl Layer {
    /// How a person finds its file that is called `name`.
    pub(crate) fn place_of(&self, name: &str) -> String {
        match &self.owner {
            Owner::Host(directory) => format!("{directory}/context/{name}"),
            Owner::Vm if name.len() > LONG => {
                let begin: String = name.chars().take(60).collect();
                format!("{begin}… in the VM's metadata")
            }
            Owner::Vm => format!("{name} in the VM's metadata"),
        }
    }
}
