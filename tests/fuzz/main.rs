//! Hostile input under proptest: seeds that are cut, mixed and spoiled, and plain noise. The properties are in properties.rs.
//!
//! `FUZZ_SECONDS` is the time for each target (5 without it), `FUZZ_SEED` a number to begin from (0 without it, so that
//! two runs do the same).

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "what does not hold is to be seen; clippy.toml covers only the tests themselves"
)]

mod properties;
mod seeds;

use std::env;
use std::fmt;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// One step away from a seed. Places are numbers of any size, taken modulo the length.
#[derive(Debug, Clone)]
enum Change {
    Remove(usize, usize),
    Repeat(usize, usize, usize),
    Insert(usize, Vec<u8>),
    Flip(usize, u8),
    Cut(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let end = bytes.len() + 1;
        let place = |at: usize| at % end;
        match self {
            Change::Remove(from, length) => {
                let from = place(*from);
                bytes.drain(from..(from + length).min(bytes.len()));
            }
            Change::Repeat(from, length, times) => {
                let from = place(*from);
                let piece = bytes[from..(from + length).min(bytes.len())].repeat(*times);
                bytes.splice(from..from, piece);
            }
            Change::Insert(at, piece) => {
                let at = place(*at);
                bytes.splice(at..at, piece.iter().copied());
            }
            Change::Flip(at, mask) => {
                if let Some(byte) = bytes.get_mut(place(*at)) {
                    *byte ^= mask;
                }
            }
            Change::Cut(at) => bytes.truncate(place(*at)),
        }
    }
}

fn change(words: &'static [&'static str]) -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    let word = proptest::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    prop_oneof![
        2 => (at(), 1..80_usize).prop_map(|(from, length)| Change::Remove(from, length)),
        2 => (at(), 1..200_usize, 1..4_usize).prop_map(|(from, length, times)| Change::Repeat(from, length, times)),
        6 => (at(), word).prop_map(|(at, word)| Change::Insert(at, word)),
        1 => (at(), proptest::collection::vec(any::<u8>(), 1..6)).prop_map(|(at, piece)| Change::Insert(at, piece)),
        1 => (at(), 1..=255_u8).prop_map(|(at, mask)| Change::Flip(at, mask)),
        1 => at().prop_map(Change::Cut),
    ]
}

/// Input, shown as Rust would write it.
struct Input(Vec<u8>);

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b\"{}\"", self.0.escape_ascii())
    }
}

/// Mostly something that is nearly right: noise does not get far.
fn input(seeds: &'static [Vec<u8>], words: &'static [&'static str]) -> impl Strategy<Value = Input> {
    let spoiled = (proptest::sample::select(seeds), proptest::collection::vec(change(words), 0..8));
    let spoiled = spoiled.prop_map(|(mut bytes, changes)| {
        changes.iter().for_each(|change| change.apply(&mut bytes));
        bytes
    });
    let soup =
        proptest::collection::vec(proptest::sample::select(words), 0..30).prop_map(|all| all.concat().into_bytes());
    prop_oneof![8 => spoiled, 2 => soup, 1 => proptest::collection::vec(any::<u8>(), 0..300)].prop_map(Input)
}

/// The number in a variable.
fn number(name: &str, default: u64) -> u64 {
    env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is not a number")))
}

/// Gives a property random input for its time, and says how often.
fn fuzz(name: &str, seeds: Vec<Vec<u8>>, words: &'static [&'static str]) {
    let property = properties::called(name);
    let (time, seed) = (Duration::from_secs(number("FUZZ_SECONDS", 5)), number("FUZZ_SEED", 0));
    let seeds: &'static [Vec<u8>] = seeds.leak();
    let input = input(seeds, words);
    seeds.iter().for_each(|seed| property(seed));
    let (begin, mut round) = (Instant::now(), 0_u64);
    while begin.elapsed() < time {
        let mut random = [0; 32];
        random[..8].copy_from_slice(&seed.to_le_bytes());
        random[8..16].copy_from_slice(&round.to_le_bytes());
        let config = Config { cases: 200, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &random));
        let outcome = runner.run(&input, |bytes| {
            property(&bytes.0);
            Ok(())
        });
        outcome.unwrap_or_else(|error| panic!("{name}, FUZZ_SEED={seed}, round {round}: {error}"));
        round += 1;
    }
    println!("{name}: {} executions in {} s", round * 200, begin.elapsed().as_secs());
}

#[test]
fn any_call_of_the_hook_is_answered_with_the_same_vm_or_not_at_all() {
    fuzz("hook_input", seeds::calls(), seeds::XML);
}

#[test]
fn any_metadata_makes_a_whole_disc_or_none() {
    fuzz("metadata", seeds::metadata(), seeds::METADATA);
}

#[test]
fn any_job_file_is_done() {
    fuzz("job_files", seeds::jobs(), seeds::JSON);
}

#[test]
fn any_state_file_is_got_over() {
    fuzz("state_files", seeds::states(), seeds::JSON);
}

/// `cargo fuzz` starts from these; tests/fuzz/run asks for them.
#[test]
fn seeds_are_written_where_they_are_asked_for() {
    let Some(directory) = env::var_os("FUZZ_CORPUS") else { return };
    for (name, seeds) in [
        ("hook_input", seeds::calls()),
        ("metadata", seeds::metadata()),
        ("job_files", seeds::jobs()),
        ("state_files", seeds::states()),
    ] {
        let directory = std::path::Path::new(&directory).join(name);
        std::fs::create_dir_all(&directory).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            std::fs::write(directory.join(number.to_string()), seed).unwrap();
        }
    }
}
