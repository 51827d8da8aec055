//! The calls of libvirt's hook that concern us, and what each means: one table. See hooks/README.md.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use crate::context::domain::driver::Driver;

/// An operation of libvirt's hooks that we act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A VM is about to start, arrive or be restored; its files are not yet looked at.
    Prepare,
    /// A VM is about to arrive; the answer becomes its definition.
    Migrate,
    /// A VM is about to be restored; the answer becomes its definition.
    Restore,
    /// The VM runs, or its memory is there; of a VM that arrives, the memory is still to come.
    Started,
    /// libvirtd was restarted and found the VM running. A failure here would kill it.
    Reconnect,
    /// The VM is gone from here; nothing can be held up any more.
    Stopped,
    /// Its resources are given back, and it is gone from here.
    Release,
    /// The same, but a snapshot or a saved state that names its disc may be what comes next, or nobody says why.
    Leave,
    /// The same, on the way back to a snapshot: if that is of a running VM, a `Prepare` follows and its guest goes on.
    Revert,
}

/// What an operation means: one row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// The operation, its second word, and the third words that it is for; for any if there are none.
    words: (&'static str, &'static str, &'static [&'static str]),
    drivers: &'static [Driver],
    operation: Operation,
    /// How long libvirtd waits for us at most, from our start to our end.
    pub(crate) deadline: Duration,
    /// Whether the VM may be refused because its disc cannot be made, if the administrator wants that; elsewhere a refusal
    /// would kill, or be ignored.
    pub(crate) may_refuse: bool,
    /// Whether the configuration matters. What only tidies up, or starts the helper, does so under a broken one too.
    pub(crate) needs_config: bool,
    /// Whether the VM is held while it is decided what to do.
    pub(crate) holds: bool,
    /// What lets the VM go on without its disc.
    pub(crate) fallback: Fallback,
}

/// What lets a VM go on whose disc could not be made, and whose file is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fallback {
    Nothing,
    /// An empty disc in its place: there is no answer that could say anything.
    EmptyDisc,
    /// An answer that lets the file be missing.
    MayBeMissing,
}

/// At the calls during which libvirtd holds the domain's lock: whoever asks it for its list of VMs waits as well.
const LOCKED: Duration = Duration::from_secs(4);

/// At the two calls that come before the domain is in that list.
const UNLISTED: Duration = Duration::from_secs(10);

/// Why a VM of QEMU's driver is released that is gone from here for good; libvirt tells so since 10.5.
const GONE: &[&str] = &["migrated", "destroyed", "shutdown", "crashed", "failed"];

/// What most rows have in common: they write what there is of the VM, and make no disc.
const COMMON: Row = Row {
    words: ("", "", &[]),
    drivers: &Driver::ALL,
    operation: Operation::Stopped,
    deadline: LOCKED,
    may_refuse: false,
    needs_config: false,
    holds: true,
    fallback: Fallback::Nothing,
};

/// All of them; the first that fits counts. Xen's driver restores a VM like one that starts, by `prepare` and `started`, and
/// says no reason at `release`; it has no snapshots.
static CALLS: [Row; 10] = [
    Row {
        words: ("prepare", "begin", &[]),
        operation: Operation::Prepare,
        may_refuse: true,
        needs_config: true,
        fallback: Fallback::EmptyDisc,
        ..COMMON
    },
    Row {
        words: ("migrate", "begin", &[]),
        operation: Operation::Migrate,
        deadline: UNLISTED,
        may_refuse: true,
        needs_config: true,
        fallback: Fallback::MayBeMissing,
        ..COMMON
    },
    Row {
        words: ("restore", "begin", &[]),
        drivers: &[Driver::Qemu],
        operation: Operation::Restore,
        deadline: UNLISTED,
        may_refuse: true,
        needs_config: true,
        fallback: Fallback::MayBeMissing,
        ..COMMON
    },
    Row { words: ("started", "begin", &[]), operation: Operation::Started, needs_config: true, holds: false, ..COMMON },
    Row { words: ("reconnect", "begin", &[]), operation: Operation::Reconnect, holds: false, ..COMMON },
    Row { words: ("stopped", "end", &[]), operation: Operation::Stopped, ..COMMON },
    Row {
        words: ("release", "end", &["from snapshot"]),
        drivers: &[Driver::Qemu],
        operation: Operation::Revert,
        ..COMMON
    },
    Row { words: ("release", "end", GONE), drivers: &[Driver::Qemu], operation: Operation::Release, ..COMMON },
    Row { words: ("release", "end", &[]), drivers: &[Driver::Qemu], operation: Operation::Leave, ..COMMON },
    Row { words: ("release", "end", &[]), drivers: &[Driver::Xen], operation: Operation::Release, ..COMMON },
];

