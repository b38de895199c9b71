//! What several stores of the same data say together.

use crate::checker::State;
use crate::snapshot::UtcTimestamp;

/// The answer of all stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Together {
    /// *Exists* if one store says so; *absent* only if every store does.
    pub(crate) state: State,
    /// The number of the store to restore from: of those that say *exists*, the first with the newest complete snapshot.
    pub(crate) best: Option<usize>,
}

impl Together {
    /// Of each store its answer, and when its newest complete snapshot began. No store at all knows nothing.
    pub(crate) fn of(said: impl IntoIterator<Item = (State, Option<UtcTimestamp>)>) -> Self {
        let said: Vec<_> = said.into_iter().collect();
        let yes = said.iter().enumerate().filter(|(_, (state, _))| *state == State::Exists);
        // Of equals the last is taken, and the first is meant.
        let best = yes.rev().max_by_key(|(_, (_, newest))| *newest).map(|(at, _)| at);
        let all_absent = !said.is_empty() && said.iter().all(|(state, _)| *state == State::Absent);
        let state = match best {
            Some(_) => State::Exists,
            None if all_absent => State::Absent,
            None => State::Unknown,
        };
        Self { state, best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_is_said_only_where_every_store_says_it() {
        let states = [State::Exists, State::Absent, State::Unknown];
        for (a, b) in states.iter().flat_map(|a| states.iter().map(move |b| (*a, *b))) {
            let together = Together::of([(a, None), (b, None)]);
            let expected = match (a, b) {
                (State::Exists, _) | (_, State::Exists) => State::Exists,
                (State::Absent, State::Absent) => State::Absent,
                _ => State::Unknown,
            };
            assert_eq!(together.state, expected, "{a:?} {b:?}");
            assert_eq!(together.best.is_some(), expected == State::Exists);
        }
        assert_eq!(Together::of([]).state, State::Unknown);
    }

    #[test]
    fn the_newest_complete_snapshot_is_restored_and_of_equals_the_first() {
        let yes = |hour: i64| (State::Exists, Some(UtcTimestamp(hour * 3_600_000_000_000)));
        assert_eq!(Together::of([yes(1), yes(3), yes(3)]).best, Some(1));
        assert_eq!(Together::of([(State::Exists, None), yes(1)]).best, Some(1), "the first has none");
        assert_eq!(Together::of([(State::Unknown, yes(9).1), yes(1)]).best, Some(1), "in doubt");
    }
}
