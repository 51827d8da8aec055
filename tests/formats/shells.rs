//! Shells that source a `context.sh` as guests do.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use crate::reader::run;

/// The shells of common guests, with the packages that have them.
pub const SHELLS: [(&[&str], &str); 4] =
    [(&["bash"], "bash"), (&["bash", "--posix"], "bash"), (&["dash"], "dash"), (&["busybox", "sh"], "busybox-static")];

/// The values that variables have after the script has run, byte for byte.
pub fn values<'n>(
    (shell, package): (&[&str], &str),
    dir: &Path,
    names: impl Iterator<Item = &'n String>,
) -> BTreeMap<String, Vec<u8>> {
    let names: Vec<&String> = names.collect();
    let mut command = Command::new(shell[0]);
    command.args(&shell[1..]).args(["-eu", "-c", "cd \"$1\"; shift; . ./context.sh; eval \"$1\"", "-"]).arg(dir);
    let print = |name: &&String| format!("printf '%s\\0' \"${name}\"\n");
    command.arg(names.iter().map(print).collect::<String>()).env_clear().env("PATH", "/usr/bin:/bin");
    let output = run(&mut command, package);
    let mut values = output.split(|byte| *byte == 0).map(<[u8]>::to_vec);
    let all = names.iter().map(|name| ((*name).clone(), values.next().unwrap_or_default())).collect();
    assert_eq!(values.next().as_deref(), Some(&b""[..]), "{shell:?} has printed something else than the values");
    all
}
