//! Which packs are read in this run, in which order, and what former runs proved of the others.

use crate::verify::ledger::{Proof, ProofHistory};
use crate::verify::options::{Level, Order};
use crate::verify::plan::packs::PackPlan;

/// What decides about packs.
pub(crate) struct Rules<'a> {
    pub(crate) level: Level,
    pub(crate) order: Order,
    /// Now, in Unix seconds.
    pub(crate) now: i64,
    /// Proofs that are older do not count.
    pub(crate) max_age: Option<i64>,
    /// Stored bytes to be read.
    pub(crate) budget: Option<u64>,
    pub(crate) history: Option<&'a dyn ProofHistory>,
}

/// What is to be done with the packs of a plan.
#[derive(Default)]
pub(crate) struct Selection<'p, 'm> {
    /// Packs to be read, in order.
    pub(crate) read: Vec<&'p PackPlan>,
    /// Packs not read now, and what is known of them.
    pub(crate) rest: Vec<(&'p PackPlan, Option<&'m Proof>)>,
    /// In how many runs of this budget everything is read once.
    pub(crate) rounds: Option<u64>,
}

/// Packs come in this order: known damage, so that no report forgets it; never proved; proved long ago.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Urgency {
    Damaged,
    Unproved,
    Proved(i64),
}

impl<'m> Rules<'m> {
    /// Divides the packs.
    pub(crate) fn select<'p>(
        &self,
        packs: &'p [PackPlan],
        disk_order: impl Fn(&PackPlan) -> Option<u64>,
    ) -> Selection<'p, 'm> {
        let mut selection = Selection::default();
        let mut queue: Vec<(Urgency, Option<u64>, &PackPlan, Option<&Proof>)> = Vec::new();
        for pack in packs {
            let proof = self.valid(pack);
            let fresh = self.max_age.is_some() && proof.is_some_and(Proof::is_good);
            if fresh {
                selection.rest.push((pack, proof));
            } else {
                queue.push((self.urgency(proof), disk_order(pack), pack, proof));
            }
        }
        queue.sort_by(|a, b| (&a.0, a.1, &a.2.blob).cmp(&(&b.0, b.1, &b.2.blob)));
        selection.rounds = self.budget.filter(|budget| *budget > 0).map(|budget| rounds(&queue, budget));
        let mut left = self.budget;
        let mut first = true;
        for (_, _, pack, proof) in queue {
            let fits = left.is_none_or(|left| left > 0 && (pack.bytes <= left || first));
            if fits {
                left = left.map(|left| left.saturating_sub(pack.bytes));
                selection.read.push(pack);
            } else {
                left = Some(0);
                selection.rest.push((pack, proof));
            }
            first = false;
        }
        selection
    }

    fn urgency(&self, proof: Option<&Proof>) -> Urgency {
        match proof {
            None => Urgency::Unproved,
            Some(proof) if !proof.is_good() => Urgency::Damaged,
            Some(proof) => Urgency::Proved(match self.order {
                Order::Disk => proof.run,
                Order::Oldest => proof.time,
            }),
        }
    }

    /// What is known of just this pack with just these contents, at this level or a higher one, neither too old nor of
    /// the future. Damage that was found does not become too old.
    fn valid(&self, pack: &PackPlan) -> Option<&'m Proof> {
        let proof = self.history?.proof(pack.blob.as_str())?;
        let same = proof.size == pack.size && proof.mtime == pack.mtime && *proof.digest == *pack.digest;
        let young = self.max_age.is_none_or(|age| self.now.saturating_sub(proof.time) <= age);
        let said = proof.level >= self.level && proof.time <= self.now && young;
        (same && (said || !proof.is_good())).then_some(proof)
    }
}

