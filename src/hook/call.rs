//! The calls of libvirt's hook that concern us, and what each may do: one table.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

/// An operation of libvirt's QEMU hook that we act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A VM is about to start, arrive or be restored; its files are not yet looked at.
    Prepare,
    /// A VM is about to arrive; the answer becomes its definition.
    Migrate,
    /// A VM is about to be restored; the answer becomes its definition.
    Restore,
    /// QEMU runs; of a VM that arrives, the memory is still to come.
    Started,
    /// libvirtd was restarted and found the VM running. A failure here would kill it.
    Reconnect,
    /// The VM is gone from here; nothing can be held up any more.
    Stopped,
    /// Its resources are given back.
    Release,
    /// The same, on the way back to a snapshot: if that is of a running VM, a `Prepare` follows and its guest goes on.
    Revert,
}

/// Operation, its second word, its third if that matters, and whether a refusal is possible there (elsewhere it would
/// kill, or be ignored). The first row that fits counts.
const CALLS: [(&str, &str, Option<&str>, Operation, bool); 8] = [
    ("prepare", "begin", None, Operation::Prepare, true),
    ("migrate", "begin", None, Operation::Migrate, true),
    ("restore", "begin", None, Operation::Restore, true),
    ("started", "begin", None, Operation::Started, false),
    ("reconnect", "begin", None, Operation::Reconnect, false),
    ("stopped", "end", None, Operation::Stopped, false),
    // libvirt tells so since 10.5.
    ("release", "end", Some("from snapshot"), Operation::Revert, false),
    ("release", "end", None, Operation::Release, false),
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
    /// Reads the hook's arguments, `NAME OPERATION SUB-OPERATION EXTRA`; `None` for calls that do not concern us.
    pub fn parse(args: impl Iterator<Item = OsString>) -> Option<HookCall> {
        let args: Vec<OsString> = args.take(4).collect();
        let [name, operation, sub_operation, more @ ..] = args.as_slice() else { return None };
        let fits = |extra: Option<&str>| extra.is_none_or(|extra| more.first().is_some_and(|word| word == extra));
        let (.., operation, _) =
            CALLS.iter().find(|(op, sub, extra, ..)| operation == op && sub_operation == sub && fits(*extra))?;
        Some(HookCall { domain: name.to_string_lossy().into_owned(), operation: *operation })
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
        CALLS.iter().any(|(.., operation, may)| *operation == self && *may)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CALLS.iter().find(|(.., operation, _)| operation == self).map_or("", |(name, ..)| name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Option<Operation> {
        HookCall::parse(line.split(' ').map(OsString::from)).map(|call| call.operation)
    }

    #[test]
    fn only_the_calls_of_the_table_concern_us() {
        assert_eq!(parse("vm migrate begin -"), Some(Operation::Migrate));
        assert_eq!(parse("vm release end migrated"), Some(Operation::Release));
        assert_eq!(parse("vm release end"), Some(Operation::Release));
        let reverted = ["vm", "release", "end", "from snapshot"].map(OsString::from);
        assert_eq!(HookCall::parse(reverted.into_iter()).map(|call| call.operation), Some(Operation::Revert));
        for line in
            ["vm start begin -", "vm stopped begin -", "vm migrate end -", "vm attach begin -", "vm migrate", "vm", ""]
        {
            assert_eq!(parse(line), None, "{line}");
        }
    }

    #[test]
    fn nothing_is_refused_where_that_would_kill_a_running_vm() {
        let may: Vec<Operation> = CALLS.iter().map(|call| call.3).filter(|operation| operation.may_refuse()).collect();
        assert_eq!(may, [Operation::Prepare, Operation::Migrate, Operation::Restore]);
    }
}
