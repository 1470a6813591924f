//! The media types that a client accepts, by its header `Accept` (RFC 9110, 12.5.1).

/// The weight of a media range that names none: 1, in thousandths.
const WHOLE: u16 = 1_000;

/// How much a client wants a media type, in thousandths; 0 is "not at all".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wish {
    /// The weight of the media range that says most about the type.
    pub weight: u16,
    /// Whether that media range is the type itself, and not `type/*` or `*/*`.
    pub by_name: bool,
}

/// Returns how much the sender of this `Accept` wants a media type, which is in lower case. A type that no
/// media range covers is not wanted.
#[must_use]
pub fn wish(accept: &str, media_type: &str) -> Wish {
    let (kind, _) = media_type.split_once('/').unwrap_or((media_type, ""));
    let mut best = (0, Wish { weight: 0, by_name: false });
    for range in unquoted(accept, ',') {
        let mut parts = unquoted(range, ';');
        let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
        let exactness = match name.split_once('/') {
            _ if name == media_type => 3,
            Some((of, "*")) if of == kind => 2,
            Some(("*", "*")) => 1,
            Some(_) | None => continue,
        };
        if exactness > best.0 {
            best = (exactness, Wish { weight: weight(parts), by_name: exactness == 3 });
        }
    }
    best.1
}

/// Returns the weight among the parameters of a media range. A weight that cannot be read counts as absent.
fn weight<'a>(mut parameters: impl Iterator<Item = &'a str>) -> u16 {
    let weight = parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    weight.and_then(thousandths).unwrap_or(WHOLE)
}

/// Reads `0.5` as 500: RFC 9110 allows 0 to 1 with at most three digits after the point.
fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "0" if digits => format!("{fraction:0<3}").get(..3)?.parse().ok(),
        "1" if fraction.bytes().all(|byte| byte == b'0') => Some(WHOLE),
        _ => None,
    }
}

/// Splits a header where a character stands outside of quoted strings.
fn unquoted(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |one: char| {
        match one {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        one == at && !quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn expect(accept: &str, weight: u16, by_name: bool) {
        assert_eq!(wish(accept, "text/event-stream"), Wish { weight, by_name }, "{accept:?}");
    }

    #[test]
    fn the_media_range_that_says_most_counts() {
        expect("text/event-stream", 1_000, true);
        expect("*/*;q=0.9, text/*;q=0.8, Text/Event-Stream ; Q=0.7", 700, true);
        expect("*/*;q=0.9, text/*;q=0.8", 800, false);
        expect("*/*", 1_000, false);
        expect("application/json, text/html", 0, false);
        expect("", 0, false);
        expect("text/event-stream;charset=utf-8;q=0.25", 250, true);
    }

    #[test]
    fn a_weight_is_0_to_1_with_three_digits() {
        for (weight, thousandths) in
            [("0", 0), ("0.", 0), ("0.000", 0), ("0.001", 1), ("0.05", 50), ("1", 1_000), ("1.000", 1_000)]
        {
            expect(&format!("text/event-stream;q={weight}"), thousandths, true);
        }
        for unreadable in ["", "x", "1.5", "-0", "0.x"] {
            expect(&format!("text/event-stream;q={unreadable}"), 1_000, true);
        }
    }

    #[test]
    fn a_quoted_string_hides_commas_and_semicolons() {
        expect(r#"text/plain;note="a, text/event-stream""#, 0, false);
        expect(r#"text/event-stream;note="a\";q=0";q=0.5"#, 500, true);
    }
}
