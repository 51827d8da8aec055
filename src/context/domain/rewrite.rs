//! The edit of a domain's XML that puts our disc into its drive: the bytes of one `<source>`, and nothing else.
//!
//! libvirt takes the answer of a `migrate` or `restore` hook as the VM's new definition, so every byte that we do not
//! have to change is copied. The result is read again before anyone sees it: Xen's driver compares it with nothing.

use std::ops::Range;

use anyhow::{Context, Result, ensure};
use quick_xml::escape::escape;

use super::Domain;
use super::drive::{Drive, Overlay};

/// The domain's XML with the file `path` in `drive`, or `None` when it is already there.
///
/// A disk of another type becomes `type='file'`. A drive that was empty, or held something else than a file, gets
/// `startupPolicy='optional'`, and so does a `<source>` that had no policy: without it the VM could not start or
/// arrive where the file is missing.
///
/// # Errors
/// When the drive cannot take the disc ([`Drive::check`]).
pub fn with_disc(domain: &Domain, drive: &Drive, path: &str) -> Result<Option<String>> {
    drive.check()?;
    if drive.path() == Some(path) {
        return Ok(None);
    }
    let mut edits = Vec::new();
    let new = format!("<source file='{}' startupPolicy='optional'/>", escape(path));
    match &drive.source {
        Some(source) => match source.attribute("file").filter(|_| drive.is_file() && source.children.is_empty()) {
            Some(file) => {
                edits.push((file.span.clone(), escape(path).into_owned()));
                if source.attribute("startupPolicy").is_none() && domain.machine.driver().may_start_without_disc() {
                    // Behind the closing quote.
                    edits.push((file.span.end + 1..file.span.end + 1, " startupPolicy='optional'".to_owned()));
                }
            }
            None => edits.push((source.span.clone(), new)),
        },
        None => edits.push((drive.target_at..drive.target_at, format!("{new}{}", indent(domain.xml, drive.target_at)))),
    }
    if let Some(kind) = drive.kind.as_ref().filter(|_| !drive.is_file()) {
        edits.push((kind.span.clone(), "file".to_owned()));
    }
    edits.extend(without_overlay(drive));
    let edited = apply(domain.xml, edits)?;
    ensure!(
        read_again(domain, drive, &edited)?.path() == Some(path),
        "our own edit does not put {path:?} into {}",
        drive.target
    );
    Ok(Some(edited))
}

/// The drive as our own edit describes it. The edit must be a whole domain in which nothing but that drive differs.
fn read_again(domain: &Domain, drive: &Drive, edited: &str) -> Result<Drive> {
    let after = Domain::read(edited).context("reading our own edit again")?;
    let there = after.drives.into_iter().find(|after| after.target == drive.target);
    let there = there.with_context(|| format!("our own edit has no drive {}", drive.target))?;
    let (old, new) = (&drive.span, &there.span);
    let same =
        domain.xml.get(..old.start) == edited.get(..new.start) && domain.xml.get(old.end..) == edited.get(new.end..);
    ensure!(same, "our own edit changes more than the drive {}", drive.target);
    Ok(there)
}

/// The domain's XML with `startupPolicy='optional'` for the file in `drive`, or `None` when it is there already or
/// there is no file. With it a VM can arrive where the file is missing.
///
/// # Errors
/// When the edit cannot be made.
pub fn may_be_missing(domain: &Domain, drive: &Drive) -> Result<Option<String>> {
    let Some(file) = drive.source.as_ref().and_then(|source| source.attribute("file")) else { return Ok(None) };
    if drive.is_optional() || !drive.is_file() {
        return Ok(None);
    }
    let edit = match drive.source.as_ref().and_then(|source| source.attribute("startupPolicy")) {
        Some(policy) => (policy.span.clone(), "optional".to_owned()),
        None => (file.span.end + 1..file.span.end + 1, " startupPolicy='optional'".to_owned()),
    };
    let edited = apply(domain.xml, vec![edit])?;
    ensure!(
        read_again(domain, drive, &edited)?.is_optional(),
        "our own edit does not let the disc in {} be missing",
        drive.target
    );
    Ok(Some(edited))
}

