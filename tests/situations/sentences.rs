//! What people read: the sentences of the log, of stderr, and of a state's `message`.
//!
//! In the `expected` of a situation each is only `…`, so that one can be worded better without an edit in a hundred
//! files. Here all of them are promised word for word: the file `sentences` has each once, under the first situation
//! that says it. `UPDATE=1 cargo test --test situations sentences` writes it anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use super::difference::changes;
use super::site::here;
use super::situation;

/// Stands for a sentence in `expected`.
const SENTENCE: &str = "…";

/// What a line of the log ends with, behind the sentence that a state and stderr have too.
const CONSEQUENCES: [&str; 2] = ["; the VM goes on", "; refused, as on_error wants"];

/// The sentences that one situation says, in the order in which they come.
#[derive(Default)]
pub struct Sentences(Vec<String>);

impl Sentences {
    /// Takes the sentence out of a line of the log, `severity: [VM: operation: ]sentence`, of a call of this VM's.
    pub fn take_from_log(&mut self, line: &str, arguments: &[String]) -> String {
        let (severity, text) = line.split_once(": ").expect("a line of the log has a severity");
        let about = match arguments {
            [vm, operation, ..] => format!("{vm}: {operation}: "),
            _ => String::new(),
        };
        let (about, sentence) = text.strip_prefix(&about).map_or(("", text), |sentence| (about.as_str(), sentence));
        let consequence = CONSEQUENCES.into_iter().find(|consequence| sentence.ends_with(consequence));
        self.0.push(sentence.strip_suffix(consequence.unwrap_or_default()).unwrap_or(sentence).to_owned());
        self.0.extend(consequence.map(|consequence| format!("{SENTENCE}{consequence}")));
        format!("{severity}: {about}{SENTENCE}")
    }

    /// Takes the sentence out of a line on stderr, `virt-recontext: sentence`.
    pub fn take_from_stderr(&mut self, line: &str) -> String {
        let (program, sentence) = line.split_once(": ").unwrap_or(("", line));
        self.0.push(sentence.to_owned());
        format!("{program}: {SENTENCE}")
    }

    /// Takes the message out of a state, which is one line of JSON; any other line stays as it is.
    pub fn take_from_state(&mut self, line: &str) -> String {
        const KEY: &str = "\"message\":";
        let Some((before, rest)) = line.split_once(KEY).filter(|_| line.trim_start().starts_with("{\"uuid\":")) else {
            return line.to_owned();
        };
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let message = values.next().unwrap().expect("a state's message is text");
        let behind = &rest[values.byte_offset()..];
        self.0.push(message);
        format!("{before}{KEY}\"{SENTENCE}\"{behind}")
    }

    /// The sentences, without the numbers of discs: whose disc it was is told by the state.
    fn lines(&self) -> impl Iterator<Item = String> {
        self.0.iter().map(|sentence| match sentence.strip_prefix("disc ").and_then(|rest| rest.split_once(' ')) {
            Some((_, rest)) => format!("disc NUMBER {rest}"),
            None => sentence.clone(),
        })
    }
}

#[test]
fn each_sentence_is_worded_as_promised() {
    let mut known = BTreeSet::new();
    let mut said = String::new();
    for name in situation::all() {
        let happened = situation::happened(&name);
        let new: Vec<String> = happened.sentences.lines().filter(|sentence| known.insert(sentence.clone())).collect();
        if !new.is_empty() {
            writeln!(said, "{name}").unwrap();
        }
        for sentence in new {
            writeln!(said, "  {sentence}").unwrap();
        }
    }
    let promised = here().join("sentences");
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&promised, &said).unwrap();
    }
    let promise = fs::read_to_string(&promised).unwrap_or_default();
    assert!(promise == said, "sentences: - is promised, + was said\n{}", changes(&promise, &said).join("\n"));
}
