//! The trees that every reader gets.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use virt_recontext::context::disc::files::{File, Files, Origin};
use virt_recontext::context::iso9660::Image;
use virt_recontext::context::iso9660::date::VolumeDate;

/// How many random trees there are, with the seeds 0, 1, 2 and so on.
const RANDOM: u64 = 30;

/// A tree and how its disc is called and dated.
pub struct Sample {
    /// For messages: what is special, or the seed.
    pub name: String,
    pub tree: Files,
    pub label: &'static str,
    pub centis: u64,
    /// What blkid makes of `centis`.
    pub uuid: &'static str,
}

impl Sample {
    fn new(name: &str, label: &'static str, files: Vec<(String, Vec<u8>, u16)>) -> Self {
        let mut tree = Files::default();
        for (path, bytes, mode) in files {
            tree.insert(path.parse().unwrap(), File { bytes: bytes.into(), mode }, Origin::default()).unwrap();
        }
        Sample { name: name.to_owned(), tree, label, centis: 179_539_577_642, uuid: "2026-11-23-01-02-56-42" }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let date = VolumeDate::from_unix_centis(self.centis);
        Image::new(&self.tree, &self.label.parse().unwrap(), date).unwrap().to_bytes()
    }
}

/// All samples.
pub fn all() -> Vec<Sample> {
    let mut all = vec![small(), nasty(), emoji(), Sample::new("empty", "a", Vec::new())];
    all.extend((0..RANDOM).map(random));
    all
}

/// Gives each sample and its disc to `judge`, with a directory to work in.
pub fn each(judge: impl Fn(&Sample, &Path, &Path)) {
    let work = TempDir::new().unwrap();
    for (sample, disc) in written(work.path()) {
        let dir = work.path().join("work");
        fs::create_dir(&dir).unwrap();
        judge(&sample, &disc, &dir);
        fs::remove_dir_all(&dir).unwrap();
    }
}

/// All samples, with their discs written into `dir`.
pub fn written(dir: &Path) -> Vec<(Sample, PathBuf)> {
    let write = |(number, sample): (usize, Sample)| {
        let disc = dir.join(format!("{number}.iso"));
        fs::write(&disc, sample.bytes()).unwrap();
        (sample, disc)
    };
    all().into_iter().enumerate().map(write).collect()
}

/// What most discs look like.
fn small() -> Sample {
    let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec(), 0o444);
    Sample::new(
        "small",
        "config-2",
        vec![
            file("meta-data", "instance-id: 6f1d\n"),
            file("user-data", "#cloud-config\n"),
            file("network-config", "version: 2\n"),
            file("vendor-data", ""),
            file("openstack/latest/meta_data.json", "{}\n"),
            file("recontext.json", "{\"schema\": 1}\n"),
        ],
    )
}

