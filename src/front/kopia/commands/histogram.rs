//! How many things are of which size, in powers of ten.

use crate::front::kopia::failure::Failure;
use crate::front::kopia::output::Output;
use crate::front::kopia::text;

const BUCKETS: usize = 8;

/// Counts things by their sizes.
#[derive(Default)]
pub(super) struct Histogram {
    /// Number and total size of the things in each bucket; those of 100 MB and more are in none.
    buckets: [(u64, i64); BUCKETS],
}

impl Histogram {
    pub(super) fn add(&mut self, size: i64) {
        let bucket = self.buckets.iter_mut().zip(limits()).find(|(_, limit)| size < *limit);
        if let Some(((number, total), _)) = bucket {
            *number += 1;
            *total += size;
        }
    }

    pub(super) fn print(&self, raw: bool, out: &mut Output) -> Result<(), Failure> {
        out.line("Histogram:\n")?;
        let mut last = 0;
        for ((number, total), limit) in self.buckets.iter().zip(limits()) {
            let [from, to, total] = [last, limit, *total].map(|size| text::maybe_bytes(!raw, size));
            out.line(format!("{number:>9} between {from} and {to} (total {total})"))?;
            last = limit;
        }
        Ok(())
    }
}

fn limits() -> impl Iterator<Item = i64> {
    std::iter::successors(Some(10), |limit| Some(limit * 10))
}
