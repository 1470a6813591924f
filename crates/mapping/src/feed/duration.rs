//! Durations such as `15 min`, percentages such as `10%`, and times as APIs write them.

use std::time::Duration;

use newsreel_core::calendar::date;

use super::TimeForm;

const DAY_MILLIS: i64 = 86_400_000;

/// What a duration looks like.
pub(super) const DURATION: &str = "a number and ms, s, min, h or d: \"30 s\", \"15 min\", \"14 d\"";

/// Reads a duration.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(end)?;
    let millis = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    // Longer than a life is a slip of the finger, and would overflow sums of times.
    let most = 36_525 * 86_400_000;
    let millis = number.parse::<u64>().ok()?.checked_mul(millis).filter(|millis| *millis <= most)?;
    Some(Duration::from_millis(millis))
}

/// Reads a percentage of at most 100.
pub(super) fn percent(text: &str) -> Option<u32> {
    text.trim().strip_suffix('%')?.trim().parse().ok().filter(|percent| *percent <= 100)
}

/// Returns a time in a form.
pub(super) fn written(form: TimeForm, millis: i64) -> String {
    let (year, month, day) = date(millis.div_euclid(DAY_MILLIS));
    let seconds = millis.rem_euclid(DAY_MILLIS) / 1_000;
    match form {
        TimeForm::Seconds => millis.div_euclid(1_000).to_string(),
        TimeForm::Millis => millis.to_string(),
        TimeForm::Date => format!("{year:04}-{month:02}-{day:02}"),
        TimeForm::Rfc3339 => {
            let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
            format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn durations_and_percentages_are_read() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs());
        assert_eq!(
            [seconds("30 s"), seconds("2min"), seconds(" 1 h "), seconds("14 d")],
            [Some(30), Some(120), Some(3_600), Some(1_209_600)]
        );
        assert_eq!(
            [seconds("5"), seconds("s"), seconds("-1 s"), seconds("1 week"), seconds("99999999 d")],
            [None; 5]
        );
        assert_eq!(
            [percent("10%"), percent("0 %"), percent("101%"), percent("10")],
            [Some(10), Some(0), None, None]
        );
    }

    #[test]
    fn times_are_written_as_apis_want_them() {
        let at = 1_795_446_806_123;
        assert_eq!(written(TimeForm::Seconds, at), "1795446806");
        assert_eq!(written(TimeForm::Millis, at), "1795446806123");
        assert_eq!(written(TimeForm::Rfc3339, at), "2026-11-23T15:13:26Z");
        assert_eq!(written(TimeForm::Date, at), "2026-11-23");
        assert_eq!(written(TimeForm::Date, -1), "1969-12-31");
        assert_eq!(written(TimeForm::Date, 951_782_400_000), "2000-02-29");
    }
}
