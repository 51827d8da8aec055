//! All VMs on a terminal: a line each, in columns, and a line that counts them.

use std::io::Write;

use anyhow::Result;

use super::age::ago;
use super::line::{Extent, message};
use super::standing::{Standing, Word};
use crate::commands::vm::on_one_line;
use crate::host::clock;
use crate::host::receipt::judge::Receipt;

/// A cell that is longer moves only its own line's rest.
const WIDEST: usize = 36;

/// Longest message, in characters; of a VM that is named all is told.
const LONGEST: usize = 120;

const HEADINGS: [&str; 6] = ["VM", "STATE", "DISC", "READ", "FOR", "SINCE"];

pub(super) fn write(standings: &[Standing], extent: Extent, out: &mut impl Write) -> Result<()> {
    let rows: Vec<[String; 6]> = standings.iter().map(|standing| cells(standing, extent)).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            let own = Some(cell.chars().count()).filter(|own| *own <= WIDEST);
            *width = own.unwrap_or_default().max(*width);
        }
    }
    let mut write_row = |cells: &[String], message: &str| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        let row = [padded.collect::<Vec<_>>().join("  "), message.to_owned()].join("  ");
        writeln!(out, "{}", row.trim_end())
    };
    write_row(&HEADINGS.map(str::to_owned), "")?;
    for (standing, row) in standings.iter().zip(&rows) {
        let message = message(standing, extent).unwrap_or_default();
        let message = if extent == Extent::Brief { shortened(&message) } else { message };
        write_row(row, &on_one_line(&message))?;
    }
    Ok(())
}

fn cells(standing: &Standing, extent: Extent) -> [String; 6] {
    let Standing { name, state, reason, since, .. } = standing;
    let since = since.map(|since| match extent {
        Extent::Verbose => since.to_string(),
        Extent::Brief | Extent::Full => ago(clock::seconds_since(since.0)),
    });
    let or_none = |text: Option<String>| text.unwrap_or("-".to_owned());
    [
        on_one_line(name),
        state.text().to_owned(),
        standing.disc_word().to_owned(),
        standing.read.map_or("-", Receipt::yes_or_no).to_owned(),
        or_none(reason.map(|reason| reason.to_string())),
        or_none(since),
    ]
}

fn shortened(text: &str) -> String {
    if text.chars().nth(LONGEST).is_none() {
        return text.to_owned();
    }
    let kept: String = text.chars().take(LONGEST).collect();
    format!("{}…", kept.trim_end())
}

/// What is good first; what there is none of is left out.
pub(super) fn counts(standings: &[Standing]) -> String {
    let kind = |standing: &Standing| match standing.state {
        _ if standing.is_bad() => "failed",
        Word::Delivered => match standing.disc_word() {
            "-" => "delivered",
            word => word,
        },
        Word::Waiting => "waiting",
        Word::Failed => "failed, and takes no part any more",
        other => other.text(),
    };
    let words = [
        "current",
        "delivered",
        "unknown",
        Word::Rules.text(),
        Word::NextStart.text(),
        Word::None.text(),
        "stale",
        "waiting",
        "failed, and takes no part any more",
        "failed",
    ];
    let number = |word: &str| standings.iter().filter(|standing| kind(standing) == word).count();
    let told = words.iter().map(|word| (number(word), word)).filter(|(number, _)| *number > 0);
    let unread = standings.iter().filter(|standing| standing.is_unread()).count();
    let told = told.map(|(number, word)| match *word {
        "current" if unread > 0 => format!("{number} {word} ({unread} not read)"),
        _ => format!("{number} {word}"),
    });
    told.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::status::all::what_is_wrong_first;
    use crate::commands::status::standing::Disc;
    use crate::context::disc::marker::Reason;
    use crate::context::moment::Moment;

    fn standing(name: &str, state: Word, message: &str) -> Standing {
        Standing {
            name: name.to_owned(),
            uuid: "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap(),
            state,
            reason: Some(Reason::Migrate),
            generation: Some(7),
            since: Some(Moment(clock::now().0 - 20_000)),
            message: message.to_owned(),
            took: None,
            rules: None,
            rules_trouble: None,
            rules_failed: false,
            image: None,
            job_waiting: false,
            until_next_start: false,
            pending: false,
            may_come: false,
            takes_part: Some(true),
            running: Some(true),
            disc: Some(if state == Word::Delivered { Disc::Current } else { Disc::Stale }),
            read: (state == Word::Delivered).then_some(Receipt::Read),
            read_bytes: None,
            read_seen: None,
        }
    }

    fn text(standings: &[Standing]) -> Vec<String> {
        let mut text = Vec::new();
        write(standings, Extent::Brief, &mut text).unwrap();
        String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn of_a_hundred_vms_each_has_a_line_what_is_wrong_is_first_and_all_are_counted() {
        let mut all: Vec<Standing> =
            (0..98).map(|number| standing(&format!("vm{number:02}"), Word::Delivered, "in the drive hdc")).collect();
        all[7].read = Some(Receipt::NotRead);
        all.push(standing("zz-waits", Word::Waiting, "the guest holds the old disc"));
        all.push(standing("zz-failed", Word::Failed, "no drive"));
        what_is_wrong_first(&mut all);
        let lines = text(&all);
        assert_eq!(lines.len(), 101);
        assert_eq!(
            lines[..4],
            [
                "VM         STATE      DISC     READ  FOR      SINCE",
                "zz-failed  failed     stale    -     migrate  3 min ago  no drive",
                "zz-waits   waiting    stale    -     migrate  3 min ago  the guest holds the old disc",
                "vm07       delivered  current  no    migrate  3 min ago  the guest has not read it",
            ]
        );
        assert_eq!(counts(&all), "98 current (1 not read), 1 waiting, 1 failed");
    }

    #[test]
    fn a_long_name_moves_no_other_line_and_a_long_message_ends() {
        let long = "n".repeat(WIDEST + 1);
        let lines = text(&[standing(&long, Word::Failed, &"x".repeat(500)), standing("web", Word::Delivered, "")]);
        assert!(lines[1].starts_with(&format!("{long}  failed ")) && lines[1].ends_with("x…"), "{lines:?}");
        assert!(lines[1].chars().count() < 250 && lines[2].starts_with("web  delivered  current"), "{lines:?}");
    }
}