/// Everything that is known to trip writers or readers.
fn nasty() -> Sample {
    let mut files: Vec<(String, Vec<u8>, u16)> = Vec::new();
    let mut file = |path: &str, mode: u16| {
        let content = format!("this is {path}\n").into_bytes();
        files.push((path.to_owned(), content, mode));
    };
    // All the same in 8.3, and differing from each other before and after the dot.
    for name in
        ["meta-data", "meta_data", "meta-data.json", "meta_data.json", "META_DATA", "metadata", "a.b.c", "a-b.c"]
    {
        file(name, 0o444);
    }
    // Lengths around those where Rock Ridge and Joliet change how they store names.
    for len in [62, 63, 64, 65, 97, 133, 134, 135, 136, 137, 138, 139, 140, 204, 249, 250, 251, 252, 253] {
        file(&format!("{len:n<len$}"), 0o444);
        file(&format!("long/{len:n<width$}.txt", width = len - 4), 0o444);
    }
    // Equal in their first 64 characters and 250 bytes.
    for end in ["a", "b", "c"] {
        file(&format!("long/{}{end}", "same".repeat(62)), 0o444);
    }
    file("größe-данные-日本語.txt", 0o444);
    file(&"日".repeat(84), 0o444);
    file(".hidden", 0o444);
    file(".hidden.d/.x", 0o444);
    file("with  two spaces", 0o444);
    file(" space first", 0o444);
    file("'quotes\" and $(echo it)", 0o444);
    file("-rf", 0o444);
    file("a*b:c;d?e\\f", 0o444);
    file("a_b_c_d_e_f", 0o444);
    file("<a> | \"b\"", 0o444);
    file("version;1", 0o444);
    // One to who does not look at case.
    for path in ["case/x", "Case/x", "case/README", "case/Readme", "case/readme~1", "case/ä", "case/Ä"] {
        file(path, 0o444);
    }
    file("dot at the end.", 0o444);
    file("d.o.t.s/dir.with.dots/...", 0o444);
    for mode in [0o400, 0o440, 0o444, 0o500, 0o555] {
        file(&format!("modes/{mode:o}"), mode);
    }
    file("1/2/3/4/5/6/7/eighth", 0o444);
    for number in 0..3000 {
        file(&format!("many/entry-{number}.conf"), 0o444);
    }
    for number in 0..300 {
        file(&format!("directories/{number}/x"), 0o444);
    }
    for size in [0, 1, 2047, 2048, 2049, 5 << 20] {
        files.push((format!("sizes/{size}"), noise(size, size as u64), 0o444));
    }
    files.push(("sizes/zeros".to_owned(), vec![0; 5000], 0o444));
    Sample { centis: 0, uuid: "1970-01-01-00-00-00-00", ..Sample::new("nasty", "RECONTEXT", files) }
}

/// Names that Joliet cannot hold.
fn emoji() -> Sample {
    let file = |path: &str| (path.to_owned(), path.as_bytes().to_vec(), 0o444);
    let files = ["😀", "😁", "😀😁.txt", "dir 𝄞/𝄞", "dir 🎵/𝄞", "_"];
    Sample::new("outside the basic plane", "0123456789_-abcD", files.map(file).to_vec())
}

/// Up to 300 files, some of them deep, with sizes around those of blocks.
fn random(seed: u64) -> Sample {
    let mut random = Random(seed);
    let mut sample = Sample::new(&format!("random tree with seed {seed}"), "cidata", Vec::new());
    for _ in 0..random.below(300) {
        let depth = 1 + random.below(8).min(random.below(8));
        let path: Vec<String> = (0..depth).map(|_| name(&mut random)).collect();
        let size = [0, 1, 700, 2047, 2048, 2049, 9000][random.below(7) as usize];
        let bytes = noise(size, random.next());
        let mode = [0o400, 0o444, 0o555][random.below(3) as usize];
        // What another file's directory is already called that way is left out.
        let _ =
            sample.tree.insert(path.join("/").parse().unwrap(), File { bytes: bytes.into(), mode }, Origin::default());
    }
    sample
}

/// Mostly short, from a small alphabet, so that many are equal and many collide when they are cut.
/// No combining characters: bsdtar composes those of Joliet names, as macOS would want it.
fn name(random: &mut Random) -> String {
    const ALPHABET: [char; 20] =
        ['a', 'A', 'b', 'B', 'z', '0', '9', '_', '-', '~', '+', ' ', '.', ';', ':', 'ß', 'д', '本', '€', '😀'];
    let longest = [1, 2, 9, 20, 63][random.below(5) as usize];
    loop {
        let len = 1 + random.below(longest) as usize;
        let name: String = (0..len).map(|_| ALPHABET[random.below(20) as usize]).collect();
        if name != "." && name != ".." && name.len() <= 253 {
            return name;
        }
    }
}

fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..size.div_ceil(8)).flat_map(|_| random.next().to_le_bytes()).take(size).collect()
}

/// The splitmix64 generator.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ (b >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
