//! What people act on. Each such event has a number that is the same in every version and on every host: the journal's catalog
//! (packaging/systemd/virt-recontext.catalog) says under it what to do, and a monitoring system finds its lines by it, whatever
//! their words. What is only told, such as each step of a delivery, has none.

macro_rules! events {
    ($($(#[$meta:meta])* $event:ident $name:literal $id:literal)+) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Event {
            $($(#[$meta])* $event,)+
        }

        impl Event {
            #[cfg(test)]
            const ALL: &[Event] = &[$(Event::$event),+];

            /// Its number, as the journal's `MESSAGE_ID`, and its name.
            pub(super) const fn id_and_name(self) -> (&'static str, &'static str) {
                match self {
                    $(Event::$event => ($id, $name),)+
                }
            }
        }
    };
}

events! {
    /// The newest disc is in the drive of a running VM, and its guest was told.
    Delivered "delivered" "6075f781dbcd4bf797eb7f9f6c21bf24"
    /// The guest holds its old disc, and is asked again.
    Held "held" "54dcbf32101c4b6a82637cd00de49370"
    /// What is new cannot get to the guest before its next start, restore or arrival.
    NextStart "next-start" "ba129a129e3043169e9f3fe7c4cf9ec7"
    /// A job is left to whoever asks for it next.
    GivenUp "given-up" "43cbcf5d48d943dc8c1d8a9abc1b1854"
    /// An attempt at a VM's job does not end, and with it the helper.
    Stuck "stuck" "bcfcc13d1c5f4b7fafba8fee2d9d9881"
    /// The helper has not started, or has ended before its jobs were done, whosever they are.
    JobsLeft "jobs-left" "1a2c1636c0334e97a9fe89d33d2225ae"
    /// The hook has refused a VM, as the administrator wants.
    Refused "refused" "d54b6dc3f60d44369a21c894892a7868"
    /// The hook could not do what it was to do for a VM, which goes on with less: its old disc, an empty one, or none.
    HookFailed "hook-failed" "dc51851a7100414c8647cbfc5a87d3a5"
    /// No rule was applied to a VM that comes.
    RulesDropped "rules-dropped" "5d930451141e434a8a119de57908cd7b"
    /// What rules had left to do once the VM is here could not be done: its definition, or a link.
    RulesUnfinished "rules-unfinished" "677755e5da7b46919b93f3165df6f804"
    /// A host-wide program of facts fails.
    FactsFail "facts-fail" "a35c510a31a7468e85cb39fcea3d4566"
    /// A host-wide program of facts prints less than before.
    FactsLost "facts-lost" "18012c0e71974121924c7851d04660a6"
    /// A host-wide program of facts works again, or prints again what it had not.
    FactsBack "facts-back" "896b1b4def324a80b6591fa9410a19c8"
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    fn packaging(path: &str) -> String {
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging").join(path)).unwrap()
    }

    #[test]
    fn every_event_is_in_the_catalog_and_the_manual_and_none_besides() {
        let events: Vec<(&str, &str)> = Event::ALL.iter().map(|event| event.id_and_name()).collect();
        let catalog = packaging("systemd/virt-recontext.catalog");
        let entries: Vec<&str> = catalog.lines().filter_map(|line| line.strip_prefix("-- ")).collect();
        assert_eq!(entries, events.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        let manual = packaging("man/virt-recontext.8");
        let (_, section) = manual.split_once("\n.SH EVENTS\n").unwrap();
        let (section, _) = section.split_once("\n.SH ").unwrap();
        let items = section.lines().filter_map(|line| line.strip_prefix(".BR ")?.strip_suffix('"')?.split_once(" \" "));
        let shown: Vec<(&str, &str)> = items.map(|(name, id)| (id, name)).collect();
        assert_eq!(shown, events);
    }

    #[test]
    fn each_entry_of_the_catalog_says_what_to_do_and_where_to_read_on() {
        let catalog = packaging("systemd/virt-recontext.catalog");
        for entry in catalog.split("\n-- ").skip(1) {
            let (head, text) = entry.split_once("\n\n").unwrap_or_else(|| panic!("{entry}: no text"));
            let head: Vec<&str> = head.lines().collect();
            assert!(head.iter().any(|line| line.starts_with("Subject: ")), "{entry}");
            for line in ["Defined-By: virt-recontext", "Documentation: man:virt-recontext(8)"] {
                assert!(head.contains(&line), "{entry}: {line}");
            }
            assert!(text.lines().all(|line| line.len() <= 80) && !text.trim().is_empty(), "{entry}");
        }
    }
}
