//! ISO 9660 + Rock Ridge + Joliet.
#![allow(missing_docs)]
use crate::context::tree::Tree;
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label(String);
impl std::str::FromStr for Label {
    type Err = std::fmt::Error;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Ok(Label(s.into()))
    }
}
impl std::fmt::Display for Label {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
#[derive(Debug, Clone, Copy)]
pub struct VolumeDate;
impl VolumeDate {
    pub fn from_unix_centis(_: u64) -> Self {
        VolumeDate
    }
}
pub struct Image<'t>(&'t Tree);
#[derive(Debug)]
pub struct Unrepresentable;
impl std::fmt::Display for Unrepresentable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("x")
    }
}
impl std::error::Error for Unrepresentable {}
impl<'t> Image<'t> {
    pub fn new(tree: &'t Tree, _: &Label, _: VolumeDate) -> Result<Image<'t>, Unrepresentable> {
        Ok(Image(tree))
    }
    pub fn len(&self) -> u64 {
        1 << 20
    }
    pub fn write_to(&self, out: &mut impl std::io::Write) -> std::io::Result<()> {
        for (p, f) in self.0.iter() {
            writeln!(out, "{p}")?;
            out.write_all(&f.bytes)?;
        }
        Ok(())
    }
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut v = Vec::new();
        let _ = self.write_to(&mut v);
        v
    }
}
