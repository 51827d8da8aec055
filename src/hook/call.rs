//! The calls of libvirt's hook that concern us, and what each may do: one table.

use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use crate::context::driver::Driver;

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
    /// Its resources are given back.
    Release,
}

/// Every driver.
const ALL: &[Driver] = &Driver::ALL;

/// Operation, its second word, who calls it, and whether a refusal is possible there (elsewhere it would kill, or be
/// ignored). Xen's driver restores a VM like one that starts: by `prepare` and `started`.
const CALLS: [(&str, &str, Operation, &[Driver], bool); 7] = [
    ("prepare", "begin", Operation::Prepare, ALL, true),
    ("migrate", "begin", Operation::Migrate, ALL, true),
    ("restore", "begin", Operation::Restore, &[Driver::Qemu], true),
    ("started", "begin", Operation::Started, ALL, false),
    ("reconnect", "begin", Operation::Reconnect, ALL, false),
    ("stopped", "end", Operation::Stopped, ALL, false),
    ("release", "end", Operation::Release, ALL, false),
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
        let [name, operation, sub_operation, ..] = args.as_slice() else { return None };
        let is_it = |(op, sub, _, callers, _): &&(&str, &str, Operation, &[Driver], bool)| {
            operation == op && sub_operation == sub && callers.contains(&driver)
        };
        let (_, _, operation, ..) = CALLS.iter().find(is_it)?;
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
        CALLS.iter().any(|(.., operation, _, may)| *operation == self && *may)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(CALLS.iter().find(|(.., operation, _, _)| operation == self).map_or("", |(name, ..)| name))
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
        for line in ["vm prepare begin -", "vm migrate begin -", "vm release end -"] {
            assert_eq!(parse_of(Driver::Xen, line), parse(line), "{line}");
        }
    }

    #[test]
    fn nothing_is_refused_where_that_would_kill_a_running_vm() {
        let may: Vec<Operation> = CALLS.iter().map(|call| call.2).filter(|operation| operation.may_refuse()).collect();
        assert_eq!(may, [Operation::Prepare, Operation::Migrate, Operation::Restore]);
    }
}
