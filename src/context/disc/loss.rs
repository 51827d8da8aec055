//! Emptiness is no success: a program whose store is away may well print `{}` and end with 0. What it printed before and does
//! not print any more is kept for a while.

use std::collections::BTreeMap;

use serde_json::Value;

use super::facts::Facts;

/// What is kept although it is not printed any more: JSON pointers to it, and since when, in hundredths of a second since 1970.
pub(crate) type Lost = BTreeMap<String, u64>;

/// What is done about loss.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grace<'l> {
    /// What is kept already.
    pub before: &'l Lost,
    /// In hundredths of a second since 1970.
    pub now: u64,
    /// So long is kept what is lost, in hundredths of a second.
    pub time: u64,
    /// So much is kept at most, together with what is printed, in bytes of JSON.
    pub most: usize,
}

/// Gives `new` what it has lost since `old`: a fact that is missing, or empty where there was something. Any other value, also
/// one of another type, is a change. What was kept for long enough is let go, and where it would be too much, what was lost
/// first: a program may print other names each time, and no disc holds all that it ever printed.
pub(crate) fn keep(new: &mut Facts, old: &Facts, mut grace: Grace) -> Lost {
    loop {
        let mut kept = new.clone();
        let mut lost = Lost::new();
        keep_in(&mut kept, old, "", None, grace, &mut lost);
        let first = lost.values().min().filter(|_| !fits_in(&kept, grace.most));
        let Some(first) = first else {
            *new = kept;
            return lost;
        };
        grace.time = grace.now.saturating_sub(*first);
    }
}

fn fits_in(facts: &Facts, bytes: usize) -> bool {
    serde_json::to_vec(facts).is_ok_and(|text| text.len() <= bytes)
}

/// The same for the table at `place`, which was lost `since` then if it was.
fn keep_in(new: &mut Facts, old: &Facts, place: &str, since: Option<u64>, grace: Grace, lost: &mut Lost) {
    for (name, old) in old {
        let place = pointer(place, name);
        let since = grace.before.get(&place).copied().or(since);
        match (new.get_mut(name), old) {
            (Some(Value::Object(new)), Value::Object(old)) if !new.is_empty() => {
                keep_in(new, old, &place, since, grace, lost);
            }
            (Some(new), old) if !is_empty(new) || is_empty(old) => {}
            _ => {
                // The clock may have been set back since.
                let since = since.unwrap_or(grace.now).min(grace.now);
                if grace.now.saturating_sub(since) < grace.time {
                    // In a table that is lost as a whole there may be what was lost before it, and does not stay longer for that.
                    let below = format!("{place}/");
                    let inside =
                        grace.before.range(below.clone()..).take_while(|(inside, _)| inside.starts_with(&below));
                    lost.extend(inside.map(|(inside, since)| (inside.clone(), (*since).min(grace.now))));
                    lost.insert(place, since);
                    new.insert(name.clone(), old.clone());
                }
            }
        }
    }
}

