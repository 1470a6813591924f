//! The sample catalogue: made-up titles, some of them awkward on purpose.

use super::batch;
use super::store::Write;
use crate::load::Title;

const TITLES: &str = include_str!("../../sample/tv.ndjson");

/// Returns the sample as one transaction, by the way that `newsreel load` takes.
///
/// # Panics
/// Never: a test reads the sample.
pub(crate) fn writes() -> Vec<Write> {
    let title =
        |line: &str| Title::parse(line.as_bytes()).expect("each line of the sample is a title").line();
    let lines: String = TITLES.lines().map(title).collect();
    batch::parse(&lines).expect("the sample is one transaction")
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sample_can_be_read_and_is_awkward_enough() {
        let writes = super::writes();
        assert!(writes.len() >= 40);
        assert_eq!(writes[0].key.as_str(), "title:1");
        let values = writes.into_iter().filter_map(|write| write.value);
        let text: String = values.map(|value| String::from_utf8(value.body).unwrap()).collect();
        for awkward in ["\\u2028", "\\n", "\\\"", "映", "ש"] {
            assert!(text.contains(awkward), "{awkward}");
        }
    }
}
