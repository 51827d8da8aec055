//! What libvirtd is told, and how the child tells it to the process that libvirtd waits for.

use std::io::{self, Write};
use std::process::ExitCode;

use super::operation::HookCall;
use super::supervise::Broke;
use crate::host::config::OnError;

/// What libvirtd is told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// Nothing: the VM's XML stays as it is, or as rules have made it.
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

// What the child writes: wishes, of one byte, of which the last counts; perhaps an answer for the case that none follows, and
// that the rules are done, of one byte; and its reply. Answers and reply are one byte, the length of their text (as a u64)
// and the text.
const GO_ON: u8 = b'.';
const REFUSE_FOR_DISC: u8 = b'!';
const REFUSE_FOR_RULES: u8 = b'#';
const SO_FAR: u8 = b'(';
const RULES_DONE: u8 = b')';
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

/// Says that the rules have come to their end, whatever that is.
pub(super) fn rules_done(out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[RULES_DONE])
}

/// Says the answer that counts if no other follows.
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
    rules_done: bool,
    reply: Option<(u8, &'s [u8])>,
}

impl<'s> Said<'s> {
    fn read(mut said: &'s [u8]) -> Said<'s> {
        let mut read = Said::default();
        while let Some((&kind, rest)) = said.split_first() {
            match kind {
                GO_ON => read.wish = Some(Wish::GoOn),
                REFUSE_FOR_DISC => read.wish = Some(Wish::RefuseForDisc),
                REFUSE_FOR_RULES => read.wish = Some(Wish::RefuseForRules),
                RULES_DONE => read.rules_done = true,
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
            }
            said = rest;
        }
        read
    }

    /// What was told so far, if nothing else was.
    fn stands(&self) -> Reply {
        let xml = self.so_far.and_then(|xml| String::from_utf8(xml.to_vec()).ok());
        xml.map_or(Reply::Nothing, Reply::Answer)
    }
}

/// Whether the child has told that the rules are done, or all.
pub(super) fn has_rules(said: &[u8]) -> bool {
    let said = Said::read(said);
    said.rules_done || said.reply.is_some()
}

/// What the child last wished.
pub(super) fn wished(said: &[u8]) -> Wish {
    Said::read(said).wish.unwrap_or(Wish::GoOn)
}

/// Whether the child has told its whole reply. What it still does then, nobody has to wait for.
pub(super) fn is_whole(said: &[u8]) -> bool {
    Said::read(said).reply.is_some()
}

impl Reply {
    /// What the child said; or, when it did not come to its end, what it had said for that case, and how it broke off.
    /// `wish` counts if it told none.
    pub(super) fn of(said: Result<Vec<u8>, Broke>, wish: Wish, call: &HookCall) -> (Reply, Option<String>) {
        let (said, how) = match said {
            Ok(said) => match Reply::decode(&said) {
                Some(reply) => return (reply, None),
                None => (said, "the child process ended without a reply".to_owned()),
            },
            Err(Broke { said, how }) => (said, how),
        };
        let told = Said::read(&said);
        let wish = Some(told.wish.unwrap_or(wish)).filter(|_| call.operation.row().may_refuse).unwrap_or(Wish::GoOn);
        let reply = match wish {
            Wish::RefuseForDisc => Reply::Refuse(format!("making the context disc: {how}")),
            Wish::RefuseForRules => Reply::Refuse(format!("applying the rules of rewrite.d: {how}")),
            Wish::GoOn => told.stands(),
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
        let said = Said::read(said);
        let (kind, text) = said.reply?;
        let text = String::from_utf8(text.to_vec()).ok()?;
        match kind {
            NOTHING => Some(said.stands()),
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
            rules_done(&mut said).unwrap();
            said.extend(reply.encode());
            for len in 0..said.len() {
                assert!(!is_whole(&said[..len]), "a part is a whole");
            }
            let wanted = if reply == Reply::Nothing { Reply::Answer("<so-far/>".to_owned()) } else { reply };
            assert_eq!(Reply::of(Ok(said), Wish::GoOn, &call()), (wanted, None));
        }
        assert_eq!(Reply::of(Ok(Reply::Nothing.encode()), Wish::GoOn, &call()), (Reply::Nothing, None));
        assert_eq!(Reply::decode(b"x\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn what_breaks_off_leaves_what_was_said_for_that_case() {
        let broken = |said: &[u8]| {
            let said = said.to_vec();
            Reply::of(Err(Broke { said, how: "it crashed".to_owned() }), Wish::GoOn, &call()).0
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

    #[test]
    fn a_wish_from_before_counts_until_there_is_another() {
        let broken = |said: &[u8], args: [&str; 4]| {
            let call = HookCall::parse(Driver::Qemu, &args.map(OsString::from)).unwrap();
            let said = said.to_vec();
            Reply::of(Err(Broke { said, how: "it crashed".to_owned() }), Wish::RefuseForRules, &call).0
        };
        let migrate = ["vm", "migrate", "begin", "-"];
        assert_eq!(broken(b"", migrate), Reply::Refuse("applying the rules of rewrite.d: it crashed".to_owned()));
        assert_eq!(
            broken(&[REFUSE_FOR_DISC], migrate),
            Reply::Refuse("making the context disc: it crashed".to_owned())
        );
        assert_eq!(broken(&[GO_ON], migrate), Reply::Nothing);
        assert_eq!(broken(b"", ["vm", "started", "begin", "-"]), Reply::Nothing, "a running VM would be killed");
    }

    #[test]
    fn rules_are_done_when_that_is_told_or_all_is() {
        let mut said = Vec::new();
        wish(&mut said, Wish::RefuseForRules).unwrap();
        so_far(&mut said, "<domain>)</domain>").unwrap();
        let refused = [said.as_slice(), &Reply::Refuse("why".to_owned()).encode()].concat();
        rules_done(&mut said).unwrap();
        for all in [said, refused] {
            for len in 0..all.len() {
                assert!(!has_rules(&all[..len]), "{len} bytes are not all of it");
            }
            assert!(has_rules(&all));
            assert_eq!(wished(&all), Wish::RefuseForRules);
        }
    }
}
