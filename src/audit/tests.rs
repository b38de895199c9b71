//! Histories with a virtual clock.

use std::fmt::Write as _;

use super::*;
use crate::snapshot::Snapshots;
use crate::snapshot::testing::manifests_from;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

/// 2026-01-01.
const BEGIN: i64 = 1_767_225_600;

/// One snapshot: seconds after [`BEGIN`], bytes, files, root, failed entries, whether it is complete.
#[derive(Clone, Copy)]
struct Point {
    at: i64,
    size: i64,
    files: i64,
    root: u32,
    failed: i64,
    complete: bool,
}

fn at(seconds: i64) -> UtcTimestamp {
    UtcTimestamp((BEGIN + seconds) * 1_000_000_000)
}

/// A snapshot whose content no other has.
fn honest(at: i64) -> Point {
    Point { at, size: 50 << 20, files: 1000, root: at as u32, failed: 0, complete: true }
}

fn states(source: &str, points: &[Point]) -> Vec<SourceState> {
    let Source { host, user, path } = source.parse().unwrap();
    let entry = |(number, point): (usize, &Point)| {
        let Point { size, files, root, failed, complete, .. } = point;
        let (time, incomplete) = (at(point.at), if *complete { "" } else { "checkpoint" });
        let mut entry = String::new();
        write!(
            entry,
            r#"{{"id":"{number:032x}","labels":{{"type":"snapshot","hostname":"{host}","username":"{user}","path":"{path}"}},
            "modified":"{time}","data":{{"source":{{"host":"{host}","userName":"{user}","path":"{path}"}},
            "startTime":"{time}","endTime":"{time}","incomplete":"{incomplete}","rootEntry":{{"name":"x","type":"d",
            "obj":"k{root:08x}","summ":{{"size":{size},"files":{files},"numFailed":{failed}}}}}}}}}"#
        )
        .unwrap();
        entry
    };
    let entries: Vec<String> = points.iter().enumerate().map(entry).collect();
    SourceState::of_all(&Snapshots::new(&manifests_from(&entries)))
}

fn codes_with(points: &[Point], expected: &str, now: i64) -> Vec<&'static str> {
    let audit = audit(&states("db@apps:/data", points), true, &expected.parse().unwrap(), at(now));
    audit.sources.iter().flat_map(|source| source.findings.iter().map(Finding::code)).collect()
}

fn codes(points: &[Point], now: i64) -> Vec<&'static str> {
    codes_with(points, "", now)
}

fn daily(days: i64) -> Vec<Point> {
    (0..days).map(|day| honest(day * DAY)).collect()
}

/// A year of nightly backups with the gaps that real ones have, thinned out as retention does it.
fn honest_year() -> Vec<Point> {
    let skipped = |day: i64| day % 61 == 17 || day % 97 == 3;
    let jitter = |day: i64| (day * 7919) % (2 * HOUR);
    let kept =
        |day: i64| day > 330 || (day > 300 && day % 2 == 0) || (day > 180 && day % 7 == 0) || day % 30 == 0;
    (0..365)
        .filter(|day| !skipped(*day) && kept(*day))
        .map(|day| {
            let size = (50 << 20) + (day % 11) * (4 << 20);
            // A database at rest: nothing changes over a weekend.
            let root = (day - (day % 7 - 4).max(0)) as u32;
            Point { size, root, ..honest(day * DAY + jitter(day)) }
        })
        .collect()
}

#[test]
fn a_year_of_honest_history_raises_no_alarm_on_any_hour_of_its_last_days() {
    let year = honest_year();
    for days in 330..=365 {
        let until: Vec<Point> = year.iter().copied().filter(|point| point.at < days * DAY).collect();
        let newest = until.last().unwrap().at;
        for hours in 0..40 {
            let now = newest + hours * HOUR;
            assert_eq!(codes_with(&until, "*@apps:* 50h", now), [""; 0], "day {days}, {hours} hours later");
        }
    }
}