/// One call of the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    pub(crate) domain: String,
    pub operation: Operation,
}

impl HookCall {
    /// Reads the arguments of the hook of `driver`, `NAME OPERATION SUB-OPERATION EXTRA`; `None` for calls that do not
    /// concern us.
    pub fn parse(driver: Driver, args: &[OsString]) -> Option<HookCall> {
        let [name, operation, sub_operation, more @ ..] = args else { return None };
        let is_it = |Row { words: (first, second, third), drivers, .. }: &&Row| {
            let fits = third.is_empty() || more.first().is_some_and(|word| third.iter().any(|third| word == third));
            operation == first && sub_operation == second && fits && drivers.contains(&driver)
        };
        let operation = CALLS.iter().find(is_it)?.operation;
        Some(HookCall { domain: name.to_string_lossy().into_owned(), operation })
    }
}

impl Operation {
    pub(crate) fn row(self) -> &'static Row {
        CALLS.iter().find(|row| row.operation == self).unwrap_or(&COMMON)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().words.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Operation> {
        parse_of(Driver::Qemu, line)
    }

    fn parse_of(driver: Driver, line: &str) -> Option<Operation> {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        HookCall::parse(driver, &args).map(|call| call.operation)
    }

    #[test]
    fn only_the_calls_of_the_table_concern_us() {
        assert_eq!(parse("vm migrate begin -"), Some(Operation::Migrate));
        assert_eq!(parse("vm release end migrated"), Some(Operation::Release));
        for word in ["", " -", " saved", " daemon", " unknown"] {
            assert_eq!(parse(&format!("vm release end{word}")), Some(Operation::Leave), "{word}");
        }
        let reverted = ["vm", "release", "end", "from snapshot"].map(OsString::from);
        assert_eq!(HookCall::parse(Driver::Qemu, &reverted).map(|call| call.operation), Some(Operation::Revert));
        for line in
            ["vm start begin -", "vm stopped begin -", "vm migrate end -", "vm attach begin -", "vm migrate", "vm", ""]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn xens_driver_has_no_restore() {
        assert_eq!(parse("vm restore begin -"), Some(Operation::Restore));
        assert_eq!(parse_of(Driver::Xen, "vm restore begin -"), None);
        for line in ["vm prepare begin -", "vm migrate begin -"] {
            assert_eq!(parse_of(Driver::Xen, line), parse(line), "{line}");
        }
        assert_eq!(parse_of(Driver::Xen, "vm release end -"), Some(Operation::Release));
    }

    #[test]
    fn every_operation_has_its_row() {
        for row in &CALLS {
            assert_eq!(row.operation.row().operation, row.operation, "{:?}", row.words);
        }
    }

    #[test]
    fn nothing_is_refused_where_that_would_kill_a_running_vm() {
        let may: Vec<Operation> = CALLS.iter().filter(|row| row.may_refuse).map(|row| row.operation).collect();
        assert_eq!(may, [Operation::Prepare, Operation::Migrate, Operation::Restore]);
    }
}
