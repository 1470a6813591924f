//! Close codes. 4000 to 4499: reconnect. 4500 to 4999: do not.

/// The follower falls too far behind, or its acks or pings have stopped.
pub const TOO_SLOW: u16 = 4008;
/// The follower sends too many unsolicited frames.
pub const TOO_CHATTY: u16 = 4009;
/// The stream cannot go on, for example after a gap: the follower resumes from the position that it holds.
pub const RESYNC: u16 = 4010;
/// Too many followers connect at once: the follower reconnects later.
pub const TRY_LATER: u16 = 4001;
/// The token has expired: the follower connects again with another token.
pub const EXPIRED: u16 = 4400;
/// The follower sent a frame that cannot be read or that breaks the protocol.
pub const BAD_FRAME: u16 = 4500;
/// The token does not allow this connection.
pub const UNAUTHORIZED: u16 = 4501;
/// A newer connection of the same replica took the place of this one.
pub const REPLACED: u16 = 4502;

/// Says whether a follower may connect again after this code.
#[must_use]
pub fn may_reconnect(code: u16) -> bool {
    !(4500..=4999).contains(&code)
}
