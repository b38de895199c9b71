//! Time as the checker sees it: one monotonic clock for ages, one wall clock to catch the other out.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

use crate::snapshot::UtcTimestamp;

/// 2024-01-01T00:00:00Z. A wall clock before this has not been set; this program did not exist then.
const PLAUSIBLE: Duration = Duration::from_secs(1_704_067_200);

/// How far the two clocks may drift apart over the life of a view before neither is trusted for its age.
const TOLERANCE: Duration = Duration::from_secs(2);

/// A moment by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick {
    /// Time since the machine started, suspended time included.
    monotonic: Duration,
    /// Time since 1970 by the wall clock.
    wall: Duration,
}

/// A source of [`Tick`]s. Tests let it run faster than real time.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    factor: u32,
    origin: Tick,
}

impl Clock {
    /// The clocks of the system.
    pub fn system() -> Self {
        Self::faster(1)
    }

    /// Clocks that start now and run this many times faster than those of the system.
    pub fn faster(factor: u32) -> Self {
        Self { factor: factor.max(1), origin: Tick::read() }
    }

    /// The moment that is now.
    pub fn now(&self) -> Tick {
        let real = Tick::read();
        let scaled = |origin: Duration, real: Duration| {
            // A wall clock that was set back goes back here as well.
            match real.checked_sub(origin) {
                Some(passed) => origin.saturating_add(passed.saturating_mul(self.factor)),
                None => real,
            }
        };
        Tick {
            monotonic: scaled(self.origin.monotonic, real.monotonic),
            wall: scaled(self.origin.wall, real.wall),
        }
    }

    /// How long a wait of this clock's `duration` takes in real time.
    pub fn real(&self, duration: Duration) -> Duration {
        duration / self.factor
    }
}

impl Tick {
    fn read() -> Self {
        // CLOCK_MONOTONIC stands still while a virtual machine is suspended, and a view would look younger than it is.
        let monotonic = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .or_else(|_| clock_gettime(ClockId::CLOCK_MONOTONIC))
            .map_or(Duration::ZERO, Duration::from);
        Self { monotonic, wall: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    /// Time from `earlier` to this moment; `None` when the clocks contradict each other, or time ran backwards.
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let monotonic = self.monotonic.checked_sub(earlier.monotonic)?;
        let wall = self.wall.checked_sub(earlier.wall);
        match wall {
            Some(wall) if wall.abs_diff(monotonic) <= TOLERANCE => Some(monotonic.max(wall)),
            _ => None,
        }
    }

    /// Time from `earlier` to this moment by the monotonic clock alone, for waiting and for display.
    pub fn elapsed_since(self, earlier: Self) -> Duration {
        self.monotonic.saturating_sub(earlier.monotonic)
    }

    /// Whether this moment is the same as `other` or after it, by the monotonic clock.
    pub fn not_before(self, other: Self) -> bool {
        self.monotonic >= other.monotonic
    }

    /// Whether the wall clock shows a time at which this program can have run.
    pub fn is_plausible(self) -> bool {
        self.wall >= PLAUSIBLE
    }

    /// The wall clock.
    pub fn utc(self) -> UtcTimestamp {
        UtcTimestamp(i64::try_from(self.wall.as_nanos()).unwrap_or(i64::MAX))
    }

    /// A moment from both clocks, in seconds.
    #[cfg(test)]
    pub(crate) fn at(monotonic: u64, wall: u64) -> Self {
        Self { monotonic: Duration::from_secs(monotonic), wall: Duration::from_secs(wall) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_needs_two_clocks_that_agree() {
        let start = Tick::at(100, 1_800_000_000);
        assert_eq!(Tick::at(130, 1_800_000_031).since(start), Some(Duration::from_secs(31)));
        assert_eq!(Tick::at(130, 1_799_999_999).since(start), None, "set back");
        assert_eq!(Tick::at(130, 1_800_000_100).since(start), None, "set forward");
        assert_eq!(Tick::at(99, 1_800_000_010).since(start), None, "time ran backwards");
        assert!(!Tick::at(1, 60).is_plausible());
        assert!(start.is_plausible());
    }

    #[test]
    fn a_faster_clock_waits_shorter() {
        let clock = Clock::faster(1000);
        assert_eq!(clock.real(Duration::from_secs(90)), Duration::from_millis(90));
        let before = clock.now();
        std::thread::sleep(Duration::from_millis(3));
        assert!(clock.now().elapsed_since(before) >= Duration::from_secs(3));
    }
}
