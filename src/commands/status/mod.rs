//! `status`: what became of the discs.

pub(in crate::commands) mod standing;

mod age;
mod all;
mod line;
mod receipts;
mod table;
mod wait;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use self::all::{all, what_is_wrong_first};
use self::line::Extent;
use self::standing::Standing;
use super::exit::{DONE, FAILED, WAITING, worse};
use super::{settle, vm};
use crate::context::uuid::Uuid;
use crate::host::config::Config;
use crate::host::metrics::exposition::exposition;
use crate::host::off;
use crate::host::paths::Host;
use crate::host::programs::printed_for_all;
use crate::host::results::Results;
use crate::host::vm::results;
use crate::libvirt::survey::{Survey, Vm};

/// Show what became of the discs of this host's VMs.
///
/// All VMs that take part, and those that did: what is wrong first.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(super) struct Status {
    /// One VM's name or UUID, instead of all.
    pub vm: Option<String>,
    /// All VMs, as without a name.
    #[arg(long, conflicts_with = "vm")]
    pub all: bool,
    /// Wait until no disc is on its way any more, for up to TIME.
    #[arg(long, value_name = "TIME", value_parser = settle::time, num_args = 0..=1, require_equals = true,
          default_missing_value = "60s")]
    pub wait: Option<Duration>,
    /// Print a JSON array, one object per VM.
    #[arg(long)]
    pub json: bool,
    /// Print what is recorded, in Prometheus' text format.
    #[arg(long, conflicts_with_all = ["json", "vm", "wait", "verbose"])]
    pub metrics: bool,
    /// Show all that is known, with times.
    #[arg(short, long, conflicts_with = "json")]
    pub verbose: bool,
}

const EXIT_CODES: &str = "Exit codes: 0 no disc has failed; 1 one has, or none can be delivered now;
            with --wait also 1 the VM is not here; 3 a disc is still on its way.";

/// So long libvirt may take to answer, even where the time is over.
const LEAST: Duration = Duration::from_secs(3);

pub(super) fn status(host: &Host, options: &Status, out: &mut impl Write) -> Result<u8> {
    if options.metrics {
        write!(out, "{}", exposition(host)?)?;
        return Ok(DONE);
    }
    let mut code = DONE;
    let mut trouble = |line: String| {
        tell(&line);
        code = FAILED;
    };
    if let Err(error) = Config::load(host) {
        trouble(format!("{error:#}; no disc is made until that is fixed"));
    }
    if let Some(off) = off::told(host) {
        trouble(off);
    }
    let config = Config::assumed(host);
    vm::tell_unknown_keys(&config);
    // While it is waited for, no longer than that; and long enough for a daemon that answers.
    let end = options.wait.map(|patience| Instant::now() + patience);
    let left = || end.map_or(Duration::MAX, |end| end.saturating_duration_since(Instant::now()).max(LEAST));
    let ask = || Survey::take_within(config.uri_of(config.driver(host)), left());
    let mut survey = ask();
    if let Err(error) = &survey {
        trouble(format!("{error:#}; what follows is only what was recorded"));
    }
    let mut found = chosen(host, &config, options, survey.as_ref().ok())?;
    // Where nothing can be delivered there is nothing to wait for.
    if let Some(patience) = options.wait.filter(|_| code == DONE) {
        let look = || match ask() {
            Ok(survey) => chosen(host, &config, options, Some(&survey)),
            // Its daemon may just be started anew.
            Err(_) => Ok(chosen(host, &config, options, None).ok().flatten()),
        };
        found = wait::until_settled(host, patience, found, look)?;
        survey = ask();
        code = code_after_waiting(options, found.as_deref());
    }
    let Some(mut standings) = found else {
        let vm = options.vm.as_deref().unwrap_or_default();
        tell(&format!("libvirt does not tell now whether the VM {vm:?} takes part; try again"));
        return Ok(code.max(FAILED));
    };
    if let Ok(survey) = &survey {
        let uri = config.uri_of(config.driver(host));
        receipts::add(host, uri, survey, &mut standings).unwrap_or_else(|error| tell(&format!("{error:#}")));
    }
    let host_wide = printed_for_all(host)?;
    let is_of_all = options.all || options.vm.is_none();
    if standings.is_empty() && is_of_all && survey.is_ok() && !options.json {
        vm::tell_that_none_takes_part("no VM of this host");
    }
    if standings.iter().any(Standing::is_bad) {
        code = FAILED;
    }
    failing(host, &host_wide, &standings)?.iter().for_each(|line| tell(line));
    if options.json {
        serde_json::to_writer_pretty(&mut *out, &standings)?;
        writeln!(out)?;
        return Ok(code);
    }
    what_is_wrong_first(&mut standings);
    let on_terminal = io::stdout().is_terminal();
    let extent = match is_of_all {
        _ if options.verbose => Extent::Verbose,
        true => Extent::Brief,
        false => Extent::Full,
    };
    let as_table = on_terminal && is_of_all && !standings.is_empty();
    if as_table {
        table::write(&standings, extent, out)?;
    } else {
        standings.iter().try_for_each(|standing| writeln!(out, "{}", line::line(standing, extent, on_terminal)))?;
    }
    let good = host_wide.known().filter(|program| is_of_all && host_wide.is_good(program));
    for program in good {
        writeln!(out, "{}", vm::on_one_line(&host_wide.line(program)))?;
    }
    if as_table {
        let lacks = standings.iter().any(|standing| standing.is_bad() || standing.is_stale() || standing.is_unread());
        let hint = if lacks { "; what to do: REMEDIES in virt-recontext(8)" } else { "" };
        writeln!(out, "{}{hint}", table::counts(&standings))?;
    }
    Ok(code)
}

