//! The steps by which a VM's state changes; there are no others.

use anyhow::Result;

use super::held::Vm;
use super::image::{Disc, Kept};
use super::record;
use super::state::{About, Progress, RulesNote, State};
use crate::host::clock;
use crate::host::receipt::Count;

/// Each step is written down as of now.
impl Vm<'_> {
    /// The newest disc, which may have been made just now, is in the drive, and the guest knows as far as it can.
    pub(crate) fn delivered(&self, about: About, disc: Option<&Disc>, message: &str) -> Result<()> {
        self.put(self.seen(about)?.with(disc).now(Progress::Delivered, message))
    }

    /// The same of a disc that was made before, when its delivery took some time, as `took` tells.
    #[cfg(feature = "libvirt")]
    pub(crate) fn delivered_in(&self, about: About, message: &str, took: &str) -> Result<()> {
        let state = self.seen(about)?.now(Progress::Delivered, message);
        self.put(State { took: took.to_owned(), ..state })
    }

    /// The newest disc, which may have been made just now, waits.
    pub fn waits(&self, about: About, disc: Option<&Disc>, message: &str) -> Result<()> {
        self.put(self.seen(about)?.with(disc).now(Progress::Waiting, message))
    }

    /// There is no new disc, or it cannot be put in.
    pub(crate) fn failed(&self, about: About, message: &str) -> Result<()> {
        self.put(self.seen(about)?.now(Progress::Failed, message))
    }

    /// Newer content waits for the VM's next start, restore or arrival.
    pub(crate) fn waits_until_next_start(&self, about: About, message: &str) -> Result<()> {
        let state = self.seen(about)?.now(Progress::Waiting, message);
        self.put(State { until_next_start: true, ..state })
    }

    /// An empty disc lies where its own should; what is known of the failure stays, or else is `message`.
    pub(crate) fn has_empty_disc(&self, about: About, disc: &Disc, message: &str) -> Result<()> {
        let known = State::of(self.host, self.uuid())?;
        let state = known.unwrap_or_else(|| State::new(self.uuid(), about).now(Progress::Failed, message));
        self.put(state.with_file(disc))
    }

    /// The guest was told of its disc by a media change in the run of this number, when so much had been read from its drive. How
    /// far the disc has come is told by the step that follows.
    pub(crate) fn is_told_in(&self, run: Option<u32>, counted: Option<Count>) -> Result<()> {
        match State::known(self.host, self.uuid())? {
            None => Ok(()),
            Some(state) => record::write(&self.host.state_file(self.uuid()), &State { told_in: run, counted, ..state }),
        }
    }

    /// Rules have looked at the VM that comes, which `takes_part` beyond that or not. How far its disc has come is told already.
    pub(crate) fn rules_did(&self, about: About, mut note: RulesNote, takes_part: bool) -> Result<()> {
        // What it had when it last took part may be in a snapshot, and is cleared away by whoever knows its file.
        let known = State::known(self.host, self.uuid())?;
        let has_disc = known.as_ref().is_some_and(|state| state.image.is_some());
        note.alone = !takes_part && !has_disc;
        let state = known.filter(|state| has_disc || (takes_part && !state.left)).unwrap_or_else(|| {
            let new = State::new(self.uuid(), about);
            let state = match takes_part {
                true => new.now(Progress::Waiting, "nothing has been done about its disc yet"),
                false => new.now(Progress::Delivered, "it takes part in rules alone"),
            };
            State { since: clock::now().0, ..state }
        });
        record::write(&self.host.state_file(self.uuid()), &State { rules: Some(note), ..state })
    }

    /// What is known of what rules did, and have still to do.
    pub(crate) fn rules(&self) -> Result<Option<RulesNote>> {
        Ok(State::known(self.host, self.uuid())?.and_then(|state| state.rules))
    }

    /// That has changed.
    pub(crate) fn rules_are(&self, rules: &RulesNote) -> Result<()> {
        let Some(state) = State::known(self.host, self.uuid())? else { return Ok(()) };
        record::write(&self.host.state_file(self.uuid()), &State { rules: Some(rules.clone()), ..state })
    }

    /// The disk `target` is taken out of the running VM, and is to be given back; or none is any more.
    pub(crate) fn disk_is_out(&self, target: Option<&str>) -> Result<()> {
        let Some(state) = State::of(self.host, self.uuid())? else { return Ok(()) };
        let state = state.now(Progress::Waiting, "the disk with the old disc has been detached; the new one follows");
        self.put(State { detached: target.map(str::to_owned), ..state })
    }

    /// The last disc, of which `known` was known, goes back to its place, and the newest one is gone.
    pub(crate) fn put_back(&self, last: Kept, known: State) -> Result<()> {
        last.put_back()?;
        self.put(known.now(Progress::Waiting, "the last disc is back in its place"))
    }

    /// A VM that had ended here starts again, with the disc that was left.
    pub(crate) fn is_back(&self) -> Result<()> {
        let known = State::known(self.host, self.uuid())?;
        known.map_or(Ok(()), |state| self.put(State { left: false, ..state }))
    }

    /// The VM has ended here and its disc is left.
    pub(super) fn is_left(&self, state: State) -> Result<()> {
        // The time is that of its end.
        if state.left { Ok(()) } else { self.put(State { left: true, ..state }) }
    }

    /// What was known of the VM, with what `about` tells.
    fn seen(&self, about: About) -> Result<State> {
        let known = State::known(self.host, self.uuid())?;
        Ok(known.unwrap_or_else(|| State::new(self.uuid(), about)).seen(about))
    }

    fn put(&self, state: State) -> Result<()> {
        let state = State { since: clock::now().0, ..state };
        record::write(&self.host.state_file(self.uuid()), &state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::marker::Reason;
    use crate::context::domain::driver::Driver;
    use crate::host::paths::Host;

    #[test]
    fn a_guest_that_goes_on_from_a_snapshot_is_told_once_in_each_run() {
        let root = tempfile::tempdir().unwrap();
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        let uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
        let vm = Vm::hold(&host, &uuid).unwrap();
        let is_untold = |run| State::of(&host, &uuid).unwrap().unwrap().is_untold_since_snapshot(run);
        let comes = || vm.delivered(About::coming("vm", Driver::Qemu, Reason::Start), None, "").unwrap();
        comes();
        assert!(is_untold(1));
        vm.is_told_in(Some(1), None).unwrap();
        vm.delivered(About::running("vm", Driver::Qemu, Reason::Refresh), None, "").unwrap();
        assert!(!is_untold(1) && is_untold(2));
        // The daemon may give that number again, to a run that begins anew.
        comes();
        assert!(is_untold(1));
    }
}
