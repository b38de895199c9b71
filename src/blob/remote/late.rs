//! Asking a second time for an answer that is late.

use std::collections::VecDeque;
use std::pin::pin;
use std::time::{Duration, Instant};

use crate::os::sync::Mutex;

/// Answers by which the next ones are judged, and how many there have to be.
const RECENT: usize = 64;
const ENOUGH: usize = 16;

/// An answer is late after this many times what all but one in `RARE` of the recent ones took, and never before `LEAST`.
const TIMES: u32 = 3;
const RARE: usize = 16;
const LEAST: Duration = Duration::from_millis(200);

/// Of this many requests, one may be made twice.
const SHARE: u64 = 20;

/// How long the answers of a server take.
#[derive(Debug, Default)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<Duration>,
    asked: u64,
    asked_again: u64,
}

impl Answers {
    /// The answer to the first request or, where that is late, to the second one if it comes earlier.
    pub(super) async fn first_of<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        first: impl Future<Output = Result<T, E>>,
        again: impl FnOnce() -> Option<F>,
    ) -> Result<T, E> {
        let begun = Instant::now();
        let patience = self.patience();
        let mut first = pin!(first);
        let answer = match patience {
            None => first.await,
            Some(patience) => match tokio::time::timeout(patience, &mut first).await {
                Ok(answer) => answer,
                Err(_) => match self.may_ask_again().then(again).flatten() {
                    None => first.await,
                    Some(second) => {
                        tracing::debug!(?patience, "an answer is late, asking again");
                        let mut second = pin!(second);
                        tokio::select! {
                            answer = &mut first => if answer.is_ok() { answer } else { second.await },
                            answer = &mut second => if answer.is_ok() { answer } else { first.await },
                        }
                    }
                },
            },
        };
        if answer.is_ok() {
            self.note(begun.elapsed());
        }
        answer
    }

    /// After how long an answer is late, once enough is known; counts a request.
    fn patience(&self) -> Option<Duration> {
        let mut state = self.0.lock();
        state.asked += 1;
        if state.recent.len() < ENOUGH {
            return None;
        }
        let mut sorted: Vec<Duration> = state.recent.iter().copied().collect();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() - 1 - sorted.len() / RARE)?;
        Some((*usual * TIMES).max(LEAST))
    }

    /// Takes one request out of those that may be made twice: a server that is slow altogether is not asked twice as much.
    fn may_ask_again(&self) -> bool {
        let mut state = self.0.lock();
        let may = state.asked_again < state.asked / SHARE;
        state.asked_again += u64::from(may);
        may
    }

    fn note(&self, took: Duration) {
        let mut state = self.0.lock();
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        state.recent.push_back(took);
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const USUAL: Duration = Duration::from_millis(100);

    /// Answers of which this many were usual, and another number took a hundred times as long.
    fn known(usual: usize, slow: usize) -> Answers {
        let answers = Answers::default();
        for took in std::iter::repeat_n(USUAL, usual).chain(std::iter::repeat_n(USUAL * 100, slow)) {
            answers.patience();
            answers.note(took);
        }
        answers
    }

    #[test]
    fn an_answer_is_late_by_the_measure_of_the_others() {
        assert_eq!(known(15, 0).patience(), None);
        assert_eq!(known(61, 3).patience(), Some(USUAL * 3));
        assert_eq!(known(50, 14).patience(), Some(USUAL * 300));
        let fast = known(0, 0);
        (0..20).for_each(|_| fast.note(Duration::from_micros(300)));
        assert_eq!(fast.patience(), Some(LEAST));
    }

    #[test]
    fn few_requests_are_made_twice() {
        let answers = known(100, 0);
        assert_eq!((0..100).filter(|_| answers.may_ask_again()).count(), 5);
    }

    type Answer = std::pin::Pin<Box<dyn Future<Output = Result<&'static str, &'static str>>>>;

    #[test]
    fn the_second_request_answers_where_the_first_does_not() {
        let answers = known(40, 0);
        let run = |first: Answer, second: Answer| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
            runtime.block_on(answers.first_of(first, || Some(second)))
        };
        assert_eq!(run(Box::pin(pending()), Box::pin(ready(Ok("second")))), Ok("second"));
        assert_eq!(run(Box::pin(ready(Err("refused"))), Box::pin(ready(Ok("second")))), Err("refused"));
        let slow = || async {
            tokio::time::sleep(USUAL * 4).await;
            Ok("first")
        };
        assert_eq!(run(Box::pin(slow()), Box::pin(ready(Err("refused")))), Ok("first"));
    }
}
