//! Why snapshots are kept (`format-spec/15-policies-and-retention.md`). Kopia computes the reasons whenever it lists
//! snapshots; they are stored nowhere.

use std::borrow::Borrow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::Snapshot;
use crate::gojson::time::{civil_from_days, days_from_civil};

const NANOS_PER_SECOND: i128 = 1_000_000_000;
const NANOS_PER_HOUR: i64 = 3_600_000_000_000;
const SECONDS_PER_DAY: i64 = 86_400;

/// Incomplete snapshots up to this much older than the newest one are kept.
const INCOMPLETE_MAX_AGE: i128 = 4 * NANOS_PER_HOUR as i128;
/// So many incomplete snapshots are kept whatever their age.
const INCOMPLETE_MIN_COUNT: usize = 3;

/// How many snapshots of each kind are kept; `None` where no policy says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retention {
    /// The latest ones.
    pub latest: Option<i64>,
    /// The latest of each hour.
    pub hourly: Option<i64>,
    /// The latest of each day.
    pub daily: Option<i64>,
    /// The latest of each ISO week.
    pub weekly: Option<i64>,
    /// The latest of each month.
    pub monthly: Option<i64>,
    /// The latest of each year.
    pub annual: Option<i64>,
}

impl Retention {
    /// What `keep` says for each of the names that these have in policies.
    pub(super) fn by_name(keep: impl Fn(&str) -> Option<i64>) -> Self {
        Self {
            latest: keep("keepLatest"),
            hourly: keep("keepHourly"),
            daily: keep("keepDaily"),
            weekly: keep("keepWeekly"),
            monthly: keep("keepMonthly"),
            annual: keep("keepAnnual"),
        }
    }

    /// How many of the latest are kept: where everything is zero, all of them.
    fn effective_latest(&self) -> Option<i64> {
        let all = [self.latest, self.hourly, self.daily, self.weekly, self.monthly, self.annual];
        let sum = all.into_iter().flatten().fold(0_i64, i64::wrapping_add);
        if sum == 0 { Some(i64::MAX) } else { self.latest }
    }

    /// The reasons to keep each of `snapshots`, in the same order. They must be those of one source, in any order.
    /// `zone` is the time zone of the client that asks: weeks and cut-offs depend on it.
    ///
    /// A snapshot without reasons and without pins expires.
    pub fn reasons<S: Borrow<Snapshot>>(&self, snapshots: &[S], zone: &TimeZone) -> Vec<Vec<String>> {
        let moments: Vec<Moment> = snapshots.iter().map(|snapshot| Moment::of(snapshot.borrow())).collect();
        let mut order: Vec<usize> = (0..snapshots.len()).collect();
        order.sort_by_key(|i| Reverse(snapshots.get(*i).map(|snapshot| snapshot.borrow().time_key())));
        let latest_first: Vec<Moment> = order.iter().filter_map(|i| moments.get(*i).copied()).collect();
        let mut reasons = vec![Vec::new(); snapshots.len()];
        for (i, found) in order.into_iter().zip(self.reasons_in_order(&latest_first, zone)) {
            if let Some(reasons) = reasons.get_mut(i) {
                *reasons = found;
            }
        }
        reasons
    }

    /// As [`Retention::reasons`], for snapshots sorted from the latest to the oldest.
    fn reasons_in_order(&self, snapshots: &[Moment], zone: &TimeZone) -> Vec<Vec<String>> {
        let complete = snapshots.iter().filter(|snapshot| snapshot.complete);
        let base = complete.map(|snapshot| snapshot.start).max().unwrap_or_default();
        let mut periods = Periods::new(self, base, zone);
        let mut reasons: Vec<Vec<String>> = snapshots
            .iter()
            .enumerate()
            .map(
                |(i, snapshot)| {
                    if snapshot.complete { periods.reasons(i, snapshot.start) } else { Vec::new() }
                },
            )
            .collect();
        let newest = snapshots.iter().map(|snapshot| snapshot.start).max().unwrap_or_default();
        for (i, (snapshot, reasons)) in snapshots.iter().zip(&mut reasons).enumerate() {
            let young = newest - snapshot.start < INCOMPLETE_MAX_AGE || i < INCOMPLETE_MIN_COUNT;
            if snapshot.complete || !young {
                break;
            }
            reasons.push("incomplete".to_owned());
        }
        reasons
    }
}

