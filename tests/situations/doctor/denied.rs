//! What is common to the hosts on which a security module does not let libvirt's daemon run a hook: libvirt refuses every VM
//! there. The kernel that denies is a stand-in.

use super::{Found, Patient};

/// How a finding ends that stops every VM.
pub const ALL: &str = "no VM on this host starts or arrives, whether it takes part or not";

/// Puts what doctor takes for the hook, which is smaller, to another place, and lets the hook's link lead there.
pub const ELSEWHERE: &str = concat!(
    "mkdir -p usr/local/sbin; printf 'virt-recontext-hook ",
    env!("CARGO_PKG_VERSION"),
    "\\n' >usr/local/sbin/virt-recontext-hook; chmod 755 usr/local/sbin/virt-recontext-hook; \
     ln -sf $PWD/usr/local/sbin/virt-recontext-hook etc/libvirt/hooks/qemu; "
);

/// Puts the hook itself where its link was.
pub const COPY: &str = "cp --remove-destination $(readlink etc/libvirt/hooks/qemu) etc/libvirt/hooks/qemu; ";

/// Puts a script there that calls the hook elsewhere.
pub const SCRIPT: &str = "rm etc/libvirt/hooks/qemu; \
                      printf '#!/bin/sh\nexec /usr/local/sbin/virt-recontext-hook \"$@\"\n' >etc/libvirt/hooks/qemu; \
                      chmod 755 etc/libvirt/hooks/qemu; ";

/// That the first thing to read is bad, and this; in words for a person too.
#[track_caller]
pub fn assert_first(patient: &Patient, check: &str, message: &str, remedy: &str) {
    let found = patient.examine();
    let first = &found[0];
    let told = first.remedy.as_deref().unwrap_or_default();
    assert_eq!((first.check.as_str(), first.level.as_str()), (check, "bad"), "{}", first.message);
    assert!(first.message.contains(message) && first.message.ends_with(ALL), "{}", first.message);
    assert!(told.contains(remedy), "{told}");
    assert!(patient.told().starts_with(&format!("bad: {check}: {}", first.message)));
}

/// What that check finds, when it finds one thing.
pub fn of<'f>(found: &'f [Found], check: &str) -> &'f Found {
    let of_check: Vec<&Found> = found.iter().filter(|one| one.check == check).collect();
    assert_eq!(of_check.len(), 1, "{}", of_check[0].message);
    of_check[0]
}
