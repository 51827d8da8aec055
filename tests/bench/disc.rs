//! How long it takes to lay out and write discs in memory: `disc FILES BYTES ROUNDS` prints nanoseconds, one round a
//! line. The files, of so many bytes each, lie in directories of a hundred.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used, reason = "a measurement that fails loudly")]

use std::hint::black_box;
use std::time::Instant;

use virt_recontext::context::disc::files::{File, Files, Origin};
use virt_recontext::context::iso9660::Image;
use virt_recontext::context::iso9660::date::VolumeDate;

fn main() {
    let numbers: Vec<usize> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    // Cargo's own `cargo bench` gives none.
    let [files, bytes, rounds] = *numbers else { return };
    let mut tree = Files::default();
    for number in 0..files {
        let path = format!("directory-{}/file-{number}.conf", number / 100);
        let content = (0..bytes).map(|at| (at * 31 + number) as u8).collect::<Vec<_>>();
        tree.insert(path.parse().expect("a path"), File { bytes: content.into(), mode: 0o444 }, Origin::default())
            .expect("no clash");
    }
    let label = "RECONTEXT".parse().expect("a label");
    let mut disc = Vec::new();
    for _ in 0..rounds {
        let begin = Instant::now();
        disc.clear();
        let image = Image::new(&tree, &label, VolumeDate::from_unix_centis(0)).expect("a disc");
        image.write_to(&mut disc).expect("memory");
        black_box(&disc);
        println!("{}", begin.elapsed().as_nanos());
    }
}
