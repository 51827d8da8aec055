//! What the writer promises to its callers.

use std::io::{self, IoSlice, Write};

use virt_recontext::context::disc::files::{File, Files, Origin};
use virt_recontext::context::disc::path::DiscPath;
use virt_recontext::context::iso9660::Image;
use virt_recontext::context::iso9660::date::VolumeDate;
use virt_recontext::context::iso9660::label::Label;
use virt_recontext::context::iso9660::unrepresentable::Unrepresentable;

use super::samples;

const MIB: u64 = 1 << 20;

fn label() -> Label {
    "RECONTEXT".parse().unwrap()
}

fn date() -> VolumeDate {
    VolumeDate::from_unix_centis(179_539_577_642)
}

fn tree<'p>(paths: impl IntoIterator<Item = &'p str>) -> Files {
    let mut tree = Files::default();
    for path in paths {
        tree.insert(
            path.parse().unwrap(),
            File { bytes: path.as_bytes().to_vec().into(), mode: 0o444 },
            Origin::default(),
        )
        .unwrap();
    }
    tree
}

fn refused(tree: &Files) -> Unrepresentable {
    Image::new(tree, &label(), date()).expect_err("the tree should be refused")
}

#[test]
fn the_same_input_gives_the_same_bytes_in_whatever_order_it_was_collected() {
    for sample in samples::all() {
        let mut reversed = Files::default();
        for (path, file) in sample.tree.iter().collect::<Vec<_>>().into_iter().rev() {
            reversed.insert(path.clone(), file.clone(), Origin::default()).unwrap();
        }
        let bytes = sample.bytes();
        assert!(bytes == samples::Sample { tree: reversed, ..sample }.bytes());
    }
}

#[test]
fn another_date_changes_the_disc_and_nothing_of_its_size() {
    let tree = tree(["a", "b/c"]);
    let later = Image::new(&tree, &label(), VolumeDate::from_unix_centis(179_539_577_643)).unwrap();
    let image = Image::new(&tree, &label(), date()).unwrap();
    assert_ne!(image.to_bytes(), later.to_bytes());
    assert_eq!(image.len(), later.len());
}

#[test]
fn a_disc_is_whole_mebibytes_and_says_so_itself() {
    for size in [0, 1, MIB - (100 << 10), MIB, 3 * MIB] {
        let mut tree = Files::default();
        tree.insert(
            "a".parse().unwrap(),
            File { bytes: vec![1; size as usize].into(), mode: 0o444 },
            Origin::default(),
        )
        .unwrap();
        let image = Image::new(&tree, &label(), date()).unwrap();
        assert_eq!(image.len() % MIB, 0);
        assert!(image.len() > size && image.len() <= size + MIB + (64 << 10));
        let bytes = image.to_bytes();
        assert_eq!(bytes.len() as u64, image.len());
        for descriptor in [16, 17] {
            let field = &bytes[descriptor * 2048 + 80..][..4];
            assert_eq!(u64::from(u32::from_le_bytes(field.try_into().unwrap())) * 2048, image.len());
        }
    }
}

#[test]
fn what_is_not_written_is_only_zeros() {
    for sample in samples::all() {
        let image = Image::new(&sample.tree, &label(), date()).unwrap();
        let mut written = Vec::new();
        image.write_to(&mut written).unwrap();
        let bytes = image.to_bytes();
        let (first, padding) = bytes.split_at(written.len());
        assert!(first == written, "{}", sample.name);
        assert!(padding.iter().all(|byte| *byte == 0), "{}", sample.name);
        assert!(padding.len() < MIB as usize, "{}", sample.name);
    }
}

#[test]
fn a_disc_is_written_in_a_few_large_writes() {
    struct Counting(usize);
    impl Write for Counting {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += 1;
            Ok(bytes.len())
        }
        fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0 += 1;
            Ok(pieces.iter().map(|piece| piece.len()).sum())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let small = tree(["meta-data", "user-data", "openstack/latest/meta_data.json"]);
    let mut writes = Counting(0);
    Image::new(&small, &label(), date()).unwrap().write_to(&mut writes).unwrap();
    assert_eq!(writes.0, 1);
}

#[test]
fn a_writer_that_fails_is_reported() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let tree = tree(["a"]);
    let error = Image::new(&tree, &label(), date()).unwrap().write_to(&mut Full).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
}

#[test]
fn eight_levels_are_taken_and_the_ninth_is_no_path() {
    let deepest = tree(["1/2/3/4/5/6/7/8"]);
    assert!(Image::new(&deepest, &label(), date()).is_ok());
    let error = "1/2/3/4/5/6/7/8/9".parse::<DiscPath>().unwrap_err().to_string();
    assert!(error.ends_with("it lies deeper than 8 levels"), "{error}");
}

#[test]
fn a_file_of_4_gib_is_refused_by_its_path() {
    let mut tree = tree(["a"]);
    // Never touched, so it takes no memory.
    let bytes = vec![0; 4 << 30];
    tree.insert("big/file".parse().unwrap(), File { bytes: bytes.into(), mode: 0o444 }, Origin::default()).unwrap();
    let error = refused(&tree);
    assert!(matches!(error, Unrepresentable::FileTooLarge(_)));
    assert_eq!(error.to_string(), r#""big/file" has 4 GiB or more, which no file on a disc can have: split it"#);
}

#[test]
fn as_many_directories_as_path_tables_can_number_are_taken_and_no_more() {
    let directories = |count: usize| {
        let paths: Vec<String> = (1..count).map(|number| format!("{number}/x")).collect();
        tree(paths.iter().map(String::as_str))
    };
    // One of them is the top directory.
    let most = directories(65_535);
    assert!(Image::new(&most, &label(), date()).is_ok());
    let error = refused(&directories(65_536));
    assert_eq!(error, Unrepresentable::TooManyDirectories);
    assert!(error.to_string().contains("65535 directories"), "{error}");
}

#[test]
fn an_error_can_travel_through_threads_and_anyhow() {
    fn travels(_: impl std::error::Error + Send + Sync + 'static) {}
    travels(Unrepresentable::TooManyDirectories);
    travels("too long to be a label".parse::<Label>().unwrap_err());
}
