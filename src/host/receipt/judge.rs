//! Judging from the counts of a drive whether a guest has read its disc.
//!
//! Measured with Linux guests on QEMU 10: who looks for what a medium holds (udev's blkid) reads whole pages, of 4 KiB; who
//! mounts it reads sectors, of 2 KiB, and the disc's trail by itself is [`trail::BLOCKS`] of them; file contents come in larger
//! pieces. On IDE and SATA the drive's answers to commands, of some 20 bytes each, are counted as well. So the number of sectors
//! can be told from both counts, and what is neither sectors nor pages is content. Firmware reads sectors, too: a BIOS one or two,
//! UEFI up to 32.

use serde::Serialize;

use super::Count;
use crate::context::iso9660::trail;

/// Whether a guest has read its newest disc.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Receipt {
    Read,
    NotRead,
    Unknown,
}

impl Receipt {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Receipt::Read => "read",
            Receipt::NotRead => "not read",
            Receipt::Unknown => "read unknown",
        }
    }

    pub(crate) fn yes_or_no(self) -> &'static str {
        match self {
            Receipt::Read => "yes",
            Receipt::NotRead => "no",
            Receipt::Unknown => "unknown",
        }
    }
}

const SECTOR: u64 = 2048;

/// The size of an answer that is counted, in the mean: 20 to 24 bytes were seen.
const ANSWER: u64 = 21;

/// Fewer sectors than this are no mount, which reads three and a file's beside the trail, and an error in the number of answers
/// makes no more.
const FEW: i64 = trail::BLOCKS as i64 - 4;

/// So many pages are read in a look, or some more.
const PAGES: i64 = 12;

/// So many sectors firmware may read at each start of a guest, as long as it finds something to start.
const UEFI: i64 = 32;
const BIOS: i64 = 2;

/// A guest that looks and does not read has read no more than this at a time.
const LOOK: u64 = 96 << 10;

/// An image that takes no more room has little content: read in large pieces it cannot make up for the sectors of the trail.
const SMALL: u64 = 144 << 10;

/// What is to be known of a disc to judge what was read from it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Disc {
    /// How much room its image takes, in bytes.
    pub room: u64,
    /// Whether the VM's firmware is UEFI.
    pub uefi: bool,
    /// Whether it was there when the VM started.
    pub since_start: bool,
}

/// Judges what was read while a disc has been in the drive.
pub(crate) fn judge(read: Count, disc: Disc) -> Receipt {
    let whole = read.bytes / SECTOR;
    let answers = (read.bytes % SECTOR + ANSWER / 2) / ANSWER;
    let requests = read.requests.saturating_sub(answers);
    // As many as the requests were smaller than a page; negative if they were larger.
    let sectors = signed(requests.saturating_mul(2)).saturating_sub(signed(whole));
    if sectors <= -FEW {
        return Receipt::Read;
    }
    if sectors < FEW {
        let may_hide_content = disc.room > SMALL && read.bytes > LOOK;
        return if may_hide_content { Receipt::Unknown } else { Receipt::NotRead };
    }
    // A guest that looks does so at each of its starts; how often one starts that never looks is not known.
    let looks = signed(requests).saturating_sub(sectors).saturating_add(PAGES / 2) / PAGES;
    let starts = if disc.since_start { looks.max(1) } else { looks.saturating_sub(1).max(0) };
    let firmware = starts.saturating_mul(if disc.uefi { UEFI } else { BIOS });
    // Where it has looked very often, what is taken for sectors may be answers.
    let is_mount = sectors >= FEW.saturating_add(firmware) && sectors.saturating_mul(8) >= signed(requests);
    if is_mount && !(disc.uefi && looks < 1) { Receipt::Read } else { Receipt::Unknown }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL_DISC: Disc = Disc { room: 128 << 10, uefi: false, since_start: false };

    /// So many looks of blkid, sectors, answers of this size and bytes of content in one piece.
    fn read(looks: u64, sectors: u64, (answers, size): (u64, u64), content: u64) -> Count {
        Count {
            requests: looks * 14 + sectors + answers + content.div_ceil(128 << 10),
            bytes: looks * 57_344 + sectors * SECTOR + answers * size + content,
        }
    }

    /// The first four are what QEMU counted on SATA, IDE and SCSI.
    #[test]
    fn a_guest_that_only_looks_has_not_read() {
        for count in [
            Count { requests: 22, bytes: 57_512 },
            Count { requests: 18, bytes: 57_440 },
            Count { requests: 14, bytes: 57_344 },
            Count { requests: 16, bytes: 57_392 },
            Count::default(),
            read(0, 2, (9, 21), 0),
            read(5, 1, (40, 24), 0),
            read(3, 1, (25, 20), 0),
        ] {
            assert_eq!(judge(count, SMALL_DISC), Receipt::NotRead, "{count:?}");
        }
    }

    #[test]
    fn a_guest_that_mounts_and_reads_a_small_file_has_read() {
        let mount = trail::BLOCKS + 4;
        for count in [
            read(0, mount, (0, 0), 0),
            read(1, mount, (0, 0), 0),
            read(1, mount, (8, 21), 0),
            read(2, mount, (10, 24), 0),
            read(3, mount, (20, 20), 0),
            read(1, 3 * mount, (11, 21), 8192),
            read(1, mount, (8, 21), 1 << 20),
        ] {
            assert_eq!(judge(count, SMALL_DISC), Receipt::Read, "{count:?}");
        }
    }

    #[test]
    fn where_large_reads_may_make_up_for_sectors_nothing_is_known() {
        let count = read(1, trail::BLOCKS + 4, (8, 21), 60 << 10);
        assert_eq!(judge(count, Disc { room: 1 << 20, ..SMALL_DISC }), Receipt::Unknown);
        let look = read(1, 0, (8, 21), 0);
        assert_eq!(judge(look, Disc { room: 1 << 20, ..SMALL_DISC }), Receipt::NotRead);
    }

    #[test]
    fn no_number_is_too_large() {
        for (requests, bytes) in [(u64::MAX, u64::MAX), (u64::MAX, 0), (0, u64::MAX)] {
            judge(Count { requests, bytes }, SMALL_DISC);
        }
    }

    #[test]
    fn what_firmware_reads_at_each_start_is_no_receipt() {
        let since_start = Disc { since_start: true, ..SMALL_DISC };
        let uefi = Disc { uefi: true, ..SMALL_DISC };
        for starts in 1..=20 {
            for count in [read(starts, 2 * starts, (9, 21), 0), read(2 * starts, 2 * starts, (4, 24), 0)] {
                assert_ne!(judge(count, since_start), Receipt::Read, "{starts}");
            }
            let booted = |looks: u64| read(looks, UEFI as u64 * starts, (9, 21), 0);
            for (count, disc) in [
                (booted(starts), Disc { since_start: true, ..uefi }),
                (booted(starts + 1), uefi),
                (booted(0), uefi),
                (booted(0), Disc { since_start: true, ..uefi }),
            ] {
                assert_ne!(judge(count, disc), Receipt::Read, "{starts}");
            }
        }
        assert_eq!(judge(read(1, 10, (0, 0), 0), uefi), Receipt::NotRead);
        assert_eq!(judge(read(1, 3 * (trail::BLOCKS + 3) + 4, (8, 21), 0), uefi), Receipt::Read);
        assert_eq!(judge(read(2, 2 + trail::BLOCKS + 4, (9, 21), 0), since_start), Receipt::Read);
    }
}
