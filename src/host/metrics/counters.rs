//! How many discs have been delivered since this host was started, and how long that took. Only the helper counts, which holds
//! the helper's lock; it counts a delivery before its job leaves the spool. One that is killed in between counts that one twice.

use std::collections::BTreeMap;

use anyhow::{Result, anyhow, bail};
use serde::{Deserialize, Serialize};

use super::told;
use crate::host::clock;
use crate::host::log::Log;
use crate::host::paths::Host;
use crate::host::vm::job::Job;
use crate::host::vm::record;

/// How a guest has come by its disc.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It was asked to let go of the old one, had none, or has found it when it came.
    Asked,
    /// It was made to let go.
    Forced,
}

/// What became of a job.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Became {
    Delivered(Way),
    Failed,
}

/// All of them, by the words for reasons: a version that knows more of those may have written it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counters {
    #[serde(default)]
    pub reasons: BTreeMap<String, Counted>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Counted {
    pub asked: u64,
    pub forced: u64,
    pub failed: u64,
    /// The deliveries whose time is known, and that time, in hundredths of a second.
    pub timed: u64,
    pub time: u64,
}

impl Counters {
    /// What was counted; nothing, if nothing was.
    ///
    /// # Errors
    /// When that cannot be read.
    pub(crate) fn known(host: &Host) -> Result<Counters> {
        let file = host.counters_file();
        if record::is_newer(&file) {
            bail!("{} is of a newer version of virt-recontext", file.display());
        }
        let read = record::read(&file)?.transpose();
        Ok(read.map_err(|error| anyhow!("{} is damaged: {error}", file.display()))?.unwrap_or_default())
    }

    fn count(&mut self, job: &Job, became: Became) {
        let counted = self.reasons.entry(job.reason.to_string()).or_default();
        let (one, time) = match became {
            Became::Failed => (&mut counted.failed, None),
            Became::Delivered(Way::Asked) => (&mut counted.asked, job.noted_at()),
            Became::Delivered(Way::Forced) => (&mut counted.forced, job.noted_at()),
        };
        *one = one.saturating_add(1);
        if let Some(noted) = time {
            counted.timed = counted.timed.saturating_add(1);
            counted.time = counted.time.saturating_add(clock::now().0.saturating_sub(noted));
        }
    }
}

/// Counts what became of a job of a disc. Where that cannot be, it is told once and is no reason for anything.
pub(crate) fn count(host: &Host, log: &mut Log, job: &Job, became: Became) {
    if job.rules_alone {
        return;
    }
    let known = Counters::known(host);
    let lost =
        known.as_ref().err().map(|error| format!("{error:#}; what was counted is lost, and counting begins anew"));
    let mut counters = known.unwrap_or_default();
    counters.count(job, became);
    let not_written = record::write(&host.counters_file(), &counters);
    let not_written = not_written.err().map(|error| format!("{error:#}; what is delivered meanwhile is not counted"));
    match not_written.or(lost) {
        Some(line) if told::is_news(host, told::COUNTERS, &line) => log.warning(format_args!("metrics: {line}")),
        Some(_) => {}
        None => told::is_over(host, told::COUNTERS),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::marker::Reason;
    use crate::context::domain::driver::Driver;
    use crate::host::file;

    fn host(root: &tempfile::TempDir) -> Host {
        Host::new(root.path().to_owned(), "host".to_owned())
    }

    fn job(reason: Reason) -> Job {
        Job::new("6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap(), "vm", Driver::Qemu, reason, false)
    }

    fn count_one(host: &Host, reason: Reason, became: Became) {
        count(host, &mut Log::open(host), &job(reason), became);
    }

    #[test]
    fn what_is_counted_is_kept_by_reason_and_way() {
        let root = tempfile::tempdir().unwrap();
        let host = host(&root);
        count_one(&host, Reason::Migrate, Became::Delivered(Way::Asked));
        count_one(&host, Reason::Migrate, Became::Delivered(Way::Forced));
        count_one(&host, Reason::Refresh, Became::Failed);
        count(&host, &mut Log::open(&host), &job(Reason::Start).for_rules_alone(), Became::Failed);
        let Counters { reasons } = Counters::known(&host).unwrap();
        let migrate = reasons.get("migrate").copied().unwrap();
        assert_eq!((migrate.asked, migrate.forced, migrate.failed, migrate.timed), (1, 1, 0, 2));
        assert!(migrate.time < 6_000, "{migrate:?}");
        assert_eq!(reasons.get("refresh"), Some(&Counted { failed: 1, ..Counted::default() }));
        assert_eq!(reasons.len(), 2);
    }

    #[test]
    fn what_a_later_version_adds_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let host = host(&root);
        let later = r#"{"version":1,"reasons":{"moved":{"asked":2,"slow":1}},"more":[1]}"#;
        file::make_dir(host.counters_file().parent().unwrap(), 0o700).unwrap();
        file::replace_text(&host.counters_file(), later).unwrap();
        count_one(&host, Reason::Start, Became::Delivered(Way::Asked));
        let Counters { reasons } = Counters::known(&host).unwrap();
        assert_eq!([reasons["moved"].asked, reasons["start"].asked], [2, 1]);
    }

    #[test]
    fn counters_that_cannot_be_read_begin_anew() {
        let root = tempfile::tempdir().unwrap();
        let host = host(&root);
        file::make_dir(host.counters_file().parent().unwrap(), 0o700).unwrap();
        for bad in [r#"{"version":1,"reas"#, "", r#"{"version":2,"reasons":[]}"#] {
            file::replace_text(&host.counters_file(), bad).unwrap();
            assert!(Counters::known(&host).is_err(), "{bad}");
            count_one(&host, Reason::Start, Became::Delivered(Way::Asked));
            assert_eq!(Counters::known(&host).unwrap().reasons["start"].asked, 1, "{bad}");
        }
    }
}
