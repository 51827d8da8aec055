//! Questions to the kernel's security modules. Each has a file for them: a question is written to it, and the answer is
//! then read from the same descriptor. Asking changes nothing, and logs no denial.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::path::Path;

/// More than any answer of either module has.
const MAX_ANSWER: usize = 4096;

/// The kernel's answer; `None` if it gives none, as to a question about a profile or a label that it does not know.
pub(super) fn ask(file: &Path, question: &[u8]) -> Option<String> {
    let mut file = OpenOptions::new().read(true).write(true).open(file).ok()?;
    // In one piece: what is written next would be the next question.
    if file.write(question).ok()? != question.len() {
        return None;
    }
    let mut answer = vec![0; MAX_ANSWER];
    let length = file.read(&mut answer).ok()?;
    answer.truncate(length);
    String::from_utf8(answer).ok()
}
