//! How fast storage turns out to be, and in what pieces it is then read best.

use std::time::{Duration, Instant};

use super::{Error, Hints};
use crate::os::sync::Mutex;

/// Reads of no more bytes than this take as long as the storage needs to answer at all.
const SMALL: u64 = 64 << 10;

/// Reads of this many bytes and more tell how many bytes come in a second, once these are enough, and for long enough.
const LARGE: u64 = 256 << 10;
const ENOUGH: u64 = 8 << 20;
const LONG_ENOUGH: Duration = Duration::from_millis(250);

/// That many of them have to be under way, on average: fewer wait for answers, and the line is idle meanwhile.
const TOGETHER: u32 = 8;

/// What a request costs besides waiting: work at both ends.
const WORK: Duration = Duration::from_millis(1);

/// A piece takes about as long, or four answers: what is cut off is not much then, and what is asked for next does not wait.
const PIECE: Duration = Duration::from_secs(2);
const ANSWERS: u32 = 4;

const LEAST_RANGE: u64 = 256 << 10;
const LEAST_GAP: u64 = 16 << 10;
const MOST_GAP: u64 = 1 << 20;

/// What the reads of a store tell of it.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The shortest time to an answer.
    latency: Option<Duration>,
    /// The most bytes a second.
    rate: Option<f64>,
    large: Large,
}

/// Large reads since the rate was last found out.
#[derive(Debug, Default)]
struct Large {
    under_way: u32,
    since: Option<Instant>,
    /// How long any of them was under way, and the sum of what each took.
    busy: Duration,
    took: Duration,
    bytes: u64,
}

impl Measured {
    /// Reads this many bytes, and measures how long that takes.
    pub(super) fn during<T>(&self, bytes: u64, read: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
        let begun = Instant::now();
        if bytes >= LARGE {
            self.0.lock().large.begin(begun);
        }
        let result = read();
        let now = Instant::now();
        let mut state = self.0.lock();
        if bytes >= LARGE {
            let bytes = if result.is_ok() { bytes } else { 0 };
            state.end_large(begun, now, bytes);
        } else if bytes <= SMALL && result.is_ok() {
            let took = now - begun;
            state.latency = Some(state.latency.map_or(took, |least| least.min(took)));
        }
        result
    }

    /// How the storage is read best by all that is known now.
    pub(super) fn fit(&self, hints: Hints) -> Hints {
        let state = self.0.lock();
        match (state.latency, state.rate) {
            (Some(latency), Some(rate)) => fitted(hints, latency, rate),
            _ => hints,
        }
    }
}

impl Large {
    fn begin(&mut self, now: Instant) {
        self.under_way += 1;
        self.since.get_or_insert(now);
    }
}

impl State {
    fn end_large(&mut self, begun: Instant, now: Instant, bytes: u64) {
        let large = &mut self.large;
        large.under_way = large.under_way.saturating_sub(1);
        large.bytes += bytes;
        large.took += now.saturating_duration_since(begun);
        if let Some(since) = large.since {
            large.busy += now.saturating_duration_since(since);
            large.since = (large.under_way > 0).then_some(now);
        }
        if large.bytes < ENOUGH || large.busy < LONG_ENOUGH {
            return;
        }
        if large.took >= large.busy * TOGETHER {
            let rate = large.bytes as f64 / large.busy.as_secs_f64();
            self.rate = Some(self.rate.map_or(rate, |most| most.max(rate)));
        }
        (large.busy, large.took, large.bytes) = (Duration::ZERO, Duration::ZERO, 0);
    }
}

/// A gap is read over where its bytes come sooner than what one more request costs: its share of the waiting, and its work.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded, and not negative")]
fn fitted(hints: Hints, latency: Duration, rate: f64) -> Hints {
    let reads = hints.reads.max(1) as f64;
    let gap = rate * (latency.as_secs_f64() / reads + WORK.as_secs_f64());
    let range = rate * PIECE.max(latency * ANSWERS).as_secs_f64() / reads;
    let range = (range as u64).clamp(LEAST_RANGE.min(hints.range), hints.range);
    Hints { range, gap: (gap as u64).clamp(LEAST_GAP, MOST_GAP), ..hints }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEGABYTE: f64 = 1e6;

    #[test]
    fn pieces_fit_the_line() {
        let fit = |milliseconds, megabytes: f64| {
            let hints = fitted(Hints::REMOTE, Duration::from_millis(milliseconds), megabytes * MEGABYTE);
            (hints.range >> 10, hints.gap >> 10)
        };
        assert_eq!(fit(50, 125.0), (4096, 312));
        assert_eq!(fit(50, 12.5), (762, 31));
        assert_eq!(fit(50, 1.25), (256, 16));
        assert_eq!(fit(1, 1250.0), (4096, 1024));
        assert_eq!(fit(600, 12.5), (915, 241));
    }

    /// Reads of 1 MiB that each took a second, `together` of them at the same time, for some seconds.
    fn state(together: u32, seconds: u32) -> State {
        let mut state = State::default();
        let start = Instant::now();
        for second in 0..seconds {
            let begun = start + Duration::from_secs(second.into());
            (0..together).for_each(|_| state.large.begin(begun));
            (0..together).for_each(|_| state.end_large(begun, begun + Duration::from_secs(1), 1 << 20));
        }
        state
    }

    #[test]
    fn the_rate_is_known_only_where_enough_is_under_way() {
        let rate = state(16, 9).rate.unwrap();
        assert!((f64::from(12 << 20)..f64::from(18 << 20)).contains(&rate), "{rate}");
        assert_eq!(state(4, 20).rate, None);
        assert_eq!(state(7, 1).rate, None);
    }

    #[test]
    fn nothing_changes_before_it_is_known() {
        let measured = Measured::default();
        measured.during(100, || Ok(())).unwrap();
        assert_eq!(measured.fit(Hints::REMOTE), Hints::REMOTE);
        let state = State { latency: Some(Duration::from_millis(50)), rate: Some(1e6), ..State::default() };
        assert_eq!(Measured(Mutex::new(state)).fit(Hints::REMOTE).range, LEAST_RANGE);
    }
}
