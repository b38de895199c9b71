//! What a store knows of how it is read best.

/// How a store is read best: where each request costs a round trip, in fewer and larger pieces, with more of them under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hints {
    /// Reads are joined up to this many bytes.
    pub range: u64,
    /// What lies between two pieces and is not needed is read along, up to this many bytes.
    pub gap: u64,
    /// Reads under way at a time.
    pub reads: usize,
    /// Small blobs read whole at a time, such as indexes.
    pub small_reads: usize,
}

impl Hints {
    /// A directory, also on a file server.
    pub const LOCAL: Self = Self { range: 1 << 20, gap: 64 << 10, reads: 16, small_reads: 16 };

    /// Storage that is asked over a network, request by request.
    pub const REMOTE: Self = Self { range: 4 << 20, gap: 512 << 10, reads: 32, small_reads: 64 };

    /// Whether each request takes so long that what will be needed is asked for before its turn.
    pub(crate) fn asks_ahead(&self) -> bool {
        self.small_reads > Self::LOCAL.small_reads
    }
}