/// What retention looks at.
#[derive(Clone, Copy)]
struct Moment {
    /// Nanoseconds since 1970, wide enough for what is computed from it.
    start: i128,
    complete: bool,
}

impl Moment {
    fn of(snapshot: &Snapshot) -> Moment {
        Moment { start: snapshot.start_time.as_nanos().into(), complete: snapshot.is_complete() }
    }
}

/// A kind of reason while the snapshots are gone through.
struct Period {
    name: &'static str,
    limit: i64,
    /// Snapshots that began before do not count.
    cutoff: i128,
    count: i64,
}

struct Periods<'a> {
    all: Vec<Period>,
    /// Keys that were used, of all kinds together: a month and a week may have the same, and then only one of them
    /// counts.
    used: HashSet<String>,
    zone: &'a TimeZone,
}

impl<'a> Periods<'a> {
    fn new(retention: &Retention, base: i128, zone: &'a TimeZone) -> Self {
        let period = |name, limit: Option<i64>, cutoff: &dyn Fn(i64) -> i128| {
            limit.map(|limit| Period { name, limit, cutoff: cutoff(limit), count: 0 })
        };
        let back = |years: i64, months: i64, days: i64| add_date(base, (-years, -months, -days), zone);
        let all = [
            period("latest", retention.effective_latest(), &|_| i128::MIN),
            period("annual", retention.annual, &|n| back(bounded(n), 0, 0)),
            period("monthly", retention.monthly, &|n| back(0, bounded(n), 0)),
            period("weekly", retention.weekly, &|n| back(0, 0, 7 * bounded(n))),
            period("daily", retention.daily, &|n| back(0, 0, bounded(n))),
            // Go multiplies durations in 64 bits.
            period("hourly", retention.hourly, &|n| {
                base + i128::from(n.wrapping_neg().wrapping_mul(NANOS_PER_HOUR))
            }),
        ];
        Periods { all: all.into_iter().flatten().collect(), used: HashSet::new(), zone }
    }

    /// The reasons for the complete snapshot at position `i` that began at `start`.
    fn reasons(&mut self, i: usize, start: i128) -> Vec<String> {
        let mut reasons = Vec::new();
        for period in &mut self.all {
            if start < period.cutoff {
                continue;
            }
            let key = key(period.name, i, start, self.zone);
            if period.count < period.limit && !self.used.contains(&key) {
                self.used.insert(key);
                period.count += 1;
                reasons.push(format!("{}-{}", period.name, period.count));
            }
        }
        sort_reasons(&mut reasons);
        reasons
    }
}

/// Keeps a count far from overflow; what it bounds already reaches beyond all representable times.
fn bounded(n: i64) -> i64 {
    n.clamp(-10_000_000, 10_000_000)
}

/// What two snapshots of one period have in common. Weeks are those of the client's zone, all else is UTC.
fn key(period: &str, i: usize, start: i128, zone: &TimeZone) -> String {
    let seconds = to_seconds(start);
    let (year, month, day) = civil_from_days(seconds.div_euclid(SECONDS_PER_DAY));
    let hour = seconds.rem_euclid(SECONDS_PER_DAY) / 3_600;
    match period {
        "annual" => format!("{year:04}"),
        "monthly" => format!("{year:04}-{month:02}"),
        "weekly" => {
            let (year, week) = iso_week((seconds + offset(seconds, zone)).div_euclid(SECONDS_PER_DAY));
            format!("{year:04}-{week:02}")
        }
        "daily" => format!("{year:04}-{month:02}-{day:02}"),
        "hourly" => format!("{year:04}-{month:02}-{day:02} {hour:02}"),
        _ => i.to_string(),
    }
}

/// Year and number of the ISO week of a day since 1970-01-01, a Thursday.
fn iso_week(day: i64) -> (i64, i64) {
    let thursday = day - (day + 3).rem_euclid(7) + 3;
    let (year, _, _) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}

fn to_seconds(nanos: i128) -> i64 {
    i64::try_from(nanos.div_euclid(NANOS_PER_SECOND)).unwrap_or_default()
}

/// Seconds by which the zone is ahead of UTC.
fn offset(seconds: i64, zone: &TimeZone) -> i64 {
    let seconds = seconds.clamp(Timestamp::MIN.as_second(), Timestamp::MAX.as_second());
    Timestamp::from_second(seconds).map_or(0, |time| i64::from(zone.to_offset(time).seconds()))
}

