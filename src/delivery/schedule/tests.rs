//! What follows from what happens, without a clock and without libvirt.

use super::*;

const S: Duration = Duration::from_secs(1);

/// A schedule with one job, and the VM's name in it.
fn with_job(grace: Option<Duration>) -> (Schedule<&'static str>, Uuid, Instant) {
    let uuid: Uuid = "6695eb01-f6a4-8304-79aa-97f2502e193f".parse().unwrap();
    let mut schedule = Schedule::new(grace, 100 * S, 4);
    let now = Instant::now();
    schedule.take(uuid.clone(), Order { job: "a", force: false, may_come: true, goes_on: false });
    (schedule, uuid, now)
}

fn attempt(job: &'static str, force: bool) -> Vec<Due<&'static str>> {
    vec![Due { job, force, first: false }]
}

fn first(job: &'static str, force: bool) -> Vec<Due<&'static str>> {
    vec![Due { job, force, first: true }]
}

/// Lets an attempt begin, and end so.
fn try_once(
    schedule: &mut Schedule<&'static str>,
    uuid: &Uuid,
    now: Instant,
    outcome: Outcome,
) -> Option<Action<&'static str>> {
    schedule.found(now, uuid, Presence::Running);
    assert!(matches!(schedule.due(now).as_slice(), [Due { .. }]), "no attempt is due");
    schedule.ended(now, uuid, outcome)
}

#[test]
fn a_vm_is_tried_when_it_is_here_and_not_before() {
    let (mut schedule, uuid, now) = with_job(None);
    assert_eq!(schedule.found(now, &uuid, Presence::Arriving), None);
    assert_eq!(schedule.found(now, &uuid, Presence::Absent { soon: true }), None);
    assert_eq!((schedule.due(now), schedule.to_look_at()), (vec![], vec![uuid.clone()]));
    assert_eq!(schedule.found(now, &uuid, Presence::Running), None);
    assert_eq!((schedule.next_attempt(), schedule.due(now)), (Some(now), first("a", false)));
    assert_eq!((schedule.due(now), schedule.to_look_at()), (vec![], vec![]), "a worker is at it");
    let done = Outcome::Done("so".to_owned().into());
    assert_eq!(schedule.ended(now, &uuid, done), Some(Action::Done("a", "so".to_owned().into())));
    assert!(schedule.is_empty());
}

#[test]
fn what_is_too_early_is_tried_again_after_a_second() {
    let (mut schedule, uuid, now) = with_job(None);
    assert_eq!(try_once(&mut schedule, &uuid, now, Outcome::TooEarly), None);
    assert_eq!((schedule.next_attempt(), schedule.due(now + S)), (Some(now + S), attempt("a", false)));
}

#[test]
fn as_many_as_there_are_workers_are_tried_and_who_has_just_come_does_not_wait_behind_a_timer() {
    let (mut schedule, now) = (Schedule::new(None, 100 * S, 3), Instant::now());
    let uuid = |number: usize| format!("6695eb01-f6a4-8304-79aa-{number:012}").parse::<Uuid>().unwrap();
    let come = |schedule: &mut Schedule<usize>, job, goes_on: bool| {
        schedule.take(uuid(job), Order { job, force: false, may_come: !goes_on, goes_on });
        schedule.found(now, &uuid(job), Presence::Running);
    };
    (0..5).for_each(|job| come(&mut schedule, job, true));
    let jobs = |due: Vec<Due<usize>>| due.into_iter().map(|due| due.job).collect::<Vec<_>>();
    assert_eq!(jobs(schedule.due(now)), [0, 1], "one worker is left");
    assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (None, vec![]));
    (7..9).for_each(|job| come(&mut schedule, job, false));
    assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (Some(now), vec![7]));
    assert_eq!((schedule.next_attempt(), jobs(schedule.due(now))), (None, vec![]));
    // Who waits for a worker is at no work that could hang.
    assert_eq!(schedule.stuck(now + 99 * S), None);
    schedule.ended(now, &uuid(0), Outcome::Unchanged);
    assert_eq!(jobs(schedule.due(now + 99 * S)), [8], "who has just come goes first");
}

