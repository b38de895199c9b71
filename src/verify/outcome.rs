//! What reading the packs comes to, with what former runs know of the others.

use std::ops::Range;

use super::checked::PackResult;
use super::failures::Failures;
use super::fault::Fault;
use super::ledger::Proof;
use super::plan::packs::PackPlan;
use super::time::now;
use crate::blob::BlobId;
use crate::index::Position;

/// What reading the packs came to.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) failures: Failures,
    /// Contents proved, now or by a former run.
    pub(super) good: u64,
    pub(super) good_bytes: u64,
    pub(super) good_packs: u64,
    /// Packs of which nothing is known, or which could not be read to their end.
    pub(super) unproved_packs: u64,
    /// When the oldest proof was made.
    pub(super) oldest_proof: Option<i64>,
    /// Stored bytes of contents read now.
    pub(super) read_bytes: u64,
    /// In how many runs of this budget everything is read once.
    pub(super) rounds: Option<u64>,
    /// Live contents that are not where the plan has them, and how many of the plan's are not there.
    pub(super) outside: u64,
    pub(super) gone: u64,
    /// Ranges of blobs that error correction mended.
    pub(super) repairs: Vec<(BlobId, Range<u64>)>,
    pub(super) footers: Vec<Fault>,
    /// Places in the index.
    pub(super) vanished: Vec<Position>,
}

impl Outcome {
    pub(super) fn prove(&mut self, contents: usize, bytes: u64, time: i64) {
        self.good += contents as u64;
        self.good_bytes += bytes;
        self.oldest_proof = Some(self.oldest_proof.map_or(time, |oldest| oldest.min(time)));
    }

    pub(super) fn add(&mut self, pack: &PackPlan, result: PackResult) {
        let PackResult { checked, footer, footer_repairs } = result;
        self.read_bytes += pack.bytes;
        self.prove(usize::try_from(checked.good).unwrap_or(usize::MAX), checked.bytes, now());
        self.good_packs += u64::from(checked.failures.is_empty() && checked.vanished.is_empty());
        for (content, cause) in checked.failures {
            self.failures.insert(content, cause);
        }
        if checked.more_failed > 0 {
            self.failures.overflow();
        }
        let mended = checked.repairs.into_iter().chain(footer_repairs);
        self.repairs.extend(mended.map(|range| (pack.blob.clone(), range)));
        self.footers.extend(footer);
        self.vanished.extend(checked.vanished);
    }

    /// Takes in what former runs know of a pack that is not read now.
    pub(super) fn recall(&mut self, pack: &PackPlan, proof: Option<&Proof>) {
        let Some(proof) = proof else {
            self.unproved_packs += 1;
            return;
        };
        if proof.is_good() {
            self.good_packs += 1;
            self.prove(pack.contents(), pack.bytes, proof.time);
            return;
        }
        self.good += proof.contents.saturating_sub(proof.damaged.len() as u64);
        if proof.contents < pack.contents() as u64 {
            self.failures.overflow();
        }
        for bad in &proof.damaged {
            if let Ok(content) = bad.content.parse() {
                self.failures
                    .insert(content, Fault::recalled(&bad.code, &pack.blob, &bad.detail, proof.time));
            }
        }
    }
}
