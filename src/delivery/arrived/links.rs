//! The links of a running VM's interfaces, taken down for a moment: whoever asks for addresses in the guest asks anew then.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::context::domain::link::{Interface, interfaces};
use crate::delivery::outcome::Outcome;
use crate::libvirt::domain::{Handle, Scope};
use crate::libvirt::trouble::Trouble;

/// A guest sees a link that is down for so long. One that has just come stands still for some time, while its memory follows
/// it or while QEMU translates its code anew: of guests emulated on a busy machine every third one missed 100 ms.
const DOWN: Duration = Duration::from_millis(500);

/// The interfaces with these MACs, but for those whose link is down already: that is somebody's wish.
pub(super) fn of_those(xml: &str, macs: &[String]) -> Result<Vec<Interface>> {
    Ok(interfaces(xml, macs)?.into_iter().filter(|interface| !interface.is_down).collect())
}

/// Takes the links down and up again. The second result says why one could not be taken down; all are up then, too.
///
/// # Errors
/// When one could not be put up again.
pub(super) fn flap(handle: &Handle, interfaces: &[Interface]) -> Result<Result<(), String>, Outcome> {
    let down = interfaces.iter().try_for_each(|interface| handle.update_device(&interface.down, Scope::Live, false));
    if down.is_ok() {
        sleep(DOWN);
    }
    let up = each(interfaces, |interface| handle.update_device(&interface.as_it_is, Scope::Live, false));
    up.map_err(not_up)?;
    match down {
        Err(trouble @ (Trouble::Gone | Trouble::Lost | Trouble::Busy(_))) => Err(trouble.into()),
        down => Ok(down.map_err(|trouble| trouble.to_string())),
    }
}

/// Puts the links with these MACs up, of those that are down, and gives the MACs of these.
pub(super) fn put_up(handle: &Handle, macs: &[String]) -> Result<Vec<String>, Outcome> {
    let xml = handle.xml(Scope::Live)?;
    let down: Vec<Interface> = interfaces(&xml, macs).map_err(Outcome::hopeless)?;
    let down: Vec<Interface> = down.into_iter().filter(|interface| interface.is_down).collect();
    each(&down, |interface| handle.update_device(&interface.up, Scope::Live, false)).map_err(not_up)?;
    Ok(down.into_iter().map(|interface| interface.mac).collect())
}

/// Acts on each, also behind one at which it fails; gives the first failure.
fn each(interfaces: &[Interface], act: impl Fn(&Interface) -> Result<(), Trouble>) -> Result<(), Trouble> {
    interfaces.iter().map(act).fold(Ok(()), Result::and)
}

fn not_up(trouble: Trouble) -> Outcome {
    match trouble {
        Trouble::Refused(why) | Trouble::Other(why) => Outcome::Failed(format!("putting its link up again: {why}")),
        Trouble::Busy(why) => Outcome::Busy(format!("its link is to be put up again, and {why}")),
        trouble => trouble.into(),
    }
}
