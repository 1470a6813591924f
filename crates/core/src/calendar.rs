//! The Gregorian calendar: dates as days since 1970, by Howard Hinnant's algorithms. Years begin in March, so that the leap
//! day is their last.

/// The days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u64 = 719_468;

/// Counts the days from 1970 to a date; `None` before 1970 and for a day 0.
#[must_use]
pub fn days_since_1970(year: u64, month: u64, day: u64) -> Option<u64> {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year.checked_sub(1)?, month + 9) };
    let days_of_years = year * 365 + year / 4 - year / 100 + year / 400;
    let days = days_of_years + (month * 153 + 2) / 5 + day.checked_sub(1)?;
    days.checked_sub(DAYS_TO_1970)
}

/// Returns year, month and day of a number of days since 1970, which may be negative.
#[must_use]
pub fn date(days: i64) -> (i64, i64, i64) {
    let days = days + DAYS_TO_1970.cast_signed();
    // 400 years have 146,097 days.
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (era * 400 + year_of_era + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn every_day_of_five_centuries_is_a_date_and_comes_back() {
        assert_eq!((date(0), date(-1), date(11_016)), ((1970, 1, 1), (1969, 12, 31), (2000, 2, 29)));
        for days in 0..182_621_u64 {
            let (year, month, day) = date(days.cast_signed());
            let [year, month, day] = [year, month, day].map(i64::unsigned_abs);
            assert_eq!(days_since_1970(year, month, day), Some(days));
        }
        assert_eq!((days_since_1970(1969, 12, 31), days_since_1970(2000, 1, 0)), (None, None));
    }
}
