//! What a test may break on purpose, to see that the simulator notices. Without the feature `breaks`, which only the
//! simulator asks for, nothing here can be switched on and the compiler leaves it all out.

/// A guarantee broken on purpose, by the one line that asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Break {
    /// A follower takes a frame that begins after what it holds.
    GapIgnored,
    /// A follower takes versions that it holds already.
    HeldTwice,
    /// A frame that covers several versions brings the first only.
    RowsUnsent,
    /// A version with several changes arrives with its first only.
    VersionSplit,
    /// A position is believed whatever its hash.
    HashUnchecked,
    /// A position is believed whatever its epoch and hash.
    ClaimBelieved,
    /// A position that was forgotten is resumed from.
    ForgottenServed,
    /// Who filters is not told how far the log has got.
    BookmarkLost,
    /// A publisher is answered before its row is written.
    AnswerFirst,
    /// Followers are sent a row before it is written.
    SendFirst,
    /// An idempotency key is not looked up.
    KeyUnremembered,
    /// An idempotency key is not looked up among the publishes of the same commit.
    KeyTwiceAtOnce,
    /// The age of a replica's proof is not counted.
    ProofAgeIgnored,
    /// A lag counts from when the answer came.
    LagFromReply,
    /// A bound counts as kept without a look at the lag.
    BoundUnchecked,
    /// The time that a tier took is not counted.
    LapseUnchecked,
    /// A pong proves what it tells of, though that has not come.
    ProofAhead,
    /// The floor of a key is not looked at.
    FloorUnchecked,
    /// The floors of tags are not looked at.
    TagUnchecked,
    /// The floors of prefixes are not looked at.
    PrefixUnchecked,
    /// What is not found counts as carrying no tag.
    NotFoundUntagged,
    /// What is too old to be remembered counts as clear.
    UnknownIsClear,
    /// A fill is not compared again when it lands.
    LandedUnchecked,
    /// A fill is stamped with the position from after the origin was asked.
    StampedAfter,
    /// What was removed may stand in for a dead origin.
    RemovalForgotten,
    /// An expired entry is fresh.
    NeverExpires,
    /// An entry of another epoch is served.
    OtherEpochServed,
    /// A reader keeps its floors over a new epoch.
    EpochCarriedOver,
    /// A reader takes a reply that leaves a hole.
    HoleIgnored,
    /// A lower floor takes the place of a higher one.
    FloorsGoDown,
    /// What is older takes the place of what is newer in memory and R2.
    RankIgnored,
    /// Positions are forgotten as soon as they are folded.
    ForgottenAtOnce,
    /// In a fold a soft change takes the place of a hard one.
    FoldSoftens,
    /// In a fold a prefix covers every key.
    CoverTooWide,
    /// A follower acknowledges what it has not applied.
    AckFirst,
}

impl Break {
    /// Every one of them.
    pub const ALL: &[Self] = &[
        Self::GapIgnored,
        Self::HeldTwice,
        Self::RowsUnsent,
        Self::VersionSplit,
        Self::HashUnchecked,
        Self::ClaimBelieved,
        Self::ForgottenServed,
        Self::BookmarkLost,
        Self::AnswerFirst,
        Self::SendFirst,
        Self::KeyUnremembered,
        Self::KeyTwiceAtOnce,
        Self::ProofAgeIgnored,
        Self::LagFromReply,
        Self::BoundUnchecked,
        Self::LapseUnchecked,
        Self::ProofAhead,
        Self::FloorUnchecked,
        Self::TagUnchecked,
        Self::PrefixUnchecked,
        Self::NotFoundUntagged,
        Self::UnknownIsClear,
        Self::LandedUnchecked,
        Self::StampedAfter,
        Self::RemovalForgotten,
        Self::NeverExpires,
        Self::OtherEpochServed,
        Self::EpochCarriedOver,
        Self::HoleIgnored,
        Self::FloorsGoDown,
        Self::RankIgnored,
        Self::ForgottenAtOnce,
        Self::FoldSoftens,
        Self::CoverTooWide,
        Self::AckFirst,
    ];
}

#[cfg(feature = "breaks")]
mod switch {
    use super::Break;

    thread_local! {
        static BROKEN: std::cell::Cell<Option<Break>> = const { std::cell::Cell::new(None) };
    }

    /// Breaks this on this thread, or nothing.
    pub fn set(what: Option<Break>) {
        BROKEN.set(what);
    }

    /// Says whether this is broken.
    #[must_use]
    pub fn is(what: Break) -> bool {
        BROKEN.get() == Some(what)
    }
}

#[cfg(not(feature = "breaks"))]
mod switch {
    /// Says whether this is broken: never.
    #[must_use]
    pub const fn is(_: super::Break) -> bool {
        false
    }
}

pub use switch::*;