#[test]
fn an_attempt_that_does_not_come_back_is_known_and_waiting_is_none() {
    let (mut schedule, uuid, now) = with_job(None);
    assert_eq!(schedule.stuck(now + 500 * S), None, "nobody is at it");
    schedule.found(now, &uuid, Presence::Running);
    schedule.due(now + S);
    assert_eq!((schedule.stuck(now + 100 * S), schedule.stuck(now + 101 * S)), (None, Some(&"a")));
}

#[test]
fn a_vm_that_does_not_come_is_given_up_when_its_job_is_old_or_was_begun() {
    let (mut schedule, uuid, now) = with_job(None);
    assert_eq!(schedule.found(now, &uuid, Presence::Absent { soon: false }), Some(Action::Gone("a")));
    let (mut schedule, uuid, now) = with_job(None);
    schedule.found(now, &uuid, Presence::Running);
    schedule.due(now);
    assert_eq!(schedule.ended(now, &uuid, Outcome::Gone), Some(Action::Gone("a")));
}

#[test]
fn a_newer_job_takes_the_place_of_an_older_one_unless_a_worker_is_at_it() {
    let (mut schedule, uuid, now) = with_job(None);
    let newer = || Order { job: "b", force: true, may_come: false, goes_on: false };
    schedule.found(now, &uuid, Presence::Running);
    assert_eq!(schedule.due(now), first("a", false));
    schedule.take(uuid.clone(), newer());
    assert_eq!(schedule.job(&uuid), Some(&"a"));
    schedule.ended(now, &uuid, Outcome::Unchanged);
    schedule.take(uuid.clone(), newer());
    schedule.found(now, &uuid, Presence::Running);
    assert_eq!(schedule.due(now), first("b", true));
}

#[test]
fn a_guest_that_holds_its_disc_is_asked_every_second_and_made_to_let_go_after_the_grace() {
    let (mut schedule, uuid, begin) = with_job(Some(3 * S));
    for second in 0..3 {
        let now = begin + second * S;
        let held = try_once(&mut schedule, &uuid, now, Outcome::Held);
        assert_eq!(held, Some(Action::Held { job: "a", first: second == 0 }));
        assert_eq!(schedule.next_attempt(), Some(now + S));
    }
    assert_eq!(schedule.due(begin + 3 * S), attempt("a", true));
    let (mut schedule, uuid, begin) = with_job(None);
    try_once(&mut schedule, &uuid, begin, Outcome::Held);
    assert_eq!(schedule.due(begin + 500 * S), attempt("a", false), "never by force");
}

#[test]
fn the_grace_of_a_guest_that_stood_still_begins_when_it_runs() {
    let (mut schedule, uuid, begin) = with_job(Some(3 * S));
    try_once(&mut schedule, &uuid, begin, Outcome::Held);
    assert_eq!(schedule.due(begin + 2 * S), attempt("a", false));
    schedule.ended(begin + 2 * S, &uuid, Outcome::held_still());
    assert_eq!(schedule.found(begin + 4 * S, &uuid, Presence::Paused), None);
    assert_eq!(schedule.due(begin + 4 * S), [], "nobody could answer");
    schedule.found(begin + 9 * S, &uuid, Presence::Running);
    assert_eq!(schedule.due(begin + 9 * S), attempt("a", false));
}

#[test]
fn what_fails_for_no_known_reason_is_tried_four_times_with_longer_pauses() {
    let (mut schedule, uuid, mut now) = with_job(None);
    for pause in [2, 4, 8] {
        let action = try_once(&mut schedule, &uuid, now, Outcome::Failed("so".to_owned()));
        assert_eq!(action, Some(Action::Waits("a", "trying again after: so".to_owned())));
        assert_eq!(schedule.next_attempt(), Some(now + pause * S));
        now += pause * S;
    }
    let action = try_once(&mut schedule, &uuid, now, Outcome::Failed("so".to_owned()));
    assert_eq!(action, Some(Action::Failed("a", "so".to_owned())));
    assert!(schedule.is_empty());
}

