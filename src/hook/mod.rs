//! What runs while libvirtd waits: no libvirt, no sleeping, no network, and no way to harm a VM.
//!
//! The process that libvirtd started reads the XML and hands the work to a supervised child. Whatever becomes of the
//! child, it answers a whole document or nothing and exits with 0, unless the administrator wants a refusal.

mod adapt;
mod arrive;
mod carry_out;
mod decision;
mod detach;
mod fallback;
mod gone;
mod needles;
mod noted;
pub mod operation;
mod prepare;
mod reply;
mod started;
mod stdin;
mod supervise;
mod work;

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::process::ExitCode;
use std::time::Instant;

use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::geteuid;

use crate::context::domain::driver::Driver;
use crate::context::domain::request::OUR_NAMESPACES;
use crate::host::log::{Event, Log, Subject};
use crate::host::off;
use crate::host::paths::Host;
use crate::host::rules;
use adapt::Adapted;
use operation::{HookCall, Operation};
use reply::{Reply, Wish};
use supervise::Stage;

/// What the hook says of itself. It stands in the program as it stands here, by which `virt-recontext doctor` knows the
/// program, and its version, without running it.
const VERSION: &str = concat!("virt-recontext-hook ", env!("CARGO_PKG_VERSION"), "\n");

/// Does what one call of the hook as `program` with `args` asks for; see hooks/README.md for the contract with libvirtd.
pub fn run(program: &OsStr, args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.take(4).collect();
    // libvirtd gives four words, always.
    if let [only] = args.as_slice()
        && only == "--version"
    {
        let _nobody_reads = nix::unistd::write(std::io::stdout(), VERSION.as_bytes());
        return ExitCode::SUCCESS;
    }
    // Most calls end before the child is made.
    let driver = Driver::of_hook(program);
    let Some(call) = HookCall::parse(driver, &args) else { return ExitCode::SUCCESS };
    // An unprivileged daemon (qemu:///session) runs the same hook directory; its VMs are not ours.
    if !geteuid().is_root() {
        return ExitCode::SUCCESS;
    }
    let end = Instant::now() + call.operation.row().deadline;
    let Some(xml) = stdin::read(end) else { return ExitCode::SUCCESS };
    let host = Host::real();
    // Not by memchr: it asks the processor what it can, and in a VM each of those questions costs microseconds.
    let is_ours = xml.contains(OUR_NAMESPACES);
    let may_be_selected = || call.operation == Operation::Started && needles::may_select(&host, &call.domain, &xml);
    let may_have_rules = || driver == Driver::Qemu && rules::may_be(&host, &call.domain, &xml);
    let may_be_adapted = adapt::occasion(call.operation).is_some() && may_have_rules();
    let may_wait = || matches!(call.operation, Operation::Started | Operation::Reconnect) && may_have_rules();
    if !is_ours && !may_be_adapted && !may_be_selected() && !may_wait() {
        return ExitCode::SUCCESS;
    }
    // SAFETY: no handler is installed; from now on, writing to a pipe that nobody reads is an error and no signal.
    let _never_fails = unsafe { signal(Signal::SIGPIPE, SigHandler::SigIgn) };
    if off::is_off(&host) {
        return ExitCode::SUCCESS;
    }
    let work = |adapted: Option<Adapted>, out: &mut File| work::work(&host, &call, &xml, adapted, out);
    let (said, wish) = match may_be_adapted {
        true => adapt::run(end, work),
        false => {
            let all = Stage { end, is_whole: reply::is_whole };
            (supervise::run(&[all], |out| work(Some(Adapted::AsItCame), out)), Wish::GoOn)
        }
    };
    let (reply, broke) = Reply::of(said, wish, &call);
    if let Some(how) = broke.filter(|_| !matches!(reply, Reply::Refuse(_))) {
        let line = format_args!("{}: {}: {how}; the VM goes on", call.domain, call.operation);
        Log::of(&host, Subject::called(&call.domain)).event(Event::HookFailed).error(line);
    }
    reply.give()
}
