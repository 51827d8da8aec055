//! What a reader found on a disc, and whether that is what we put there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use virt_recontext::context::disc::files::File;
use virt_recontext::context::disc::path::DiscPath;

use super::samples::Sample;

/// What a program found: paths, contents and permission bits.
#[derive(Default)]
pub struct ReadBack {
    pub files: Vec<(String, Vec<u8>, u32)>,
    /// Permission bits of all directories but the top one.
    pub directories: Vec<(String, u32)>,
}

impl ReadBack {
    /// Everything below `dir`, where a program has unpacked a disc. Makes the directories writable.
    pub fn from_directory(dir: &Path) -> Self {
        let mut found = ReadBack::default();
        found.collect(dir, "");
        found
    }

    fn collect(&mut self, dir: &Path, above: &str) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = if above.is_empty() { name } else { format!("{above}/{name}") };
            let mode = entry.metadata().unwrap().permissions().mode() & 0o7777;
            if entry.file_type().unwrap().is_dir() {
                fs::set_permissions(entry.path(), Permissions::from_mode(0o755)).unwrap();
                self.collect(&entry.path(), &path);
                self.directories.push((path, mode));
            } else {
                self.files.push((path, fs::read(entry.path()).unwrap(), mode));
            }
        }
    }

    /// Fails unless these are exactly the files of `sample`, with their names, contents and modes.
    pub fn assert_is(mut self, sample: &Sample) {
        let all = sample.tree.iter();
        let expected = all.map(|(path, file)| (path.to_string(), file.bytes.to_vec(), u32::from(file.mode)));
        let mut expected: Vec<_> = expected.collect();
        expected.sort();
        self.files.sort();
        same_files(sample, &expected, &self.files);
        for (path, mode) in self.directories {
            assert_eq!(mode, 0o555, "{}: directory {path:?}", sample.name);
        }
    }

    /// Fails unless these are the files of `sample` under the names that Joliet gives them, whatever their modes.
    ///
    /// Names that Joliet can hold must be the same; of the other files only the contents are compared.
    pub fn assert_is_joliet(self, sample: &Sample) {
        self.assert_is_joliet_shown_as(sample, |name| name.to_owned());
    }

    /// The same for a reader that shows each path as `shown` makes it.
    pub fn assert_is_joliet_shown_as(self, sample: &Sample, shown: impl Fn(&str) -> String) {
        let mut left: BTreeMap<(String, Vec<u8>), usize> = BTreeMap::new();
        let count = self.files.len();
        for (path, bytes, _) in self.files {
            *left.entry((path, bytes)).or_default() += 1;
        }
        // Of what is called the same but for its case, as a directory above it may be, one keeps its name.
        let mut called: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (path, _) in sample.tree.iter() {
            for depth in 1..=path.names().len() {
                let name = path.names()[..depth].join("/");
                called.entry(name.to_lowercase()).or_default().insert(name);
            }
        }
        let is_kept = |(path, _): &(&DiscPath, &File)| {
            let names = path.names();
            let alone = |depth: usize| called[&names[..depth].join("/").to_lowercase()].len() == 1;
            names.iter().all(|name| joliet_holds(name)) && (1..=names.len()).all(alone)
        };
        let (kept, changed): (Vec<_>, Vec<_>) = sample.tree.iter().partition(is_kept);
        assert_eq!(count, kept.len() + changed.len(), "{}: number of files", sample.name);
        for (path, file) in kept {
            let found = left.get_mut(&(shown(&path.to_string()), file.bytes.to_vec())).filter(|count| **count > 0);
            *found.unwrap_or_else(|| panic!("{}: {path} is missing or different", sample.name)) -= 1;
        }
        let rest = left.into_iter().flat_map(|((_, bytes), count)| std::iter::repeat_n(bytes, count));
        let mut rest: Vec<_> = rest.collect();
        let mut expected: Vec<_> = changed.into_iter().map(|(_, file)| file.bytes.to_vec()).collect();
        rest.sort();
        expected.sort();
        assert!(rest == expected, "{}: contents of files whose names Joliet cannot hold", sample.name);
    }
}

/// Whether a name is promised to be the same in Joliet.
fn joliet_holds(name: &str) -> bool {
    name.encode_utf16().count() <= 64
        && name.chars().all(|c| u32::from(c) <= 0xFFFF && !"*/:;?\\\"<>|".contains(c))
        && !name.ends_with(['.', ' '])
}

fn same_files(sample: &Sample, expected: &[(String, Vec<u8>, u32)], found: &[(String, Vec<u8>, u32)]) {
    let listed = |files: &[(String, Vec<u8>, u32)]| {
        let line =
            |(path, bytes, mode): &(String, Vec<u8>, u32)| format!("{path:?}, {} bytes, mode {mode:o}", bytes.len());
        files.iter().map(line).collect::<Vec<_>>()
    };
    let (wanted, got) = (listed(expected), listed(found));
    let missing: Vec<_> = wanted.iter().filter(|line| !got.contains(line)).take(5).collect();
    let surplus: Vec<_> = got.iter().filter(|line| !wanted.contains(line)).take(5).collect();
    assert!(wanted == got, "{}: missing {missing:#?}, found instead {surplus:#?}", sample.name);
    let different = expected.iter().zip(found).find(|(a, b)| a != b).map(|(a, _)| &a.0);
    assert_eq!(different, None, "{}: content", sample.name);
}
