//! The composer itself: it reads orders from its stdin, a socket, and answers there.

use std::fs::{OpenOptions, read_to_string};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::set_hook;

use anyhow::{Context, Result};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage, setrlimit};

use super::kept::hint;
use super::order::{Answer, Order, Why, receive, send};
use crate::context::domain::Domain;
use crate::host::child::limit_memory;
use crate::host::config::Config;
use crate::host::disc::Layers;
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::signing::{Ask, NotSigned};
use crate::host::vm::image;
use crate::host::vm::state::Newest;

/// Memory for a disc besides its files and its image, in bytes; as much as the hook has.
const MEMORY: u64 = 128 << 20;

/// Time of a processor for one composition, in seconds, of a disc of the usual size at most.
pub(super) const PROCESSOR: u64 = 2;

/// A larger one may take a second for so many bytes more.
const BYTES_A_SECOND: u64 = 64 << 20;

/// Composes what is ordered, until nobody is there to order any more.
///
/// # Errors
/// When stdin is no socket, or what comes from there is no order.
pub fn serve(host: &Host) -> Result<()> {
    let stdin = std::io::stdin().as_fd().try_clone_to_owned().context("taking the socket for orders")?;
    let mut socket = UnixStream::from(stdin);
    let log = host.clone();
    set_hook(Box::new(move |panic| Log::open(&log).error(format_args!("composing a disc: {panic}; please report it"))));
    // One that goes beyond its limits is expected, and no reason for a core dump.
    let _as_it_was = set_dumpable(false);
    // The libraries' code counts as well.
    let begin = address_space();
    while let Some(order) = receive::<Order>(&mut socket).context("reading an order")? {
        let answer = compose(host, begin, order).unwrap_or_else(Answer::Impossible);
        send(&mut socket, &answer).context("answering")?;
    }
    Ok(())
}

fn compose(host: &Host, begin: u64, order: Order) -> Result<Answer, Why> {
    let of_host = |error: anyhow::Error| Why::Host(format!("{error:#}"));
    let of_vm = |error: anyhow::Error| Why::Vm(format!("{error:#}"));
    let config = Config::load(host).map_err(of_host)?;
    let limits = || -> Result<()> {
        limit_memory(begin.saturating_add(memory(&config)))?;
        limit_processor(&config)
    };
    limits().map_err(of_host)?;
    let Order { xml, new_networks, mut printed, newest, new, signed } = order;
    let domain = Domain::read(&xml).map_err(of_vm)?;
    let request = domain.request().map_err(of_vm)?.cloned().unwrap_or_default();
    request.layer().map_err(of_vm)?;
    let layers = Layers::none(host, &config, &domain, &request).telling(new_networks);
    let layers = layers.read(&mut printed).map_err(of_host)?;
    // Where the VM brings nothing along, it has no part in what fails.
    let of_both = if request.facts.is_empty() && request.files.is_empty() { of_host } else { of_vm };
    // Without a signature there is no disc, but what to sign.
    let image = |edition, ask: &mut Ask| match layers.image(edition, ask) {
        Ok(image) => Ok(Ok(image)),
        Err(error) => match error.downcast() {
            Ok(NotSigned { sums }) => Ok(Err(sums)),
            Err(error) => Err(of_both(hint(&printed, error))),
        },
    };
    if let Some(Newest { edition, path, mut signature }) = newest
        && let Ok(image) = image(edition, &mut |_| Ok(signature.take()))?
        && image::holds(host, &path, &image).map_err(of_host)?
    {
        return Ok(Answer::Same);
    }
    let Some((edition, file)) = new else { return Ok(Answer::Differs) };
    limit_processor(&config).map_err(of_host)?;
    let mut of_these = |sums: &[u8]| {
        let of_these = signed.as_ref().filter(|signed| signed.sums == sums);
        Ok(of_these.map(|signed| signed.signature.clone()))
    };
    let image = match image(edition, &mut of_these)? {
        Ok(image) => image,
        Err(sums) => return Ok(Answer::ToSign(sums)),
    };
    if let Some(path) = file {
        let written = OpenOptions::new().write(true).open(&path).map_err(Into::into);
        written
            .and_then(|mut file| image::write(&image, &mut file))
            .with_context(|| format!("writing {}", path.display()))
            .map_err(of_host)?;
    }
    Ok(Answer::Made(image.len()))
}

/// What a disc may take besides what this process has already.
pub(super) fn memory(config: &Config) -> u64 {
    MEMORY.saturating_add(config.limits.disc_size.saturating_mul(2))
}

/// Limits the memory of this process, which is no composer and makes a disc itself: once for its files and once for its image.
/// What a VM carries may ask for more than the host has. Programs run before it or [`outside_own_limit`], or they would have it
/// as well.
///
/// # Errors
/// When the system refuses.
pub(crate) fn limit_own_memory(config: &Config) -> Result<()> {
    let limit = address_space().saturating_add(memory(config).saturating_mul(2));
    limit_memory(limit).context("limiting the memory for a disc")
}

/// Does `work`, which is to run a program, without that limit.
///
/// # Errors
/// When the system refuses.
pub(crate) fn outside_own_limit<T>(work: impl FnOnce() -> T) -> Result<T> {
    let (limit, _) = getrlimit(Resource::RLIMIT_AS)?;
    limit_memory(u64::MAX)?;
    let done = work();
    limit_memory(limit).context("limiting the memory for a disc")?;
    Ok(done)
}

/// The address space of this process, in bytes.
pub(super) fn address_space() -> u64 {
    let pages = || read_to_string("/proc/self/statm").ok()?.split(' ').next()?.parse::<u64>().ok();
    pages().map_or(1 << 30, |pages| pages.saturating_mul(4096))
}

/// Lets this process be killed when what it does from now on takes more of a processor's time than a disc may.
pub(super) fn limit_processor(config: &Config) -> Result<()> {
    let seconds = PROCESSOR + config.limits.disc_size.saturating_sub(1) / BYTES_A_SECOND;
    let usage = getrusage(UsageWho::RUSAGE_SELF)?;
    let used = usage.user_time().tv_sec() + usage.system_time().tv_sec();
    let (_, hard) = getrlimit(Resource::RLIMIT_CPU)?;
    // Of the second that has begun a part is used.
    let soft = u64::try_from(used).unwrap_or_default() + 1 + seconds;
    Ok(setrlimit(Resource::RLIMIT_CPU, soft.min(hard), hard)?)
}

/// Lets what this process does from now on take all the time that it takes.
pub(super) fn lift_processor() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CPU)?;
    Ok(setrlimit(Resource::RLIMIT_CPU, hard, hard)?)
}
