//! Dates of HTTP headers, in the three forms that a recipient must read (RFC 9110, 5.6.7).

use crate::calendar::days_since_1970;
use crate::wire::position::UnixMillis;

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads a date; `None` for a text that is no date.
pub(super) fn parse(text: &str) -> Option<UnixMillis> {
    let words: Vec<&str> = text.split([' ', ',', '-']).filter(|word| !word.is_empty()).collect();
    let (day, month, year, time) = match *words.as_slice() {
        // `Sun, 06 Nov 1994 08:49:37 GMT` and `Sunday, 06-Nov-94 08:49:37 GMT`.
        [_, day, month, year, time, "GMT"] => (day, month, year, time),
        // `Sun Nov  6 08:49:37 1994`.
        [_, month, day, time, year] => (day, month, year, time),
        _ => return None,
    };
    let month = MONTHS.iter().position(|name| *name == month)?;
    let days = days_since_1970(full_year(year)?, u64::try_from(month).ok()? + 1, number(day, 31)?)?;
    let mut parts = time.split(':');
    let (hour, minute, second) =
        (number(parts.next()?, 23)?, number(parts.next()?, 59)?, number(parts.next()?, 60)?);
    parts.next().is_none().then(|| UnixMillis((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000))
}

fn number(text: &str, most: u64) -> Option<u64> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok())?.filter(|number| *number <= most)
}

/// Returns the year; one of two digits is of 1970 to 2069.
fn full_year(text: &str) -> Option<u64> {
    let year = number(text, 9_999)?;
    match (text.len(), year) {
        (2, 70..) => Some(1_900 + year),
        (2, _) => Some(2_000 + year),
        _ => Some(year),
    }
}