/// Go's `AddDate`: adds years, months and days to the local date, lets days beyond the end of a month run over into
/// the next, and keeps the local time of day.
fn add_date(nanos: i128, (years, months, days): (i64, i64, i64), zone: &TimeZone) -> i128 {
    let seconds = to_seconds(nanos);
    let local = seconds + offset(seconds, zone);
    let (year, month, day) = civil_from_days(local.div_euclid(SECONDS_PER_DAY));
    let month = year * 12 + (month - 1) + years * 12 + months;
    let day = days_from_civil(month.div_euclid(12), month.rem_euclid(12) + 1, 1) + (day - 1) + days;
    let local = day * SECONDS_PER_DAY + local.rem_euclid(SECONDS_PER_DAY);
    // Where the clock was turned, Go looks the offset up at the local time taken for UTC, then corrects once.
    let utc = match offset(local, zone) {
        0 => local,
        guess => local - offset(local - guess, zone),
    };
    i128::from(utc) * NANOS_PER_SECOND + nanos.rem_euclid(NANOS_PER_SECOND)
}

/// A reason split at its last dash.
fn parts(reason: &str) -> (&str, &str) {
    reason.rsplit_once('-').unwrap_or((reason, ""))
}

/// Sorts reasons as Kopia shows them: latest, hourly, … annual; numbers as text.
fn sort_reasons(reasons: &mut [String]) {
    let rank = |prefix: &str| match prefix {
        "latest" => 1,
        "hourly" => 2,
        "daily" => 3,
        "weekly" => 4,
        "monthly" => 5,
        "annual" => 6,
        _ => 0,
    };
    reasons.sort_by(|a, b| {
        let (a, b) = (parts(a), parts(b));
        rank(a.0).cmp(&rank(b.0)).then(a.cmp(&b))
    });
}

/// The reasons of several snapshots that are shown as one, runs of numbers joined: `daily-1`, `daily-2` are
/// `daily-1..2`.
pub fn compact_reasons<'a>(reasons: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut compacted = Vec::new();
    let mut numbers: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for reason in reasons {
        let (prefix, number) = parts(reason);
        match number.parse() {
            Ok(number) => numbers.entry(prefix).or_default().push(number),
            Err(_) => compacted.push(reason.to_owned()),
        }
    }
    for (prefix, mut numbers) in numbers {
        numbers.sort_unstable();
        let follows = |a: &i64, b: &i64| a.checked_add(1) == Some(*b);
        for run in numbers.chunk_by(follows) {
            compacted.push(match run {
                [first, .., last] => format!("{prefix}-{first}..{last}"),
                [only] => format!("{prefix}-{only}"),
                [] => continue,
            });
        }
    }
    sort_reasons(&mut compacted);
    compacted
}

