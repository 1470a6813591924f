//! Glob patterns of channels and streams, such as `catalog:netflix:*`, as Redis matches them.

/// Says whether a name has a character that makes a pattern of it.
#[must_use]
pub fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '[', '\\'])
}

/// Says whether a name fits a pattern: `*` stands for any text, `?` for one character, `[a-z]` and `[^a-z]` for one of a
/// class, and `\` takes the next character as it is.
#[must_use]
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut pattern, mut name) = (pattern.as_slice(), name.as_slice());
    // Only the last star is ever tried again, so that the time is the product of both lengths at most.
    let mut star: Option<(&[char], &[char])> = None;
    loop {
        if let Some((&'*', rest)) = pattern.split_first() {
            star = Some((rest, name));
            pattern = rest;
            continue;
        }
        let Some((first, after)) = name.split_first() else { return pattern.is_empty() };
        if let Some(rest) = one(pattern, *first) {
            (pattern, name) = (rest, after);
        } else if let Some((rest, from)) = star {
            let (_, from) = from.split_first().unwrap_or((first, &[]));
            star = Some((rest, from));
            (pattern, name) = (rest, from);
        } else {
            return false;
        }
    }
}

/// Matches one character, and returns the rest of the pattern.
fn one(pattern: &[char], c: char) -> Option<&[char]> {
    let (first, rest) = pattern.split_first()?;
    match (first, rest) {
        ('?', _) => Some(rest),
        ('\\', [escaped, rest @ ..]) => (*escaped == c).then_some(rest),
        ('[', _) => class(rest, c),
        _ => (*first == c).then_some(rest),
    }
}

/// Matches one character with a class, from behind its `[`. A class that is not closed ends with the pattern.
fn class(pattern: &[char], c: char) -> Option<&[char]> {
    let (negated, mut rest) = match pattern {
        ['^', rest @ ..] => (true, rest),
        _ => (false, pattern),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] | [']', ..] => break,
            ['\\', escaped, rest @ ..] => {
                found |= *escaped == c;
                rest
            }
            [from, '-', to, rest @ ..] => {
                found |= (*from.min(to)..=*from.max(to)).contains(&c);
                rest
            }
            [one, rest @ ..] => {
                found |= *one == c;
                rest
            }
        };
    }
    let rest = rest.split_first().map_or(rest, |(_, rest)| rest);
    (found != negated).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_pattern_fits_what_redis_says_that_it_fits() {
        for (pattern, name, is_fit) in [
            ("catalog:netflix:*", "catalog:netflix:title", true),
            ("catalog:netflix:*", "catalog:netflix:", true),
            ("catalog:netflix:*", "catalog:hulu:title", false),
            ("*:title", "a:b:title", true),
            ("*a*b", "aab", true),
            ("*a*b", "aaba", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h\\*llo", "h*llo", true),
            ("h\\*llo", "hello", false),
            ("[a", "a", true),
            ("[\\]]", "]", true),
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("é?", "éü", true),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(fits(pattern, name), is_fit, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        assert!(!fits(&"*a".repeat(500), &"a".repeat(499)));
        assert!(!fits(&("*a".repeat(500) + "b"), &"a".repeat(5_000)));
    }

    #[test]
    fn a_name_with_a_special_character_is_a_pattern() {
        assert!(["a*", "a?", "a[b]", "a\\*"].iter().all(|name| is_pattern(name)));
        assert!(!is_pattern("catalog:netflix"));
    }
}
