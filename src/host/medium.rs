//! What others have put into a VM's CD-ROM drives, as the files themselves tell.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::config::Config;
use super::paths::Host;
use crate::context::domain::drive::Medium;
use crate::context::domain::{Domain, is_image_name};

/// Where the volume descriptors of a disc begin, 16 sectors in (ECMA-119, 7.2.1), and of what size the first one is.
const DESCRIPTORS: u64 = 32_768;
const SECTOR: usize = 2048;

/// Whether the file may be put back into a drive: it is an image of a disc, of ISO 9660 or of UDF, by its first volume
/// descriptor, and none of ours, which may be another VM's. The path is from the VM's metadata, and so from whoever made the VM.
pub(crate) fn may_be_put_back(host: &Host, config: &Config, path: &str) -> bool {
    let is_disc = |it: [u8; SECTOR]| [&b"CD001"[..], b"BEA01"].contains(&it.get(1..6).unwrap_or_default());
    let real = |path: &Path| fs::canonicalize(host.under_root(path)).ok();
    let is_image = |file: &Path| file.file_name().and_then(OsStr::to_str).is_some_and(is_image_name);
    let is_ours = || {
        let (file, dir) = (real(Path::new(path)), real(&config.image_dir));
        file.zip(dir).is_some_and(|(file, dir)| file.starts_with(dir) && is_image(&file))
    };
    descriptor(host, path).is_some_and(is_disc) && !is_ours()
}

/// For each disc in another drive of the domain that has the label of the context disc in the drive `target`, a line that
/// tells so: its guest finds two discs of that name. Case does not count, as with cloud-init's `cidata`, and since discs are
/// often labelled in capitals whatever was asked for.
pub(crate) fn twins(host: &Host, domain: &Domain, target: &str, label: &str) -> Vec<String> {
    let others = domain.drives.iter().filter(|drive| drive.target != target);
    let twin = |target: &str, path: &str| {
        let theirs = label_of(host, path).filter(|theirs| theirs.eq_ignore_ascii_case(label))?;
        let path = Medium::File(path);
        Some(format!("the drive {target} holds {path}, whose label {theirs:?} is that of the context disc, too"))
    };
    others.filter_map(|drive| twin(&drive.target, drive.path()?)).collect()
}

/// The label of a disc's image in its primary volume descriptor (ECMA-119, 8.4).
fn label_of(host: &Host, path: &str) -> Option<String> {
    let descriptor = descriptor(host, path)?;
    let primary = descriptor.starts_with(b"\x01CD001");
    primary.then(|| String::from_utf8_lossy(descriptor.get(40..72).unwrap_or_default()).trim_end().to_owned())
}

fn descriptor(host: &Host, path: &str) -> Option<[u8; SECTOR]> {
    let real = host.under_root(Path::new(path));
    // To open a device or a pipe may do something to it.
    fs::metadata(&real).ok().filter(fs::Metadata::is_file)?;
    let mut descriptor = [0; SECTOR];
    File::open(&real).ok()?.read_exact_at(&mut descriptor, DESCRIPTORS).ok()?;
    Some(descriptor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::disc::files::Files;
    use crate::context::iso9660::Image;
    use crate::context::iso9660::date::VolumeDate;

    fn disc(label: &str) -> Vec<u8> {
        let image = Image::new(&Files::default(), &label.parse().unwrap(), VolumeDate::from_unix_centis(1)).unwrap();
        image.to_bytes()
    }

    fn host_with(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            fs::write(root.path().join(name), bytes).unwrap();
        }
        let host = Host::new(root.path().to_owned(), "host".to_owned());
        (root, host)
    }

    #[test]
    fn a_disc_of_the_same_label_in_another_drive_is_told_and_no_other() {
        let seed = disc("CIDATA");
        let (_root, host) = host_with(&[("seed.iso", &seed), ("install.iso", &disc("INSTALL")), ("short.iso", b"x")]);
        let drive = |path: &str, target: &str| {
            format!("<disk device='cdrom'><source file='{path}'/><target dev='{target}' bus='sata'/></disk>")
        };
        let files = ["/seed.iso", "/install.iso", "/short.iso", "/none.iso", "/"];
        let drives: String =
            files.iter().zip("abcde".chars()).map(|(path, c)| drive(path, &format!("sd{c}"))).collect();
        let xml = format!(
            "<domain><name>vm</name><uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><devices>{drives}</devices></domain>"
        );
        let domain = Domain::read(&xml).unwrap();
        let told = "the drive sda holds /seed.iso, whose label \"CIDATA\" is that of the context disc, too";
        assert_eq!(twins(&host, &domain, "sdb", "cidata"), [told]);
        assert_eq!(twins(&host, &domain, "sda", "cidata"), [""; 0]);
        assert_eq!(twins(&host, &domain, "sdc", "RECONTEXT"), [""; 0]);
    }

    #[test]
    fn neither_what_is_no_disc_nor_what_is_ours_is_put_back() {
        let mut udf = vec![0; 40_000];
        udf[32_769..32_774].copy_from_slice(b"BEA01");
        let (root, host) = host_with(&[("a.iso", &disc("A")), ("udf.iso", &udf), ("shadow", &[b'x'; 40_000])]);
        let config = Config { image_dir: "/images".into(), ..Config::default() };
        fs::create_dir(root.path().join("images")).unwrap();
        let other = "images/6695eb01-f6a4-8304-79aa-97f2502e193f.iso";
        fs::write(root.path().join(other), disc("A")).unwrap();
        fs::write(root.path().join("images/install.iso"), disc("A")).unwrap();
        std::os::unix::fs::symlink(root.path().join(other), root.path().join("link.iso")).unwrap();
        for (path, wanted) in [
            ("/a.iso", true),
            ("/udf.iso", true),
            ("/shadow", false),
            ("/none", false),
            ("/", false),
            (&format!("/{other}"), false),
            (&format!("/images/../{other}"), false),
            ("/images/install.iso", true),
            ("/link.iso", false),
        ] {
            assert_eq!(may_be_put_back(&host, &config, path), wanted, "{path}");
        }
    }
}