/// The pins of several snapshots that are shown as one.
pub fn compact_pins<'a>(pins: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    pins.into_iter().collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;
    use crate::snapshot::UtcTimestamp;

    fn snapshot(start: &str, end: &str, incomplete: bool) -> Snapshot {
        let mut snapshot = Snapshot::parse(&Manifest::for_tests("m", &[], "{}")).unwrap();
        snapshot.start_time = start.parse().unwrap();
        snapshot.end_time = end.parse().unwrap();
        snapshot.incomplete = if incomplete { "canceled".into() } else { String::new() };
        snapshot
    }

    fn retention(policy: &serde_json::Value) -> Retention {
        Retention::by_name(|name| policy.get(name).and_then(serde_json::Value::as_i64))
    }

    #[test]
    fn vectors() {
        let vectors: serde_json::Value =
            serde_json::from_str(include_str!("../../format-spec/vectors/retention.json")).unwrap();
        let cases = vectors["reasons"].as_array().unwrap();
        assert!(cases.len() >= 5);
        for case in cases {
            let zone = TimeZone::get(case["zone"].as_str().unwrap()).unwrap();
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let vectors = case["snapshots"].as_array().unwrap();
            let snapshots: Vec<Snapshot> = vectors
                .iter()
                .map(|s| snapshot(&text(&s["start"]), &text(&s["end"]), s["incomplete"].as_bool().unwrap()))
                .collect();
            let reasons = retention(&case["policy"]).reasons(&snapshots, &zone);
            for (vector, reasons) in vectors.iter().zip(&reasons) {
                let expected: Vec<String> = vector["reasons"].as_array().unwrap().iter().map(text).collect();
                assert_eq!(*reasons, expected, "{}: {}", case["name"], vector["start"]);
            }
        }
    }

    #[test]
    fn adds_dates_like_go() {
        let utc = TimeZone::UTC;
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let new_york = TimeZone::get("America/New_York").unwrap();
        for (from, date, zone, to) in [
            ("2024-03-31T12:00:00.5Z", (0, -1, 0), &utc, "2024-03-02T12:00:00.5Z"),
            ("2023-03-31T12:00:00Z", (0, -1, 0), &utc, "2023-03-03T12:00:00Z"),
            ("2024-02-29T00:00:00Z", (-1, 0, 0), &utc, "2023-03-01T00:00:00Z"),
            ("2024-01-15T00:00:00Z", (0, -13, 0), &utc, "2022-12-15T00:00:00Z"),
            ("2024-06-10T10:00:00Z", (0, -5, 0), &berlin, "2024-01-10T11:00:00Z"),
            // 02:30 does not exist on 31 March 2024 in Berlin, and exists twice on 27 October.
            ("2024-04-01T00:30:00Z", (0, 0, -1), &berlin, "2024-03-31T01:30:00Z"),
            ("2024-10-28T01:30:00Z", (0, 0, -1), &berlin, "2024-10-27T01:30:00Z"),
            // The same in New York: 10 March and 3 November.
            ("2024-03-11T06:30:00Z", (0, 0, -1), &new_york, "2024-03-10T06:30:00Z"),
            ("2024-11-04T06:30:00Z", (0, 0, -1), &new_york, "2024-11-03T05:30:00Z"),
        ] {
            let parse = |text: &str| i128::from(text.parse::<UtcTimestamp>().unwrap().as_nanos());
            let added = add_date(parse(from), date, zone);
            let shown = UtcTimestamp(i64::try_from(added).unwrap());
            assert_eq!(added, parse(to), "{from} became {shown}");
        }
    }

    #[test]
    fn weeks_follow_iso() {
        for (date, week) in [
            ((2024, 1, 1), (2024, 1)),
            ((2023, 1, 1), (2022, 52)),
            ((2020, 12, 31), (2020, 53)),
            ((2021, 1, 3), (2020, 53)),
            ((2021, 1, 4), (2021, 1)),
            ((1969, 12, 28), (1969, 52)),
            ((1969, 12, 29), (1970, 1)),
        ] {
            assert_eq!(iso_week(days_from_civil(date.0, date.1, date.2)), week, "{date:?}");
        }
    }

    #[test]
    fn extreme_values_do_not_overflow() {
        let snapshots = [
            snapshot("1677-09-21T00:12:43.145224192Z", "1970-01-01T00:00:00Z", false),
            snapshot("2262-04-11T23:47:16.854775807Z", "1970-01-01T00:00:00Z", false),
            snapshot("2262-04-11T23:47:16.854775807Z", "1970-01-01T00:00:01Z", true),
        ];
        let zone = TimeZone::get("Pacific/Auckland").unwrap();
        for keep in [i64::MIN, -1, 0, 1, i64::MAX] {
            let keep = Some(keep);
            let retention = Retention {
                latest: keep,
                hourly: keep,
                daily: keep,
                weekly: keep,
                monthly: keep,
                annual: keep,
            };
            assert_eq!(retention.reasons(&snapshots, &zone).len(), 3);
        }
        assert!(Retention::default().reasons::<Snapshot>(&[], &zone).is_empty());
        assert_eq!(
            Retention::default().reasons(&snapshots, &zone)[0],
            ["latest-2"],
            "no policy keeps everything"
        );
    }

    #[test]
    fn reasons_are_compacted() {
        let reasons =
            ["daily-2", "latest-10", "daily-1", "incomplete", "daily-4", "latest-9", "annual-1", "a-b"];
        assert_eq!(
            compact_reasons(reasons),
            ["a-b", "incomplete", "latest-9..10", "daily-1..2", "daily-4", "annual-1"]
        );
        assert_eq!(compact_pins(["b", "a", "b"]), ["a", "b"]);
    }
}
