//! The names of everything that is counted.

macro_rules! counts {
    ($($(#[$doc:meta])* $count:ident,)+) => {
        /// What is counted. The order is that of the text form: a further one goes to the end.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Count {
            $($(#[$doc])* $count,)+
        }

        impl Count {
            /// All of them, in order.
            pub const ALL: &[Self] = &[$(Self::$count),+];
        }
    };
}

counts! {
    /// Reads begun, one per key.
    Reads,
    /// Memory gave an entry that could be served.
    MemoryHit,
    /// Memory had none.
    MemoryMiss,
    /// Memory failed.
    MemoryFailed,
    /// KV gave an entry that could be served.
    KvHit,
    /// KV had none.
    KvMiss,
    /// KV did not answer.
    KvFailed,
    /// R2 gave an entry that could be served.
    R2Hit,
    /// R2 had none.
    R2Miss,
    /// R2 did not answer.
    R2Failed,
    /// The origin gave a value.
    OriginHit,
    /// The origin has none.
    OriginMiss,
    /// The origin did not answer.
    OriginFailed,
    /// An entry was refused: below the hard floor of its key.
    BelowKey,
    /// Of one of its tags.
    BelowTag,
    /// Of a prefix of its key.
    BelowPrefix,
    /// Of everything.
    BelowAll,
    /// Below a soft floor.
    Soft,
    /// Past its time.
    Expired,
    /// Of another epoch.
    OtherEpoch,
    /// Answers that were fresh, with a value.
    Fresh,
    /// Answers that are fetched anew behind the answer.
    Revalidating,
    /// Answers marked stale.
    Stale,
    /// Fresh answers of the log: it was removed.
    Removed,
    /// Fresh answers that there is none.
    NotFound,
    /// Reads that failed because the bound could not be kept.
    BoundNotKept,
    /// Because the version asked for was not heard.
    MinVersion,
    /// Because the origin did not answer.
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
    /// Those in which not all that answered held the same.
    Disagreements,
    /// Misses that waited for the fetch of another request.
    Shared,
    /// Fetches of the origin that ended; see [`Counts::origin_took`](super::Counts::origin_took).
    OriginFetches,
    /// How long they took, added up, in milliseconds.
    OriginMs,
    /// Those of at most 10 ms.
    OriginIn10,
    /// Those of more, up to 50 ms.
    OriginIn50,
    /// Those of more, up to 100 ms.
    OriginIn100,
    /// Those of more, up to 500 ms.
    OriginIn500,
    /// Those of more, up to 1 s.
    OriginIn1000,
    /// Those of more, up to 5 s.
    OriginIn5000,
    /// Answers whose lag was known; see [`Counts::lag`](super::Counts::lag).
    Lags,
    /// Their lag, added up, in milliseconds.
    LagMs,
    /// Those with a lag of at most 0.1 s.
    LagIn100,
    /// Those with more, up to 0.5 s.
    LagIn500,
    /// Those with more, up to 1 s.
    LagIn1000,
    /// Those with more, up to 2 s.
    LagIn2000,
    /// Those with more, up to 10 s.
    LagIn10000,
    /// Those with more, up to 60 s.
    LagIn60000,
    /// Answers of which nothing was ever proved.
    LagUnknown,
    /// The greatest lag, in milliseconds: the only one that is not added up.
    LagMaxMs,
    /// An entry was refused: its floors were not remembered, and nobody could be asked.
    FloorsUnknown,
    /// An entry was refused: a newer one of the same quorum says otherwise.
    Outvoted,
}
