//! What the status and the headers of an answer mean.

use std::time::Duration;

/// The longest time that a server may ask to be left alone for.
const MOST_PATIENCE: Duration = Duration::from_secs(86_400);

/// The meaning of a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The body is the answer.
    Body,
    /// The body is the one that is known.
    Unchanged,
    /// Another address has the answer.
    Redirect,
    /// The API forgot what was asked for.
    Expired,
    /// The question may be asked again later.
    Later {
        /// How long the server wants to be left alone.
        after: Option<Duration>,
    },
    /// The same question would be refused again.
    Refused,
}

/// Judges a status. `now` is the time of the answer, in Unix milliseconds by the server's clock.
pub(super) fn verdict(status: u16, retry_after: Option<&str>, expired: &[u16], now: i64) -> Verdict {
    let after = retry_after.and_then(|text| patience(text, now));
    match status {
        // A part of a body is none, and 204 has none.
        200 | 203 => Verdict::Body,
        304 => Verdict::Unchanged,
        301 | 302 | 303 | 307 | 308 => Verdict::Redirect,
        status if expired.contains(&status) => Verdict::Expired,
        408 | 425 | 429 | 500..=599 => Verdict::Later { after },
        _ if after.is_some() => Verdict::Later { after },
        _ => Verdict::Refused,
    }
}

/// Reads `Retry-After`: seconds, or a date.
fn patience(text: &str, now: i64) -> Option<Duration> {
    let text = text.trim();
    let seconds = text.parse().ok().map(Duration::from_secs);
    let until = || {
        let left = date(text)? - now;
        Some(Duration::from_millis(u64::try_from(left).unwrap_or_default()))
    };
    Some(seconds.or_else(until)?.min(MOST_PATIENCE))
}

/// Reads a date of HTTP, as Unix milliseconds.
pub(super) fn date(text: &str) -> Option<i64> {
    let at = httpdate::parse_http_date(text).ok()?;
    i64::try_from(at.duration_since(std::time::UNIX_EPOCH).ok()?.as_millis()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_judged() {
        let of = |status| verdict(status, None, &[400, 410], 0);
        assert_eq!((of(200), of(304), of(302)), (Verdict::Body, Verdict::Unchanged, Verdict::Redirect));
        assert_eq!((of(410), of(400)), (Verdict::Expired, Verdict::Expired));
        assert_eq!(verdict(400, None, &[410], 0), Verdict::Refused);
        assert_eq!((of(204), of(206), of(401), of(404)), {
            let refused = || Verdict::Refused;
            (refused(), refused(), refused(), refused())
        });
        assert_eq!((of(429), of(503)), (Verdict::Later { after: None }, Verdict::Later { after: None }));
    }

    #[test]
    fn a_server_that_asks_for_patience_has_it_in_seconds_or_by_a_date() {
        let after = |text| {
            let verdict = verdict(429, Some(text), &[], 1_795_446_806_000);
            let Verdict::Later { after } = verdict else { panic!("{verdict:?}") };
            after.map(|after| after.as_secs())
        };
        assert_eq!(after("120"), Some(120));
        assert_eq!(after("Mon, 23 Nov 2026 15:14:26 GMT"), Some(60));
        assert_eq!(after("Mon, 23 Nov 2020 15:14:26 GMT"), Some(0), "a date that has passed");
        assert_eq!(after("99999999999"), Some(86_400));
        assert_eq!(after("soon"), None);
    }
}
