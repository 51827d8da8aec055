//! The links of a running VM's interfaces, taken down for a moment: whoever asks for addresses in the guest asks anew then.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::context::domain::link::{Interface, interfaces};
use crate::context::domain::link_mark::LINKS;
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

/// Takes the links down and up again. Gives the MACs of those whose guest has seen it, and what there is to say if there are others.
///
/// The VM is marked meanwhile, so that it is known wherever it goes on should it be migrated or saved just then, or its snapshot taken.
///
/// # Errors
/// When one is not up again, or that is not known.
pub(super) fn flap(handle: &Handle, interfaces: &[Interface]) -> Result<(Vec<String>, Option<String>), Outcome> {
    let (mut down, mut fault, mut broken_off) = (Vec::new(), None, None);
    let macs: Vec<String> = interfaces.iter().map(|interface| interface.mac.clone()).collect();
    match handle.mark_links(Some(&macs)) {
        Ok(()) => {}
        Err(Trouble::Refused(why) | Trouble::Other(why)) => {
            let macs = macs.join(", ");
            return Ok((down, Some(format!("the link of {macs} is not taken down for its new network: {why}"))));
        }
        Err(trouble) => return Err(trouble.into()),
    }
    for interface in interfaces {
        match handle.update_device(&interface.down, Scope::Live, false) {
            Ok(()) => down.push(interface.mac.clone()),
            Err(Trouble::Refused(why) | Trouble::Other(why)) => {
                let mac = &interface.mac;
                fault = Some(format!("the link of {mac} cannot be taken down for its new network: {why}"));
            }
            Err(trouble) => {
                broken_off = Some(trouble);
                break;
            }
        }
    }
    if !down.is_empty() {
        sleep(DOWN);
    }
    put_up(handle, &down)?;
    broken_off.map_or(Ok((down, fault)), |trouble| Err(trouble.into()))
}

/// Puts the links with these MACs up, of those that are down, and gives the MACs of these. What else somebody has changed of
/// the interfaces meanwhile stays.
pub(super) fn put_up(handle: &Handle, macs: &[String]) -> Result<Vec<String>, Outcome> {
    let xml = handle.migratable_xml()?;
    let all = interfaces(&xml, macs).map_err(Outcome::hopeless)?;
    let were_down: Vec<Interface> = all.into_iter().filter(|interface| interface.is_down).collect();
    let up = |interface: &Interface| handle.update_device(&interface.up, Scope::Live, false);
    if let Err(trouble) = were_down.iter().map(up).fold(Ok(()), Result::and) {
        return Err(match trouble {
            Trouble::Refused(why) | Trouble::Other(why) => Outcome::Failed(format!("putting its link up again: {why}")),
            Trouble::Busy(why) => Outcome::Busy(format!("its link is to be put up again, and {why}")),
            trouble => trouble.into(),
        });
    }
    if xml.contains(LINKS) {
        // A mark that stays has somebody look, and find the links up.
        let _stays = handle.mark_links(None);
    }
    Ok(were_down.into_iter().map(|interface| interface.mac).collect())
}
