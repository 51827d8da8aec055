//! The programs, one promise each.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::reader::run;

use super::read_back::ReadBack;
use super::samples;

/// A command in a UTF-8 locale, with the administrator's programs on the path.
fn program(name: &str) -> Command {
    let mut command = Command::new(name);
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    command.env("LC_ALL", "C.UTF-8").env("PATH", path);
    command
}

#[test]
fn blkid_finds_the_label_and_makes_the_uuid_of_the_date() {
    samples::each(|sample, disc, _| {
        let output = run(program("blkid").args(["-p", "-o", "export"]).arg(disc), "util-linux");
        let output = String::from_utf8(output).unwrap();
        let value = |key: &str| output.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        assert_eq!(value("LABEL"), Some(sample.label), "{}", sample.name);
        assert_eq!(value("UUID"), Some(sample.uuid), "{}", sample.name);
        assert_eq!(value("TYPE"), Some("iso9660"), "{}", sample.name);
    });
}

#[test]
fn xorriso_reads_every_tree_back_byte_for_byte() {
    samples::each(|sample, disc, dir| {
        let mut xorriso = program("xorriso");
        xorriso.args(["-abort_on", "WARNING", "-osirrox", "on", "-indev"]).arg(disc).args(["-extract", "/"]).arg(dir);
        run(&mut xorriso, "xorriso");
        ReadBack::from_directory(dir).assert_is(sample);
    });
}

#[test]
fn bsdtar_reads_every_tree_back_by_rock_ridge() {
    samples::each(|sample, disc, dir| {
        bsdtar("iso9660:!joliet", disc, dir);
        ReadBack::from_directory(dir).assert_is(sample);
    });
}

#[test]
fn bsdtar_reads_every_tree_back_by_joliet() {
    samples::each(|sample, disc, dir| {
        bsdtar("iso9660:!rockridge", disc, dir);
        ReadBack::from_directory(dir).assert_is_joliet(sample);
    });
}

fn bsdtar(options: &str, disc: &Path, dir: &Path) {
    let mut bsdtar = program("bsdtar");
    // -P: it would take a name such as `a:b` for a drive and a name.
    bsdtar.args(["--no-same-owner", "-xpP", "--options", options, "-C"]).arg(dir).arg("-f").arg(disc);
    run(&mut bsdtar, "libarchive-tools");
}

#[test]
fn seven_zip_reads_every_tree_back_by_joliet() {
    samples::each(|sample, disc, dir| {
        let mut out = std::ffi::OsString::from("-o");
        out.push(dir);
        run(program("7z").args(["x", "-y", "-bd", "-tiso"]).arg(out).arg(disc), "p7zip-full");
        ReadBack::from_directory(dir).assert_is_joliet(sample);
    });
}

#[test]
fn isoinfo_reads_every_tree_back_by_rock_ridge() {
    samples::each(|sample, disc, _| {
        let listing = run(program("isoinfo").args(["-R", "-l", "-i"]).arg(disc), "genisoimage");
        listed(&String::from_utf8(listing).unwrap(), disc).assert_is(sample);
    });
}

#[test]
fn isoinfo_reads_every_tree_back_by_joliet() {
    // It shows names in Latin 1, with `_` for every other character.
    let latin1 = |c: char| if u32::from(c) < 0x100 { c } else { '_' };
    samples::each(|sample, disc, _| {
        let listing = run(program("isoinfo").args(["-J", "-l", "-i"]).arg(disc), "genisoimage");
        let listing: String = listing.into_iter().map(char::from).collect();
        listed(&listing, disc).assert_is_joliet_shown_as(sample, |path| path.chars().map(latin1).collect());
    });
}

/// What `isoinfo -l` lists, with the contents at the places that it gives.
fn listed(listing: &str, disc: &Path) -> ReadBack {
    let disc = fs::read(disc).unwrap();
    let mut found = ReadBack::default();
    let mut dir = "";
    for line in listing.lines().filter(|line| !line.is_empty()) {
        if let Some(path) = line.strip_prefix("Directory listing of /") {
            dir = path;
            continue;
        }
        // -r--r--r--   1    0    0            2000 Nov 23 2026 [     44 00]  name
        let (attributes, rest) = line.split_once('[').unwrap();
        let (place, name) = rest.split_once("]  ").unwrap();
        let name = name.strip_suffix(' ').unwrap();
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{dir}{name}");
        let attributes: Vec<&str> = attributes.split_whitespace().collect();
        let mode = attributes[0].bytes().skip(1).fold(0, |mode, bit| mode << 1 | u32::from(bit != b'-'));
        if attributes[0].starts_with('d') {
            found.directories.push((path, mode));
        } else {
            let size: usize = attributes[4].parse().unwrap();
            let begin = 2048 * place.split_whitespace().next().unwrap().parse::<usize>().unwrap();
            found.files.push((path, disc[begin..begin + size].to_vec(), mode));
        }
    }
    found
}
