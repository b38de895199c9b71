//! How long answers take, by route.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;

use super::app::App;

use crate::os::sync::Mutex;

/// Upper bounds of the buckets in milliseconds. From memory an answer takes less than one; one that waits for the storage
/// takes up to the timeout.
const BOUNDS: [u64; 10] = [1, 5, 10, 50, 100, 250, 500, 1000, 3000, 10_000];

/// Times of the answers of one route.
#[derive(Debug, Default)]
struct Histogram {
    /// One for each bound; what took longer is counted in `count` alone.
    buckets: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    micros: AtomicU64,
}

/// Times of all answers by route, as `openapi.json` writes it.
#[derive(Debug, Default)]
pub(super) struct Latencies(Mutex<BTreeMap<&'static str, Arc<Histogram>>>);

/// What is known of a route: cumulative counts by upper bound in seconds, the number of answers, and the sum of their seconds.
pub(super) struct Measured {
    pub(super) buckets: Vec<(f64, u64)>,
    pub(super) count: u64,
    pub(super) seconds: f64,
}

impl Latencies {
    fn observe(&self, route: &'static str, took: Duration) {
        let histogram = Arc::clone(self.0.lock().entry(route).or_default());
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.iter().zip(&histogram.buckets).find(|(bound, _)| micros <= **bound * 1000);
        if let Some((_, bucket)) = bucket {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        histogram.micros.fetch_add(micros, Ordering::Relaxed);
        histogram.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn measured(&self) -> Vec<(&'static str, Measured)> {
        let histograms = self.0.lock();
        let measured = histograms.iter().map(|(route, histogram)| {
            // Read first, so that no bucket is greater than the sum of all.
            let mut sum = 0;
            let buckets: Vec<_> = BOUNDS
                .iter()
                .zip(&histogram.buckets)
                .map(|(bound, bucket)| {
                    sum += bucket.load(Ordering::Relaxed);
                    (*bound as f64 / 1000.0, sum)
                })
                .collect();
            let count = histogram.count.load(Ordering::Relaxed).max(sum);
            let seconds = histogram.micros.load(Ordering::Relaxed) as f64 / 1e6;
            (*route, Measured { buckets, count, seconds })
        });
        measured.collect()
    }
}

/// Measures how long a route takes to answer.
pub(super) async fn timed(
    State((app, route)): State<(Arc<App>, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let asked = Instant::now();
    let response = next.run(request).await;
    app.latencies.observe(route, asked.elapsed());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_count_what_took_no_longer() {
        let latencies = Latencies::default();
        for millis in [0, 1, 7, 60_000] {
            latencies.observe("/", Duration::from_millis(millis));
        }
        let (route, measured) = latencies.measured().pop().unwrap();
        assert_eq!((route, measured.count), ("/", 4));
        assert_eq!(measured.buckets[0], (0.001, 2));
        assert_eq!(measured.buckets[2], (0.01, 3));
        assert_eq!(measured.buckets.last().unwrap().1, 3);
        assert!((measured.seconds - 60.008).abs() < 1e-6);
    }
}
