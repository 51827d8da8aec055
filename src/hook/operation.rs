//! The calls of libvirt's hook that concern us, and what each may do: one table.

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

/// A call that concerns us.
struct Row {
    /// The operation, its second word, and the third words that it is for; for any if there are none.
    words: (&'static str, &'static str, &'static [&'static str]),
    operation: Operation,
    /// Who calls it.
    drivers: &'static [Driver],
    /// Whether a refusal is possible there; elsewhere it would kill, or be ignored.
    may_refuse: bool,
}

const fn row(
    words: (&'static str, &'static str, &'static [&'static str]),
    operation: Operation,
    drivers: &'static [Driver],
    may_refuse: bool,
) -> Row {
    Row { words, operation, drivers, may_refuse }
}

/// Every driver.
const ALL: &[Driver] = &Driver::ALL;

/// Why a VM of QEMU's driver is released that is gone from here for good; libvirt tells so since 10.5.
const GONE: &[&str] = &["migrated", "destroyed", "shutdown", "crashed", "failed"];

/// All of them; the first that fits counts. Xen's driver restores a VM like one that starts, by `prepare` and `started`, and
/// says no reason at `release`; it has no snapshots.
const CALLS: [Row; 10] = [
    row(("prepare", "begin", &[]), Operation::Prepare, ALL, true),
    row(("migrate", "begin", &[]), Operation::Migrate, ALL, true),
    row(("restore", "begin", &[]), Operation::Restore, &[Driver::Qemu], true),
    row(("started", "begin", &[]), Operation::Started, ALL, false),
    row(("reconnect", "begin", &[]), Operation::Reconnect, ALL, false),
    row(("stopped", "end", &[]), Operation::Stopped, ALL, false),
    row(("release", "end", &["from snapshot"]), Operation::Revert, &[Driver::Qemu], false),
    row(("release", "end", GONE), Operation::Release, &[Driver::Qemu], false),
    row(("release", "end", &[]), Operation::Leave, &[Driver::Qemu], false),
    row(("release", "end", &[]), Operation::Release, &[Driver::Xen], false),
];

/// One call of the hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// The VM's name, for messages.
    pub domain: String,
    /// What happens to it.
    pub operation: Operation,
}

impl HookCall {
    /// Reads the arguments of the hook of `driver`, `NAME OPERATION SUB-OPERATION EXTRA`; `None` for calls that do not
    /// concern us.
    pub fn parse(driver: Driver, args: impl Iterator<Item = OsString>) -> Option<HookCall> {
        let args: Vec<OsString> = args.take(4).collect();
        let [name, operation, sub_operation, more @ ..] = args.as_slice() else { return None };
        let is_it = |Row { words: (first, second, third), drivers, .. }: &&Row| {
            let fits = third.is_empty() || more.first().is_some_and(|word| third.iter().any(|third| word == third));
            operation == first && sub_operation == second && fits && drivers.contains(&driver)
        };
        let operation = CALLS.iter().find(is_it)?.operation;
        Some(HookCall { domain: name.to_string_lossy().into_owned(), operation })
    }
}

impl Operation {
    /// How long libvirtd waits for us at most, from our start to our end. At all but two calls it holds the domain's lock
    /// meanwhile, and whoever asks it for its list of VMs waits as well.
    pub fn deadline(self) -> Duration {
        match self {
            Operation::Migrate | Operation::Restore => Duration::from_secs(10),
            _ => Duration::from_secs(4),
        }
    }

    /// Whether the VM may be refused because its disc cannot be made, if the administrator wants that.
    pub fn may_refuse(self) -> bool {
        CALLS.iter().any(|row| row.operation == self && row.may_refuse)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CALLS.iter().find(|row| row.operation == *self).map_or("", |row| row.words.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Operation> {
        parse_of(Driver::Qemu, line)
    }

    fn parse_of(driver: Driver, line: &str) -> Option<Operation> {
        HookCall::parse(driver, line.split(' ').map(OsString::from)).map(|call| call.operation)
    }

    #[test]
    fn only_the_calls_of_the_table_concern_us() {
        assert_eq!(parse("vm migrate begin -"), Some(Operation::Migrate));
        assert_eq!(parse("vm release end migrated"), Some(Operation::Release));
        for word in ["", " -", " saved", " daemon", " unknown"] {
            assert_eq!(parse(&format!("vm release end{word}")), Some(Operation::Leave), "{word}");
        }
        let reverted = ["vm", "release", "end", "from snapshot"].map(OsString::from);
        assert_eq!(
            HookCall::parse(Driver::Qemu, reverted.into_iter()).map(|call| call.operation),
            Some(Operation::Revert)
        );
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
    fn nothing_is_refused_where_that_would_kill_a_running_vm() {
        let may: Vec<Operation> =
            CALLS.iter().map(|row| row.operation).filter(|operation| operation.may_refuse()).collect();
        assert_eq!(may, [Operation::Prepare, Operation::Migrate, Operation::Restore]);
    }
}
