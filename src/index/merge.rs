//! Sorted sequences of entries as one, with the winner of each content.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::entry::Entry;
use crate::id::ContentId;

/// What holds an entry.
pub(super) trait HasEntry {
    fn entry(&self) -> &Entry;
}

impl HasEntry for Entry {
    fn entry(&self) -> &Entry {
        self
    }
}

impl<T> HasEntry for (T, Entry) {
    fn entry(&self) -> &Entry {
        &self.1
    }
}

/// Merges sequences that ascend by content ID.
pub(super) struct Merge<I: Iterator, W> {
    sources: Vec<(I, Option<I::Item>)>,
    /// Which source has which content next.
    order: BinaryHeap<Reverse<(ContentId, usize)>>,
    wins: W,
}

impl<I, W> Merge<I, W>
where
    I: Iterator,
    I::Item: HasEntry,
    W: Fn(&Entry, &Entry) -> bool,
{
    /// `wins(a, b)` says whether `a` counts rather than `b`, which comes from an earlier source.
    pub(super) fn new(sources: Vec<I>, wins: W) -> Self {
        let mut merge = Self {
            sources: sources.into_iter().map(|source| (source, None)).collect(),
            order: BinaryHeap::new(),
            wins,
        };
        for number in 0..merge.sources.len() {
            merge.advance(number);
        }
        merge
    }

    /// The item at the head of a source, which is then replaced by the next.
    fn advance(&mut self, number: usize) -> Option<I::Item> {
        let (source, head) = self.sources.get_mut(number)?;
        let next = source.next();
        if let Some(next) = &next {
            self.order.push(Reverse((next.entry().id, number)));
        }
        std::mem::replace(head, next)
    }
}

impl<I, W> Iterator for Merge<I, W>
where
    I: Iterator,
    I::Item: HasEntry,
    W: Fn(&Entry, &Entry) -> bool,
{
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let Reverse((id, number)) = self.order.pop()?;
        let mut best = self.advance(number)?;
        while let Some(&Reverse((same, number))) = self.order.peek()
            && same == id
        {
            self.order.pop();
            if let Some(next) = self.advance(number)
                && (self.wins)(next.entry(), best.entry())
            {
                best = next;
            }
        }
        Some(best)
    }
}
