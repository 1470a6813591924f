//! A moment as people read it.

use newsreel_core::wire::UnixMillis;
use newsreel_mapping::feed::TimeForm;

/// Returns a moment as RFC 3339 in UTC, to the millisecond.
pub(crate) fn utc(at: UnixMillis) -> String {
    let day = TimeForm::Date.write(i64::try_from(at.0).unwrap_or(i64::MAX));
    let of_day = at.0 % 86_400_000;
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, millis) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{day}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_795_446_806_123, "2026-11-23T15:13:26.123Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(utc(UnixMillis(millis)), text);
        }
    }
}