fn tell(line: &str) {
    let _nobody_reads = writeln!(io::stderr(), "virt-recontext: {}", vm::on_one_line(line));
}

/// How those stand that were asked for; `None` when libvirt does not tell for now whether the one takes part.
fn chosen(host: &Host, config: &Config, options: &Status, survey: Option<&Survey>) -> Result<Option<Vec<Standing>>> {
    let mut standings = all(host, config, survey)?;
    if let Some(vm) = &options.vm {
        let uuid: Option<Uuid> = vm.parse().ok();
        // A UUID means the VM that has it, even if another is called so.
        let by_uuid = standings.iter().any(|standing| Some(&standing.uuid) == uuid.as_ref());
        standings.retain(|standing| if by_uuid { Some(&standing.uuid) == uuid.as_ref() } else { standing.name == *vm });
        if standings.is_empty() {
            return nothing_known(vm, uuid.as_ref(), survey).map(|()| None);
        }
    }
    Ok(Some(standings))
}

/// The exit code, when no more is waited for.
fn code_after_waiting(options: &Status, found: Option<&[Standing]>) -> u8 {
    let code = |standing: &Standing| {
        if wait::is_awaited(standing) {
            return WAITING;
        }
        if options.vm.is_some() && standing.running == Some(false) {
            tell(&format!("the VM {} is not running here", standing.name));
            return FAILED;
        }
        DONE
    };
    found.map_or(WAITING, |standings| standings.iter().map(code).fold(DONE, worse))
}

/// What there is to say of programs whose old facts are used.
fn failing(host: &Host, host_wide: &Results, standings: &[Standing]) -> Result<Vec<String>> {
    let bad = |results: &Results| -> Vec<String> {
        results.known().filter(|program| !results.is_good(program)).map(|program| results.line(program)).collect()
    };
    let mut lines = bad(host_wide);
    for Standing { uuid, name, .. } in standings {
        lines.extend(bad(&results::of(host, uuid)?).iter().map(|line| format!("{name}: {line}")));
    }
    Ok(lines)
}

/// That libvirt tells nothing for now of a VM of which nothing is known.
///
/// # Errors
/// When it is not here, or takes no part.
fn nothing_known(vm: &str, uuid: Option<&Uuid>, survey: Option<&Survey>) -> Result<()> {
    let Some(survey) = survey else { bail!("no disc is recorded here for the VM {vm:?}") };
    let there = survey.vms.iter().find(|there| Some(&there.uuid) == uuid || there.name == vm);
    // Of one that is just arriving, or that libvirt failed to tell of, there is no XML.
    let is_told = |there: &&Vm| there.live.is_some() || there.definition.is_some();
    match there {
        Some(there) if is_told(&there) => {
            bail!("the VM {vm:?} does not take part; run: virt-recontext enable {}", there.word())
        }
        Some(_) => Ok(()),
        None => bail!("there is no VM {vm:?} here; \"virsh list --all\" shows all"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libvirt::domain::Situation;

    #[test]
    fn of_a_vm_that_libvirt_does_not_tell_of_it_is_not_said_that_it_takes_no_part() {
        let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let said = |definition: Option<&str>| {
            let (name, situation, definition) = ("web".to_owned(), Situation::Arriving, definition.map(str::to_owned));
            let (error, live, run_from_snapshot) = (None, None, None);
            let vm = Vm { name, uuid: uuid.clone(), situation, run_from_snapshot, error, live, definition };
            let survey = Survey { version: (11, 0, 0), vms: vec![vm] };
            nothing_known("web", None, Some(&survey))
        };
        assert!(said(None).is_ok());
        let error = said(Some("<domain/>")).unwrap_err();
        assert!(error.to_string().contains("the VM \"web\" does not take part"));
    }
}
