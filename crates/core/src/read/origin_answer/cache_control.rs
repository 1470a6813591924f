//! The directives of a response's `Cache-Control` that a shared cache goes by (RFC 9111, 5.2.2; RFC 5861).

use std::time::Duration;

/// The longest time that a directive means: 2^31 seconds (RFC 9111, 1.2.2).
const LONGEST: u64 = 1 << 31;

/// The directives of one `Cache-Control`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) no_store: bool,
    /// Also set where the directive names fields: a cache may apply such a directive to the whole answer.
    pub(super) private: bool,
    /// Also set where the directive names fields.
    pub(super) no_cache: bool,
    /// Set by `must-revalidate` and by `proxy-revalidate`: the answer may never be served stale.
    pub(super) must_revalidate: bool,
    pub(super) max_age: Option<Duration>,
    pub(super) s_maxage: Option<Duration>,
    /// The longer of `stale-while-revalidate` and `stale-if-error`.
    pub(super) stale_for: Option<Duration>,
}

impl Directives {
    /// Reads a header's value. Of a directive that is there twice the first counts; unknown ones are ignored.
    pub(super) fn parse(text: &str) -> Self {
        let mut said = Self::default();
        for directive in quoted_split(text) {
            let (name, argument) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => said.no_store = true,
                "private" => said.private = true,
                "no-cache" => said.no_cache = true,
                "must-revalidate" | "proxy-revalidate" => said.must_revalidate = true,
                "max-age" => said.max_age = said.max_age.or(Some(seconds(argument))),
                "s-maxage" => said.s_maxage = said.s_maxage.or(Some(seconds(argument))),
                "stale-while-revalidate" | "stale-if-error" => {
                    said.stale_for = said.stale_for.max(Some(seconds(argument)));
                }
                _ => {}
            }
        }
        said
    }
}

/// Reads a number of seconds. Any other text counts as 0, since such an answer is to be taken for stale (RFC 9111,
/// 4.2.1).
fn seconds(argument: &str) -> Duration {
    let digits = argument.trim().trim_matches('"');
    let whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = if whole { digits.parse().unwrap_or(LONGEST).min(LONGEST) } else { 0 };
    Duration::from_secs(seconds)
}

/// Splits at the commas that stand in no quoted string.
fn quoted_split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |one| {
        let (was_escaped, was_quoted) = (escaped, quoted);
        escaped = was_quoted && one == '\\' && !was_escaped;
        quoted ^= one == '"' && !was_escaped;
        one == ',' && !was_quoted
    })
}
