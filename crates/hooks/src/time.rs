//! The times that signed messages carry: Unix time in seconds or milliseconds, or RFC 3339 in UTC.

use newsreel_core::calendar::{date, days_since_1970};
use newsreel_core::wire::UnixMillis;

/// The least number that is milliseconds: in seconds it is the year 5138.
const MILLISECONDS_FROM: u64 = 100_000_000_000;

/// Reads a time; `None` for a text that is none.
pub(crate) fn read(text: &str) -> Option<UnixMillis> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return rfc3339(text);
    }
    let number: u64 = text.parse().ok()?;
    let millis = if number < MILLISECONDS_FROM { number.checked_mul(1_000)? } else { number };
    Some(UnixMillis(millis))
}

/// Reads `2019-11-16T10:11:12.634234626Z`.
fn rfc3339(text: &str) -> Option<UnixMillis> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.split('-');
    let (year, month, day) = (digits(date.next()?, 4)?, digits(date.next()?, 2)?, digits(date.next()?, 2)?);
    let (time, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut time = time.split(':');
    let (hour, minute, second) =
        (digits(time.next()?, 2)?, digits(time.next()?, 2)?, digits(time.next()?, 2)?);
    let whole = date.next().is_none() && time.next().is_none();
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let millis = format!("{:0<3}", fraction).get(..3).and_then(|millis| digits(millis, 3))?;
    let seconds = ((days_since_1970(year, month, day)? * 24 + hour) * 60 + minute) * 60 + second;
    (whole && fits && hour < 24 && minute < 60 && second <= 60).then(|| UnixMillis(seconds * 1_000 + millis))
}

fn digits(text: &str, count: usize) -> Option<u64> {
    let right = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Returns a time as RFC 3339 in UTC, to the second.
pub(crate) fn written(at: UnixMillis) -> String {
    let (days, of_day) = (at.0 / 86_400_000, at.0 / 1_000 % 86_400);
    let (year, month, day) = date(days.cast_signed());
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", of_day / 3_600, of_day / 60 % 60, of_day % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn times_are_seconds_milliseconds_or_rfc_3339() {
        for (text, millis) in [
            ("0", 0),
            ("1614265330", 1_614_265_330_000),
            ("1633519811129", 1_633_519_811_129),
            ("2019-11-16T10:11:12.634234626Z", 1_573_899_072_634),
            ("2000-02-29T23:59:59Z", 951_868_799_000),
            ("2026-11-23T15:13:26.5Z", 1_795_446_806_500),
        ] {
            assert_eq!(read(text), Some(UnixMillis(millis)), "{text}");
            let seconds = UnixMillis(millis / 1_000 * 1_000);
            assert_eq!(read(&written(seconds)), Some(seconds), "{text}");
        }
    }

    #[test]
    fn other_texts_are_no_times() {
        for text in [
            "",
            "-1",
            "+1",
            "1.5",
            " 1",
            "1e3",
            "18446744073709551616",
            "2019-11-16",
            "2019-11-16T10:11:12",
            "2019-11-16T10:11:12+01:00",
            "2019-13-16T10:11:12Z",
            "2019-11-16T24:11:12Z",
            "19-11-16T10:11:12Z",
            "2019-11-16T10:11:12.Z9Z",
            "1969-12-31T23:59:59Z",
            "2019-11-16-01T10:11:12Z",
            "é-11-16T10:11:12.éZ",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
