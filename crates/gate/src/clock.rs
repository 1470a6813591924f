//! This machine's clock.

use js_sys::Date;
use newsreel_core::wire::UnixMillis;

/// Returns this machine's time, which may be set back.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a double saturates")]
pub fn now() -> UnixMillis {
    UnixMillis(Date::now() as u64)
}