/// The domain's XML with `drive` empty.
///
/// # Errors
/// When the edit cannot be made.
pub fn without_disc(domain: &Domain, drive: &Drive) -> Result<String> {
    let source = drive.source.iter().map(|source| (source.span.clone(), String::new()));
    apply(domain.xml, source.chain(without_overlay(drive)).collect())
}

/// What makes a drive with an overlay over its disc one that takes an image file again.
fn without_overlay(drive: &Drive) -> impl Iterator<Item = (Range<usize>, String)> {
    let edits =
        |overlay: &Overlay| [(overlay.format.clone(), "raw".to_owned()), (overlay.below.clone(), String::new())];
    drive.overlay.iter().flat_map(edits)
}

/// Replaces the given places, which must not overlap.
pub(crate) fn apply(text: &str, mut edits: Vec<(Range<usize>, String)>) -> Result<String> {
    // What comes between comes before what is replaced behind it.
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let mut out = String::with_capacity(text.len() + 256);
    let mut done = 0;
    for (span, new) in edits {
        out.push_str(text.get(done..span.start).context("two edits of the XML overlap")?);
        out.push_str(&new);
        done = span.end;
    }
    out.push_str(text.get(done..).context("an edit of the XML lies behind its end")?);
    Ok(out)
}

/// The white space in front of `at`, from the line's break on.
fn indent(text: &str, at: usize) -> &str {
    let before = text.get(..at).unwrap_or_default();
    let start = before.trim_end_matches([' ', '\t']).trim_end_matches(['\r', '\n']).len();
    before.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UUID: &str = "6695eb01-f6a4-8304-79aa-97f2502e193f";

    fn domain(disk: &str) -> String {
        format!(
            "<domain type='qemu'>\n  <name>vm</name>\n  <uuid>{UUID}</uuid>\n  <devices>\n    {disk}\n  </devices>\n</domain>\n"
        )
    }

    fn edited(disk: &str) -> String {
        let xml = domain(disk);
        let domain = Domain::read(&xml).unwrap();
        with_disc(&domain, &domain.drives[0], "/new.iso").unwrap().unwrap()
    }

    #[test]
    fn one_value_changes_and_nothing_else() {
        let disk = "<disk  type=\"file\" device='cdrom'><!-- x --><source index='1' startupPolicy='requisite'   file = \"/old.iso\" /><target dev='sda' bus='sata'/></disk >";
        assert_eq!(edited(disk), domain(&disk.replace("/old.iso", "/new.iso")));
    }

    #[test]
    fn an_overlay_over_the_disc_makes_way_for_it() {
        let disk = |format: &str, source: &str, below: &str| {
            format!(
                "<disk type='file' device='cdrom'><driver name='qemu' type='{format}'/>\
                 <source file='{source}' startupPolicy='optional'/>{below}<target dev='sda' bus='sata'/></disk>"
            )
        };
        let below =
            format!("<backingStore type='file'><format type='raw'/><source file='/d/{UUID}.iso'/></backingStore>");
        let overlaid = disk("qcow2", &format!("/d/{UUID}.1795694051"), &below);
        assert_eq!(edited(&overlaid), domain(&disk("raw", "/new.iso", "")));
    }

    #[test]
    fn a_source_without_a_policy_gets_one() {
        let disk = "<disk type='file' device='cdrom'><source file='/old.iso'/><target dev='sda' bus='sata'/></disk>";
        assert_eq!(edited(disk), domain(&disk.replace("file='/old.iso'", "file='/new.iso' startupPolicy='optional'")));
    }

    #[test]
    fn an_empty_drive_gets_a_source_in_front_of_its_target() {
        let disk = "<disk type='block' device='cdrom'>\n      <target dev='sda' bus='sata'/>\n    </disk>";
        let wanted = "<disk type='file' device='cdrom'>\n      <source file='/new.iso' startupPolicy='optional'/>\n      <target dev='sda' bus='sata'/>\n    </disk>";
        assert_eq!(edited(disk), domain(wanted));
    }

    #[test]
    fn block_and_network_media_become_a_file() {
        for (kind, source) in [
            ("block", "<source dev='/dev/sr0'/>"),
            ("network", "<source protocol='http' name='x'>\n<host name='h'/></source>"),
            ("volume", "<source pool='p' volume='v' startupPolicy='optional'/>"),
            ("file", "<source startupPolicy='optional'/>"),
            ("file", "<source file='/x'><slices/></source>"),
        ] {
            let disk = format!("<disk device='cdrom' type='{kind}'>{source}<target bus='scsi' dev='sda'/></disk>");
            let new = "<source file='/new.iso' startupPolicy='optional'/>";
            assert_eq!(edited(&disk), domain(&disk.replace(source, new).replace(kind, "file")));
        }
    }

    #[test]
    fn a_path_that_is_there_already_needs_no_edit() {
        let xml = domain(
            "<disk type='file' device='cdrom'><source file='/a &amp; b.iso'/><target dev='sda' bus='ide'/></disk>",
        );
        let domain = Domain::read(&xml).unwrap();
        assert_eq!(with_disc(&domain, &domain.drives[0], "/a & b.iso").unwrap(), None);
    }

    #[test]
    fn a_drive_that_cannot_take_the_disc_is_left_alone_with_the_reason() {
        for (disk, why) in [
            ("<target dev='sda' bus='usb'/>", "usb"),
            ("<target dev='sda' bus='virtio'/>", "virtio"),
            ("<driver name='qemu' type='qcow2'/><target dev='sda' bus='sata'/>", "qcow2"),
            ("<backingStore type='file'/><target dev='sda' bus='sata'/>", "backing store"),
            ("<auth username='x'/><target dev='sda' bus='sata'/>", "<auth>"),
        ] {
            let xml = domain(&format!("<disk type='file' device='cdrom'><source file='/x'/>{disk}</disk>"));
            let domain = Domain::read(&xml).unwrap();
            let error = with_disc(&domain, &domain.drives[0], "/new.iso").unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn a_missing_file_can_be_allowed() {
        let disk = "<disk type='file' device='cdrom'><source file='/x' startupPolicy='mandatory'/><target dev='sda' bus='ide'/></disk>";
        let xml = domain(disk);
        let read = Domain::read(&xml).unwrap();
        let edited = may_be_missing(&read, &read.drives[0]).unwrap().unwrap();
        assert_eq!(edited, domain(&disk.replace("mandatory", "optional")));
        let read = Domain::read(&edited).unwrap();
        assert_eq!(may_be_missing(&read, &read.drives[0]).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_path_goes_in_and_comes_out_again(old in "[^\0-\x1f\x7f]{0,20}", new in "/[^\0-\x1f\x7f]{0,40}", quote in "['\"]") {
            let value = quick_xml::escape::escape(old.as_str());
            let xml = domain(&format!("<disk type='file' device='cdrom'><source file={quote}{value}{quote}/><target dev='sda' bus='sata'/></disk>"));
            let before = Domain::read(&xml).unwrap();
            let edited = with_disc(&before, &before.drives[0], &new).unwrap().unwrap_or_else(|| xml.clone());
            let after = Domain::read(&edited).unwrap();
            prop_assert_eq!(after.drives[0].path(), Some(new.as_str()));
            let back = with_disc(&after, &after.drives[0], &old).unwrap().unwrap_or_else(|| edited.clone());
            prop_assert_eq!(back.replace(" startupPolicy='optional'", ""), xml);
        }
    }
}
