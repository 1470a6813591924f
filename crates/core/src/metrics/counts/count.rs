//! The names of everything that is counted.

macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident,)+) => {
        /// The name of a counter. The order is that of the text form, so a further counter goes to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $count,)+
        }

        impl Count {
            /// All counters, in the order of the text form.
            pub const ALL: &[Self] = &[$(Self::$count),+];
        }
    };
}

counts! {
    /// Reads begun, one per key.
    Reads,
    /// Memory gave an entry that could be served.
    MemoryHit,
    /// Memory had no entry that could be served.
    MemoryMiss,
    /// Memory did not answer.
    MemoryFailed,
    /// KV gave an entry that could be served.
    KvHit,
    /// KV had no entry that could be served.
    KvMiss,
    /// KV did not answer.
    KvFailed,
    /// R2 gave an entry that could be served.
    R2Hit,
    /// R2 had no entry that could be served.
    R2Miss,
    /// R2 did not answer.
    R2Failed,
    /// The origin gave a value.
    OriginHit,
    /// The origin has no value.
    OriginMiss,
    /// The origin did not answer.
    OriginFailed,
    /// An entry was refused: below the hard floor of its key.
    BelowKey,
    /// An entry was refused: below the hard floor of one of its tags.
    BelowTag,
    /// An entry was refused: below the hard floor of a prefix of its key.
    BelowPrefix,
    /// An entry was refused: below the hard floor of everything.
    BelowAll,
    /// An entry was not fresh: below a soft floor.
    Soft,
    /// An entry was not fresh: past its time.
    Expired,
    /// An entry was refused: filled in another epoch.
    OtherEpoch,
    /// Answers that were fresh, with a value.
    Fresh,
    /// Answers marked `revalidating`, with a fetch behind the answer.
    Revalidating,
    /// Answers that were marked `stale`.
    Stale,
    /// Fresh answers that the key was removed, by the log.
    Removed,
    /// Fresh answers that the origin has no value.
    NotFound,
    /// Reads that failed because the bound could not be kept.
    BoundNotKept,
    /// Reads that failed because the version asked for was not heard.
    MinVersion,
    /// Reads that failed because the origin did not answer.
    OriginDown,
    /// Entries put into memory.
    MemoryFill,
    /// Entries put into KV.
    KvFill,
    /// Entries put into R2.
    R2Fill,
    /// Fetches behind an answer.
    Refreshes,
    /// Syncs with the replica.
    Syncs,
    /// Reads that asked KV, R2 and the origin at once.
    QuorumReads,
    /// Quorum reads in which the tiers that answered held different entries.
    Disagreements,
    /// Misses that waited for the fetch of another request.
    Shared,
    /// Fetches of the origin that ended; see [`Counts::origin_took`](super::Counts::origin_took).
    OriginFetches,
    /// The sum of how long fetches of the origin took, in milliseconds.
    OriginMs,
    /// Fetches of the origin of at most 10 ms.
    OriginIn10,
    /// Fetches of the origin of 10 to 50 ms.
    OriginIn50,
    /// Fetches of the origin of 50 to 100 ms.
    OriginIn100,
    /// Fetches of the origin of 100 to 500 ms.
    OriginIn500,
    /// Fetches of the origin of 0.5 to 1 s.
    OriginIn1000,
    /// Fetches of the origin of 1 to 5 s.
    OriginIn5000,
    /// Answers with a known lag; see [`Counts::lag`](super::Counts::lag).
    Lags,
    /// The sum of the known lags, in milliseconds.
    LagMs,
    /// Answers with a lag of at most 0.1 s.
    LagIn100,
    /// Answers with a lag of 0.1 to 0.5 s.
    LagIn500,
    /// Answers with a lag of 0.5 to 1 s.
    LagIn1000,
    /// Answers with a lag of 1 to 2 s.
    LagIn2000,
    /// Answers with a lag of 2 to 10 s.
    LagIn10000,
    /// Answers with a lag of 10 to 60 s.
    LagIn60000,
    /// Answers of which nothing was ever proved.
    LagUnknown,
    /// The greatest lag, in milliseconds: the only counter that is not a sum.
    LagMaxMs,
    /// An entry was refused: its floors were not remembered and could not be looked up.
    FloorsUnknown,
    /// An entry was refused: a newer entry of the same quorum differs from it.
    Outvoted,
    /// Answers of the origin that no tier stores: `Cache-Control: no-store`.
    NotStoredNoStore,
    /// Answers of the origin that no tier stores: `Cache-Control: private`.
    NotStoredPrivate,
    /// Answers of the origin that no tier stores: `no-cache`, or a lifetime of 0.
    NotStoredNoCache,
    /// Answers of the origin that no tier stores: `Vary` names a header that the policy does not allow.
    NotStoredVary,
    /// In shadow mode: Newsreel's answer is the one that was served.
    ShadowSame,
    /// In shadow mode: the answer that was served is older than Newsreel's, which is what the origin says.
    ShadowNewer,
    /// In shadow mode: Newsreel's answer is older than the one that was served, which is what the origin says.
    ShadowOlder,
    /// In shadow mode: both differ from what the origin says by then.
    ShadowDiffers,
    /// In shadow mode: Newsreel or the origin gave no answer that can be compared.
    ShadowFailed,
    /// Reads that asked more than memory, whose time was taken.
    Timed,
    /// The sum of these times, in milliseconds.
    TimedMs,
    /// Reads of at most 1 ms.
    TimedIn1,
    /// Reads of 1 ms to 5 ms.
    TimedIn5,
    /// Reads of 5 ms to 10 ms.
    TimedIn10,
    /// Reads of 10 ms to 25 ms.
    TimedIn25,
    /// Reads of 25 ms to 50 ms.
    TimedIn50,
    /// Reads of 50 ms to 100 ms.
    TimedIn100,
    /// Reads of 100 ms to 250 ms.
    TimedIn250,
    /// Reads of 250 ms to 500 ms.
    TimedIn500,
    /// Reads of 500 ms to 1 s.
    TimedIn1000,
    /// Reads of 1 s to 5 s.
    TimedIn5000,
    /// Versions with a change of the class that the replica applied while it followed.
    Propagated,
    /// The sum of the times from their commit, in milliseconds.
    PropagatedMs,
    /// Times from commit to replica of at most 50 ms.
    PropagatedIn50,
    /// Times from commit to replica of 50 ms to 100 ms.
    PropagatedIn100,
    /// Times from commit to replica of 100 ms to 250 ms.
    PropagatedIn250,
    /// Times from commit to replica of 250 ms to 500 ms.
    PropagatedIn500,
    /// Times from commit to replica of 500 ms to 1 s.
    PropagatedIn1000,
    /// Times from commit to replica of 1 s to 5 s.
    PropagatedIn5000,
    /// Times from commit to replica of 5 s to 30 s.
    PropagatedIn30000,
    /// Times from commit to replica of 30 s to 120 s.
    PropagatedIn120000,
    /// Times from commit to replica of 120 s to 300 s.
    PropagatedIn300000,
    /// Values of the origin that were answered after an entry was below a hard floor.
    FirstServed,
    /// The sum of the times since the change was heard of, in milliseconds.
    FirstServedMs,
    /// Times from hearing of a change to answering with it of at most 100 ms.
    FirstServedIn100,
    /// Times from hearing of a change to answering with it of 100 ms to 500 ms.
    FirstServedIn500,
    /// Times from hearing of a change to answering with it of 500 ms to 1 s.
    FirstServedIn1000,
    /// Times from hearing of a change to answering with it of 1 s to 5 s.
    FirstServedIn5000,
    /// Times from hearing of a change to answering with it of 5 s to 30 s.
    FirstServedIn30000,
    /// Times from hearing of a change to answering with it of 30 s to 120 s.
    FirstServedIn120000,
    /// Times from hearing of a change to answering with it of 120 s to 300 s.
    FirstServedIn300000,
    /// Answers with an entry from before a change that was heard of.
    Outdated,
    /// The sum of the times since the change was heard of, in milliseconds.
    OutdatedMs,
    /// Answers that ignored a change of at most 0 ms.
    OutdatedIn0,
    /// Answers that ignored a change of 0 ms to 1 s.
    OutdatedIn1000,
    /// Answers that ignored a change of 1 s to 5 s.
    OutdatedIn5000,
    /// Answers that ignored a change of 5 s to 30 s.
    OutdatedIn30000,
    /// Answers that ignored a change of 30 s to 120 s.
    OutdatedIn120000,
    /// Answers that ignored a change of 120 s to 300 s.
    OutdatedIn300000,
    /// Answers that ignored a change of 300 s to 3600 s.
    OutdatedIn3600000,
    /// Answers that were stale because their lag was past the bound of the class.
    OverBound,
    /// Requests to the replica.
    DoRequests,
    /// Messages that sockets sent the replica.
    DoMessages,
    /// Milliseconds that the replica was in memory.
    DoMs,
    /// Deletions of KV entries that the replica asked for.
    KvDeletes,
    /// The entries that wait to be deleted from KV, at most: like the greatest lag no sum, and not among a reader's counts.
    KvTodo,
    /// Questions to R2 whether it has an entry, before one was put that no read had looked for there.
    R2Heads,
    /// In the check by schedule: this edge serves what the origin says.
    VerifyConsistent,
    /// In the check by schedule: this edge serves another value than the origin's, and marks it.
    VerifyMarked,
    /// In the check by schedule: this edge serves another value than the origin's, still after its bound, and does not mark it.
    VerifyWrong,
    /// In the check by schedule: a side gave no value that can be compared, or the value kept changing.
    VerifyUnknown,
}

/// The numbers of one class, in the order of [`Count::ALL`].
pub(crate) type CountRow = [u64; Count::ALL.len()];

/// Counts `n` more. Of [`Count::LagMaxMs`] the greatest is kept.
pub(super) fn raise(row: &mut CountRow, at: usize, n: u64) {
    if let Some(count) = row.get_mut(at) {
        *count = if at == Count::LagMaxMs as usize { n.max(*count) } else { n.saturating_add(*count) };
    }
}
