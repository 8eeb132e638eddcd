//! The rules of the worker protocol, each with a switch.

/// Which rules hold. The numbers are those of ARCHITECTURE.md.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// 3: no poll while a transaction is open.
    pub no_poll_within: bool,
    /// 4: offsets are committed under the generation that was read right before.
    pub generation_fence: bool,
    /// 4: what was gathered of a partition that is ours no more is dropped, by our own record.
    pub own_record: bool,
    /// 5: committed offsets are asked for when they are stable.
    pub stable_offsets: bool,
    /// 7: the watermark is captured after the committed offset is known.
    pub watermark_after_offset: bool,
    /// 7: it is the high watermark, not the last stable offset.
    pub high_watermark: bool,
    /// 8: the committed offset must be above the highest decided position.
    pub offset_check: bool,
    /// 8: before a log is accused, the committed offset is asked for again.
    pub ask_again: bool,
    /// 10: a record at or below the highest decided position is skipped.
    pub exact_guard: bool,
    /// 14: after an unknown outcome the partition is taken over again, and no batch repeated from memory.
    pub unknown_takes_over: bool,
    /// 14: a producer is initialized before a partition is taken over, which finishes its past.
    pub initialize_first: bool,
    /// 15: a producer with a doubtful past is replaced.
    pub replace_doubtful: bool,
    /// 16: a transaction times out no later than a session.
    pub short_transactions: bool,
    /// 17: memory moves only after the commit.
    pub memory_follows: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        no_poll_within: true,
        generation_fence: true,
        own_record: true,
        stable_offsets: true,
        watermark_after_offset: true,
        high_watermark: true,
        offset_check: true,
        ask_again: true,
        exact_guard: true,
        unknown_takes_over: true,
        initialize_first: true,
        replace_doubtful: true,
        short_transactions: true,
        memory_follows: true,
    };
}
