//! Close codes. 4000 to 4499: reconnect. 4500 to 4999: do not.

/// The follower does not keep up.
pub const TOO_SLOW: u16 = 4008;
/// The follower says more than it was asked for.
pub const TOO_CHATTY: u16 = 4009;
/// A gap or a lie: resume from the position held.
pub const RESYNC: u16 = 4010;
/// Too many connect at once; come back later.
pub const TRY_LATER: u16 = 4001;
/// The token has expired: connect again with another.
pub const EXPIRED: u16 = 4400;
/// A frame that cannot be read.
pub const BAD_FRAME: u16 = 4500;
/// The token does not allow this.
pub const UNAUTHORIZED: u16 = 4501;
/// A newer connection of the same replica took its place.
pub const REPLACED: u16 = 4502;

/// Says whether a follower may connect again after this code.
#[must_use]
pub fn may_reconnect(code: u16) -> bool {
    !(4500..=4999).contains(&code)
}
