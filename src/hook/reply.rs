//! What libvirtd is told, and how the child tells it to the process that libvirtd waits for.

use std::io::{self, Write};
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

/// What is to be done should the child not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    GoOn,
    /// `on_error = "refuse"`.
    RefuseForDisc,
    /// Rules that are `required` fit.
    RefuseForRules,
}

// What the child writes: wishes, of one byte, of which the last counts; perhaps an answer for the case that it does not come
// to its end; and its reply. Both are one byte, the length of their text (as a u64) and the text.
const GO_ON: u8 = b'.';
const REFUSE_FOR_DISC: u8 = b'!';
const REFUSE_FOR_RULES: u8 = b'#';
const SO_FAR: u8 = b'(';
const NOTHING: u8 = b'0';
const ANSWER: u8 = b'<';
const REFUSE: u8 = b'R';

impl Wish {
    pub(super) fn of(on_error: OnError) -> Wish {
        match on_error {
            OnError::Continue => Wish::GoOn,
            OnError::Refuse => Wish::RefuseForDisc,
        }
    }
}

/// Says what is wished from now on.
pub(super) fn wish(out: &mut impl Write, wish: Wish) -> io::Result<()> {
    let byte = match wish {
        Wish::GoOn => GO_ON,
        Wish::RefuseForDisc => REFUSE_FOR_DISC,
        Wish::RefuseForRules => REFUSE_FOR_RULES,
    };
    out.write_all(&[byte])
}

/// Says the answer that counts should there be no other.
pub(super) fn so_far(out: &mut impl Write, xml: &str) -> io::Result<()> {
    out.write_all(&record(SO_FAR, xml))
}

fn record(kind: u8, text: &str) -> Vec<u8> {
    [&[kind], (text.len() as u64).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

/// All that was said.
#[derive(Default)]
struct Said<'s> {
    wish: Option<Wish>,
    so_far: Option<&'s [u8]>,
    reply: Option<(u8, &'s [u8])>,
}

impl<'s> Said<'s> {
    fn read(mut said: &'s [u8]) -> Said<'s> {
        let mut read = Said::default();
        while let Some((&kind, rest)) = said.split_first() {
            read.wish = match kind {
                GO_ON => Some(Wish::GoOn),
                REFUSE_FOR_DISC => Some(Wish::RefuseForDisc),
                REFUSE_FOR_RULES => Some(Wish::RefuseForRules),
                _ => {
                    let Some((len, rest)) = rest.split_first_chunk() else { break };
                    let len = usize::try_from(u64::from_le_bytes(*len)).unwrap_or(usize::MAX);
                    let Some((text, rest)) = rest.split_at_checked(len) else { break };
                    if kind != SO_FAR {
                        read.reply = Some((kind, text)).filter(|_| rest.is_empty());
                        break;
                    }
                    read.so_far = Some(text);
                    said = rest;
                    continue;
                }
            };
            said = rest;
        }
        read
    }
}

/// Whether the child has told its whole reply. What it still does then, nobody has to wait for.
pub(super) fn is_whole(said: &[u8]) -> bool {
    Said::read(said).reply.is_some()
}

impl Reply {
    /// What the child said; or, when it did not come to its end, what it had said for that case, and how it broke off.
    pub(super) fn of(said: Result<Vec<u8>, Broke>, call: &HookCall) -> (Reply, Option<String>) {
        let (said, how) = match said {
            Ok(said) => match Reply::decode(&said) {
                Some(reply) => return (reply, None),
                None => (said, "the child process ended without a reply".to_owned()),
            },
            Err(Broke { said, how }) => (said, how),
        };
        let Said { wish, so_far, .. } = Said::read(&said);
        let wish = wish.filter(|_| call.operation.row().may_refuse).unwrap_or(Wish::GoOn);
        let so_far = so_far.and_then(|xml| String::from_utf8(xml.to_vec()).ok());
        let reply = match wish {
            Wish::RefuseForDisc => Reply::Refuse(format!("making the context disc: {how}")),
            Wish::RefuseForRules => Reply::Refuse(format!("applying the rules of rewrite.d: {how}")),
            Wish::GoOn => so_far.map_or(Reply::Nothing, Reply::Answer),
        };
        (reply, Some(how))
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
        let (kind, text) = Said::read(said).reply?;
        let text = String::from_utf8(text.to_vec()).ok()?;
        match kind {
            NOTHING => Some(Reply::Nothing),
            ANSWER => Some(Reply::Answer(text)),
            REFUSE => Some(Reply::Refuse(text)),
            _ => None,
        }
    }

    /// What the child writes last.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Reply::Nothing => record(NOTHING, ""),
            Reply::Answer(xml) => record(ANSWER, xml),
            Reply::Refuse(why) => record(REFUSE, why),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::context::domain::driver::Driver;

    fn call() -> HookCall {
        HookCall::parse(Driver::Qemu, &["vm", "migrate", "begin", "-"].map(OsString::from)).unwrap()
    }

    #[test]
    fn a_reply_comes_through_the_pipe_as_it_was() {
        for reply in [Reply::Nothing, Reply::Answer("<domain/>\n".to_owned()), Reply::Refuse("why".to_owned())] {
            let mut said = Vec::new();
            wish(&mut said, Wish::RefuseForRules).unwrap();
            so_far(&mut said, "<so-far/>").unwrap();
            wish(&mut said, Wish::GoOn).unwrap();
            said.extend(reply.encode());
            for len in 0..said.len() {
                assert!(!is_whole(&said[..len]), "a part is a whole");
            }
            assert_eq!(Reply::of(Ok(said), &call()), (reply, None));
        }
        assert_eq!(Reply::decode(b"x\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn what_breaks_off_leaves_what_was_said_for_that_case() {
        let broken = |said: &[u8]| {
            let said = said.to_vec();
            Reply::of(Err(Broke { said, how: "it crashed".to_owned() }), &call()).0
        };
        let mut said = Vec::new();
        assert_eq!(broken(&said), Reply::Nothing);
        wish(&mut said, Wish::RefuseForRules).unwrap();
        assert_eq!(broken(&said), Reply::Refuse("applying the rules of rewrite.d: it crashed".to_owned()));
        // The rules are applied; from now on only the disc can fail.
        so_far(&mut said, "<domain/>").unwrap();
        wish(&mut said, Wish::GoOn).unwrap();
        assert_eq!(broken(&said), Reply::Answer("<domain/>".to_owned()));
        assert_eq!(broken(&[said.as_slice(), &Reply::Refuse("x".to_owned()).encode()[..5]].concat()), broken(&said));
        wish(&mut said, Wish::RefuseForDisc).unwrap();
        assert_eq!(broken(&said), Reply::Refuse("making the context disc: it crashed".to_owned()));
    }
}
