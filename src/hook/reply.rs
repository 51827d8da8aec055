//! What libvirtd is told, and how the child tells it to the process that libvirtd waits for.

use std::io::Write;
use std::process::ExitCode;

use super::operation::HookCall;
use super::supervise::Broke;
use crate::host::config::OnError;

/// What libvirtd is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing: the VM's XML stays as it is.
    Nothing,
    /// This XML takes the place of the VM's.
    Answer(String),
    /// The VM is not to start or arrive here, and why.
    Refuse(String),
}

// What the child writes: one byte for what the administrator wants on a failure, then one for the reply, the length of its
// text (as a u64) and the text.
const WANTS_REFUSAL: u8 = b'!';
const WANTS_TO_GO_ON: u8 = b'.';
const NOTHING: u8 = b'0';
const ANSWER: u8 = b'<';
const REFUSE: u8 = b'!';

/// What the child writes first, in case it does not come to its end.
pub(super) fn policy(on_error: OnError) -> [u8; 1] {
    match on_error {
        OnError::Continue => [WANTS_TO_GO_ON],
        OnError::Refuse => [WANTS_REFUSAL],
    }
}

/// Whether the child has told its whole reply. What it still does then, nobody has to wait for.
pub(super) fn is_whole(said: &[u8]) -> bool {
    parts(said).is_some()
}

/// The kind and the text of a whole reply.
fn parts(said: &[u8]) -> Option<(u8, &[u8])> {
    let (&[_, kind], rest) = said.split_first_chunk()?;
    let (len, text) = rest.split_first_chunk()?;
    (u64::from_le_bytes(*len) == text.len() as u64).then_some((kind, text))
}

impl Reply {
    /// What the child said; or, when it did not come to its end, how it broke off.
    pub(super) fn of(said: Result<Vec<u8>, Broke>, call: &HookCall) -> Result<Reply, String> {
        match said {
            Ok(said) => Reply::decode(&said).ok_or_else(|| "the child process ended without a reply".to_owned()),
            Err(Broke { said, how }) if said.first() == Some(&WANTS_REFUSAL) && call.operation.row().may_refuse => {
                Ok(Reply::Refuse(format!("making the context disc: {how}")))
            }
            Err(Broke { how, .. }) => Err(how),
        }
    }

    /// Tells libvirtd. A pipe that it has closed is its own affair.
    pub(super) fn give(self) -> ExitCode {
        match self {
            Reply::Nothing => ExitCode::SUCCESS,
            Reply::Answer(xml) => {
                let mut stdout = std::io::stdout().lock();
                let _libvirtd_gone = stdout.write_all(xml.as_bytes()).and_then(|()| stdout.flush());
                ExitCode::SUCCESS
            }
            Reply::Refuse(why) => {
                // libvirt shows it to whoever started or migrated the VM.
                let _libvirtd_gone = writeln!(std::io::stderr(), "virt-recontext: {why}");
                ExitCode::FAILURE
            }
        }
    }

    fn decode(said: &[u8]) -> Option<Reply> {
        let (kind, text) = parts(said)?;
        let text = String::from_utf8(text.to_vec()).ok()?;
        match kind {
            NOTHING => Some(Reply::Nothing),
            ANSWER => Some(Reply::Answer(text)),
            REFUSE => Some(Reply::Refuse(text)),
            _ => None,
        }
    }

    /// What the child writes last, behind `first`.
    pub(super) fn encode(&self, first: &[u8]) -> Vec<u8> {
        let (kind, text) = match self {
            Reply::Nothing => (NOTHING, ""),
            Reply::Answer(xml) => (ANSWER, xml.as_str()),
            Reply::Refuse(why) => (REFUSE, why.as_str()),
        };
        [first, &[kind], (text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_comes_through_the_pipe_as_it_was() {
        for reply in [Reply::Nothing, Reply::Answer("<domain/>\n".to_owned()), Reply::Refuse("why".to_owned())] {
            let said = reply.encode(&policy(OnError::Continue));
            for len in 0..said.len() {
                assert!(!is_whole(&said[..len]), "a part is a whole");
            }
            assert_eq!(Reply::decode(&said), Some(reply));
        }
        assert_eq!(Reply::decode(b".x\0\0\0\0\0\0\0\0"), None);
    }
}