/// One pack is read in any case, however large it is, or nothing would ever be.
fn rounds<T, U, V>(queue: &[(T, U, &PackPlan, V)], budget: u64) -> u64 {
    let mut rounds = 0;
    let mut left = 0_u64;
    for (_, _, pack, _) in queue {
        if pack.bytes > left || rounds == 0 {
            rounds += 1;
            left = budget;
        }
        left = left.saturating_sub(pack.bytes);
    }
    rounds
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::blob::BlobId;
    use crate::verify::ledger::{SnapshotRecord, examples};

    struct Remembered(BTreeMap<String, Proof>);

    impl ProofHistory for Remembered {
        fn proof(&self, pack: &str) -> Option<&Proof> {
            self.0.get(pack)
        }

        fn snapshots(&self) -> Option<&SnapshotRecord> {
            None
        }
    }

    fn pack(number: u64, bytes: u64) -> PackPlan {
        let blob = BlobId::new(&format!("p{number:03}")).unwrap();
        PackPlan { blob, size: 1000, mtime: Some(5), bytes, end: 0, digest: "d".into(), items: 0..3 }
    }

    fn rules(memory: &Remembered) -> Rules<'_> {
        Rules {
            level: Level::Hash,
            order: Order::Disk,
            now: 1000,
            max_age: None,
            budget: None,
            history: Some(memory),
        }
    }

    fn read(rules: &Rules<'_>, packs: &[PackPlan]) -> Vec<String> {
        let selection = rules.select(packs, |_| None);
        assert_eq!(selection.read.len() + selection.rest.len(), packs.len());
        selection.read.iter().map(|pack| pack.blob.to_string()).collect()
    }

    #[test]
    fn damage_first_then_what_was_never_proved_then_the_oldest() {
        let packs: Vec<PackPlan> = (0..5).map(|n| pack(n, 10)).collect();
        let mut memory = Remembered(BTreeMap::new());
        let mut know = |n: u64, proof: Proof| memory.0.insert(format!("p{n:03}"), proof);
        know(0, examples::proof("p000", Level::Hash, 300));
        know(1, examples::proof("p001", Level::Hash, 200));
        know(3, examples::damaged(examples::proof("p003", Level::Hash, 100)));
        know(4, Proof { run: 150, ..examples::proof("p004", Level::Hash, 250) });
        assert_eq!(read(&rules(&memory), &packs), ["p003", "p002", "p004", "p001", "p000"]);
        let oldest = Rules { order: Order::Oldest, ..rules(&memory) };
        assert_eq!(read(&oldest, &packs), ["p003", "p002", "p001", "p004", "p000"]);
        let aged = Rules { max_age: Some(775), ..rules(&memory) };
        assert_eq!(read(&aged, &packs), ["p003", "p001", "p002"], "the proof of p001 is too old to count");
    }

    #[test]
    fn a_proof_of_anything_else_is_none() {
        let packs = [pack(0, 10)];
        let good = examples::proof("p000", Level::Hash, 100);
        let others = [
            Proof { size: 1001, ..good.clone() },
            Proof { mtime: None, ..good.clone() },
            Proof { digest: "e".into(), ..good.clone() },
            Proof { level: Level::Decrypt, ..good.clone() },
            Proof { time: 1001, ..good.clone() },
            Proof { time: -1, ..good.clone() },
        ];
        for proof in others {
            let memory = Remembered([("p000".to_owned(), proof)].into());
            assert_eq!(read(&Rules { max_age: Some(1000), ..rules(&memory) }, &packs), ["p000"]);
        }
        let memory = Remembered([("p000".to_owned(), good)].into());
        assert!(read(&Rules { max_age: Some(1000), ..rules(&memory) }, &packs).is_empty());
    }

    #[test]
    fn so_many_nights_of_a_budget_cover_everything() {
        for (budget, sizes) in [(100, vec![30; 17]), (100, vec![150, 60, 60, 10, 300]), (1, vec![5, 5])] {
            let packs: Vec<PackPlan> = (0..).zip(&sizes).map(|(n, bytes)| pack(n, *bytes)).collect();
            let mut memory = Remembered(BTreeMap::new());
            let mut promised = None;
            let mut unproved: BTreeSet<String> = packs.iter().map(|pack| pack.blob.to_string()).collect();
            let mut nights = 0;
            while !unproved.is_empty() {
                nights += 1;
                let rules = Rules { budget: Some(budget), now: 1000 + nights, ..rules(&memory) };
                let selection = rules.select(&packs, |_| None);
                promised = promised.or(selection.rounds);
                let bytes: u64 = selection.read.iter().map(|pack| pack.bytes).sum();
                assert!(bytes <= budget || selection.read.len() == 1, "{bytes}");
                let done: Vec<String> = selection.read.iter().map(|pack| pack.blob.to_string()).collect();
                for name in done {
                    unproved.remove(&name);
                    memory.0.insert(name.clone(), examples::proof(&name, Level::Hash, 1000 + nights));
                }
            }
            assert_eq!(promised, Some(nights as u64), "{sizes:?}");
        }
    }

    #[test]
    fn a_budget_of_nothing_reads_nothing() {
        let memory = Remembered(BTreeMap::new());
        assert!(read(&Rules { budget: Some(0), ..rules(&memory) }, &[pack(0, 10), pack(1, 0)]).is_empty());
    }
}