/// The JSON pointer to what is called `name` in the table at `place`.
pub(crate) fn pointer(place: &str, name: &str) -> String {
    format!("{place}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(table) => table.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(value: Value) -> Facts {
        serde_json::from_value(value).unwrap()
    }

    /// What is used, and what is kept, after each that is printed, 10 apart, with a time of 25.
    fn used(printed: &[Value]) -> Vec<(Value, Lost)> {
        let mut old = Facts::new();
        let mut before = Lost::new();
        let times = (0..).map(|n| n * 10);
        let used = printed.iter().zip(times).map(|(new, now)| {
            let mut new = facts(new.clone());
            before = keep(&mut new, &old, Grace { before: &before, now, time: 25, most: usize::MAX });
            old = new;
            (Value::Object(old.clone()), before.clone())
        });
        used.collect()
    }

    fn last(printed: &[Value]) -> (Value, Vec<(String, u64)>) {
        let (value, lost) = used(printed).pop().unwrap();
        (value, lost.into_iter().collect())
    }

    fn key(place: &str, since: u64) -> (String, u64) {
        (place.to_owned(), since)
    }

    #[test]
    fn what_is_not_printed_any_more_is_kept_for_a_while_and_then_let_go() {
        let (all, less) = (json!({"a": 1, "b": {"x": 1, "y": 2}}), json!({"b": {"y": 3}}));
        let kept = json!({"a": 1, "b": {"x": 1, "y": 3}});
        for times in 1..=3 {
            let printed = [vec![all.clone()], vec![less.clone(); times]].concat();
            assert_eq!(last(&printed), (kept.clone(), vec![key("/a", 10), key("/b/x", 10)]), "{times}");
        }
        let printed = [vec![all.clone()], vec![less.clone(); 4]].concat();
        assert_eq!(last(&printed), (less.clone(), vec![]));
        assert_eq!(last(&[all.clone(), less.clone(), all.clone()]), (all.clone(), vec![]));
        // One that comes back and goes again has its time anew.
        assert_eq!(last(&[all.clone(), less.clone(), all, less]), (kept, vec![key("/a", 30), key("/b/x", 30)]));
    }

    #[test]
    fn what_is_emptied_is_lost_and_another_value_or_type_is_a_change() {
        for empty in [json!(""), json!([]), json!({}), Value::Null] {
            for full in [json!("x"), json!([0]), json!({"x": 1}), json!(0), json!(false)] {
                let (old, new) = (json!({"k": full}), json!({"k": empty}));
                assert_eq!(last(&[old.clone(), new.clone()]), (old, vec![key("/k", 10)]), "{empty} for {full}");
            }
            let (old, new) = (json!({"k": empty}), json!({"k": Value::Null}));
            assert_eq!(last(&[old, new.clone()]), (new, vec![]), "{empty}");
        }
        for (old, new) in [(json!([1, 2]), json!([1])), (json!({"x": 1}), json!("x")), (json!("x"), json!({"y": 1}))] {
            let (old, new) = (json!({"k": old}), json!({"k": new}));
            assert_eq!(last(&[old, new.clone()]), (new, vec![]));
        }
    }

    #[test]
    fn a_fact_that_is_lost_in_a_table_that_is_lost_stays_no_longer_for_that() {
        let printed =
            [json!({"t": {"x": 1, "y": 1}}), json!({"t": {"y": 1}}), json!({}), json!({}), json!({"t": {"y": 1}})];
        let used = used(&printed);
        assert_eq!(used[3].0, json!({"t": {"x": 1, "y": 1}}));
        assert_eq!(used[4].0, json!({"t": {"y": 1}}));
        // And the other way round: what comes back of a lost table in part has lost the rest since then.
        let printed = [json!({"t": {"x": 1, "y": 1}}), json!({}), json!({"t": {"y": 1}})];
        assert_eq!(last(&printed), (json!({"t": {"x": 1, "y": 1}}), vec![key("/t/x", 10)]));
    }

    #[test]
    fn where_it_would_be_too_much_what_was_lost_first_is_let_go() {
        let one = |number: u64| facts(json!({ number.to_string(): "x".repeat(40) }));
        let (mut old, mut before) = (one(0), Lost::new());
        for now in 1..9 {
            let mut new = one(now);
            before = keep(&mut new, &old, Grace { before: &before, now, time: 1000, most: 150 });
            assert!(new.contains_key(&now.to_string()) && new.len() as u64 == (now + 1).min(3), "{new:?}");
            old = new;
        }
        assert_eq!(before.into_iter().collect::<Vec<_>>(), [key("/6", 7), key("/7", 8)]);
        // What is printed is never let go.
        let (mut new, old) = (one(1), facts(json!({"2": "x".repeat(200), "3": 1})));
        assert!(keep(&mut new, &old, Grace { before: &Lost::new(), now: 9, time: 1000, most: 50 }).is_empty());
        assert_eq!(new, one(1));
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nothing_for_longer() {
        let (old, before) = (facts(json!({"a": 1})), Lost::from([("/a".to_owned(), 1_000_000)]));
        let kept = |before: &Lost, now| {
            let mut new = Facts::new();
            keep(&mut new, &old, Grace { before, now, time: 25, most: usize::MAX })
        };
        let before = kept(&before, 10);
        assert_eq!(before.iter().map(|(name, since)| (name.as_str(), *since)).collect::<Vec<_>>(), [("/a", 10)]);
        assert!(kept(&before, 35).is_empty());
    }

    #[test]
    fn names_are_told_apart_whatever_is_in_them() {
        let (all, less) = (json!({"a/b": 1, "a": {"b": 1, "c": 1}, "~": 1}), json!({"a": {"b": 1, "c": 1}}));
        assert_eq!(last(&[all.clone(), less]), (all, vec![key("/a~1b", 10), key("/~0", 10)]));
    }
}