#[test]
fn a_job_that_waits_for_ten_minutes_is_left_to_another_helper() {
    let (mut schedule, uuid, begin) = with_job(None);
    let busy = || Outcome::Busy("it migrates".to_owned());
    assert!(matches!(try_once(&mut schedule, &uuid, begin, busy()), Some(Action::Waits("a", _))));
    assert_eq!(try_once(&mut schedule, &uuid, begin + PATIENCE, busy()), Some(Action::Late("a")));
    assert!(schedule.is_empty());
}

#[test]
fn the_grace_runs_from_the_first_attempt_though_a_timer_asks_again_and_is_waited_for() {
    let longer = PATIENCE + 100 * S;
    let again = |job| Order { job, force: false, may_come: false, goes_on: true };
    for (newer, force) in [(again("a"), true), (Order { goes_on: false, ..again("a") }, false)] {
        let (mut schedule, uuid, begin) = with_job(Some(longer));
        try_once(&mut schedule, &uuid, begin, Outcome::Held);
        assert!(matches!(try_once(&mut schedule, &uuid, begin + PATIENCE, Outcome::Held), Some(Action::Held { .. })));
        schedule.take(uuid.clone(), Order { job: "b", ..newer });
        schedule.found(begin + longer, &uuid, Presence::Running);
        assert_eq!(schedule.due(begin + longer), first("b", force), "a new guest has time of its own");
    }
}

#[test]
fn what_was_at_work_when_the_connection_was_lost_is_looked_at_again() {
    let (mut schedule, uuid, now) = with_job(None);
    schedule.found(now, &uuid, Presence::Running);
    schedule.due(now);
    schedule.begin_again();
    assert_eq!(schedule.to_look_at(), [uuid]);
}

/// A second job in it.
fn and_another(schedule: &mut Schedule<&'static str>, goes_on: bool) -> Uuid {
    let uuid: Uuid = "11111111-2222-4333-8444-555555555555".parse().unwrap();
    schedule.take(uuid.clone(), Order { job: "b", force: false, may_come: true, goes_on });
    uuid
}

fn hosts_fault() -> Outcome {
    Outcome::HostsFault("half written".to_owned())
}

#[test]
fn a_fault_of_the_hosts_data_is_tried_again_for_ten_seconds_and_for_as_long_as_there_is_other_work() {
    // Gives how often it is tried, `most` times if that does not end, and until when.
    let tries = |schedule: &mut Schedule<&'static str>, uuid: &Uuid, mut now: Instant, most: usize| {
        for number in 1..=most {
            match try_once(schedule, uuid, now, hosts_fault()) {
                Some(Action::Waits("a", _)) => now = schedule.next_attempt().unwrap(),
                Some(Action::Failed("a", _)) => return (number, now),
                other => panic!("{other:?}"),
            }
        }
        (most, now)
    };
    let (mut schedule, uuid, begin) = with_job(None);
    let (number, end) = tries(&mut schedule, &uuid, begin, 100);
    assert!(number == 4 && end >= begin + 10 * S);
    let (mut schedule, uuid, begin) = with_job(None);
    let other = and_another(&mut schedule, false);
    let (number, now) = tries(&mut schedule, &uuid, begin, 20);
    assert!(number == 20 && now <= begin + 200 * S);
    assert_eq!(schedule.found(now, &other, Presence::Absent { soon: false }), Some(Action::Gone("b")));
    assert_eq!(tries(&mut schedule, &uuid, now, 100).0, 1);
}

#[test]
fn two_vms_that_wait_for_the_same_file_keep_no_helper_for_ever() {
    let (mut schedule, one, begin) = with_job(None);
    let other = and_another(&mut schedule, false);
    for uuid in [&one, &other] {
        schedule.found(begin, uuid, Presence::Running);
    }
    let mut now = begin;
    while let Some(next) = schedule.next_attempt() {
        now = next;
        for due in schedule.due(now) {
            schedule.ended(now, if due.job == "a" { &one } else { &other }, hosts_fault());
        }
    }
    assert!(schedule.is_empty() && now < begin + 60 * S);
}

#[test]
fn who_asks_for_a_refresh_is_told_of_a_fault_of_the_hosts_data_at_once() {
    let (mut schedule, _, now) = with_job(None);
    let other = and_another(&mut schedule, true);
    assert_eq!(
        try_once(&mut schedule, &other, now, hosts_fault()),
        Some(Action::Failed("b", "half written".to_owned()))
    );
}