#[test]
fn a_frozen_source_is_overdue_by_its_own_history_and_stale_by_a_limit() {
    assert_eq!(codes(&daily(20), 19 * DAY + 30 * HOUR), [""; 0]);
    assert_eq!(codes(&daily(20), 23 * DAY), ["backup-overdue"]);
    assert_eq!(codes_with(&daily(20), "db@apps:/data 26h", 19 * DAY + 26 * HOUR), [""; 0]);
    assert_eq!(codes_with(&daily(20), "db@apps:/data 26h", 19 * DAY + 26 * HOUR + 1), ["backup-stale"]);
    assert_eq!(codes_with(&daily(2), "*@apps:* 1h", DAY + 2 * HOUR), ["backup-stale"]);
    assert_eq!(codes(&daily(3), 900 * DAY), [""; 0], "three snapshots are no schedule");
}

#[test]
fn an_expected_source_that_is_missing_is_missing_only_if_that_is_certain() {
    let expected: Expectations = "db@renamed:/data".parse().unwrap();
    let of = |certain| {
        let audit = audit(&states("db@apps:/data", &daily(9)), certain, &expected, at(8 * DAY));
        assert!(!audit.is_good());
        audit
            .sources
            .iter()
            .map(|source| source.findings.iter().map(Finding::code).collect::<Vec<_>>())
            .collect::<Vec<_>>()
    };
    let (known, missing): (Vec<&str>, _) = (vec![], vec!["backup-missing"]);
    assert_eq!(of(true), [known.clone(), missing]);
    assert_eq!(of(false), [known, vec!["backup-unknown"]]);
}

#[test]
fn a_source_that_shrank_is_named_once() {
    let with = |size, files| {
        let mut points = daily(9);
        points.push(Point { size, files, ..honest(9 * DAY) });
        codes(&points, 9 * DAY)
    };
    assert_eq!(with(0, 0), ["backup-shrunk"]);
    assert_eq!(with(10 << 20, 1000), ["backup-shrunk"]);
    assert_eq!(with(50 << 20, 200), ["backup-shrunk"]);
    assert_eq!(with(20 << 20, 400), [""; 0]);
}

#[test]
fn a_source_that_stopped_changing_is_named() {
    let frozen = |same: i64| {
        let mut points = daily(12);
        points.extend((0..same).map(|day| Point { root: 7, ..honest((12 + day) * DAY) }));
        codes(&points, (11 + same) * DAY)
    };
    assert_eq!(frozen(3), [""; 0]);
    assert_eq!(frozen(4), ["backup-unchanging"]);
    let quiet: Vec<Point> = (0..30).map(|day| Point { root: 7, ..honest(day * DAY) }).collect();
    assert_eq!(codes(&quiet, 29 * DAY), [""; 0], "it never changed");
}

#[test]
fn a_clock_that_is_ahead_hides_no_age() {
    let mut points = daily(9);
    points.push(honest(400 * DAY));
    assert!(codes(&points, 9 * DAY).contains(&"clock-ahead"));
    assert_eq!(codes(&daily(9), 8 * DAY - 200), [""; 0], "clocks of a cluster differ by seconds");
}

#[test]
fn a_recent_pause_is_told_and_decides_nothing() {
    let points: Vec<Point> = (0..12).chain(20..25).map(|day| honest(day * DAY)).collect();
    let audit = audit(&states("db@apps:/data", &points), true, &Expectations::default(), at(24 * DAY));
    let [Finding::Gap { after, length, usual }] = audit.sources[0].findings.as_slice() else {
        panic!("{:?}", audit.sources[0].findings)
    };
    assert_eq!((*after, length.as_secs(), usual.as_secs()), (at(11 * DAY), 9 * 86_400, 86_400));
    assert!(audit.is_good());
}

#[test]
fn what_the_client_could_not_save_or_end_is_told() {
    let mut points = daily(9);
    points[8].failed = 3;
    points.push(Point { complete: false, ..honest(8 * DAY + HOUR) });
    assert_eq!(codes(&points, 8 * DAY + 2 * HOUR), ["entries-failed", "attempts-incomplete"]);
    let never: Vec<Point> = daily(3).into_iter().map(|point| Point { complete: false, ..point }).collect();
    assert_eq!(codes(&never, 3 * DAY), ["backup-never-completed"]);
}
