//! The programs that run at each call of a hook, and what it means for the VMs if a security module denies one.

use std::path::{Path, PathBuf};

use super::daemon::Daemon;
use super::installed::{Installed, Program, Standing};
use super::report::Check;
use crate::host::paths::Host;

/// Where our hook belongs.
const OURS: &str = "/usr/sbin/virt-recontext-hook";

/// A program that runs whenever libvirt calls a hook: the hook itself, or the one that a script names.
pub(super) struct Called<'a> {
    pub hook: &'a Installed,
    /// Where the program is looked for.
    pub path: PathBuf,
    /// Where that really lies, for the programs of this host: that is what counts.
    pub real: PathBuf,
    /// Whether it is one that a script names.
    pub by_script: bool,
}

/// Who may not run a program.
pub(super) struct Denial<'a> {
    pub who: &'a str,
    /// The program's label, as a part of the sentence; empty where labels do not count.
    pub label: &'a str,
    /// On whose word, as a part of the sentence; empty if it is the kernel's.
    pub by: &'a str,
}

impl Called<'_> {
    /// All that are there: one that may not be run stops every VM, whosever it is.
    pub(super) fn all<'a>(host: &Host, hooks: &'a [Installed], daemons: &[Daemon]) -> Vec<Called<'a>> {
        let mut all = Vec::new();
        for hook in hooks.iter().filter(|hook| hook.standing == Standing::Called) {
            let mut add = |path: PathBuf, by_script| {
                let real = path.canonicalize().map(|real| host.seen_inside(&real));
                all.extend(real.ok().map(|real| Called { hook, path, real, by_script }));
            };
            add(hook.path.clone(), false);
            let Program::Script(named) = &hook.program else { continue };
            for name in named {
                if name.is_absolute() {
                    add(host.under_root(name), true);
                } else if let Some(path) = found(host, daemons, name) {
                    add(path, true);
                }
            }
        }
        all
    }

    /// Says that it is denied. What libvirt then does is known; what a script does is not, for it may hide the failure.
    pub(super) fn deny(&self, host: &Host, denial: &Denial, remedy: &str, check: &mut Check) {
        let Denial { who, label, by } = denial;
        let (hook, real) = (self.hook.path.display(), self.real.display());
        let named = host.seen_inside(&self.path);
        let all = "no VM on this host starts or arrives, whether it takes part or not";
        let what = if !self.by_script && named == self.real {
            format!("{who} may not run {hook}{label}{by}: {all}")
        } else if !self.by_script {
            format!("{hook} is really {real}{label}, which {who} may not run{by}: {all}")
        } else {
            let really = if named == self.real { String::new() } else { format!(" (really {real})") };
            let named = named.display();
            format!(
                "{who} may not run {named}{really}{label}{by}, which the script {hook} names: no VM gets its context, and \
                 unless the script hides the failure, {all}"
            )
        };
        check.stops_all(what, remedy);
    }

    /// How it comes to be where every policy lets it run: by `install`, a command; or `fix`, if it is there already.
    pub(super) fn remedy(&self, install: &str, fix: &str) -> String {
        let (hook, real) = (self.hook.path.display(), self.real.display());
        match &self.hook.program {
            _ if self.real == Path::new(OURS) => fix.to_owned(),
            _ if self.by_script => {
                format!("install it into /usr/sbin itself: {install} {real} {OURS}, and let {hook} call that")
            }
            Program::Hook(_) => {
                format!("install it into /usr/sbin itself: {install} {real} {OURS} && ln -sf {OURS} {hook}")
            }
            _ => format!("{install} it into /usr/sbin itself, under a name of its own, and make {hook} a link to it"),
        }
    }
}

/// What the hooks find under a mere name: they have the daemon's PATH. `None` if there are several, of which it depends on
/// the script's language which one is taken.
fn found(host: &Host, daemons: &[Daemon], name: &Path) -> Option<PathBuf> {
    let places = daemons.iter().flat_map(|daemon| &daemon.search_path).map(|dir| host.under_root(dir).join(name));
    let mut there = places.filter_map(|place| Some((place.canonicalize().ok()?, place)));
    let (real, first) = there.next()?;
    there.all(|(other, _)| other == real).then_some(first)
}
