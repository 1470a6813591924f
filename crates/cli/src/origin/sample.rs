//! The sample catalogue: made-up titles, some of them awkward on purpose.

use anyhow::Context as _;

use super::batch;
use super::store::Write;
use crate::load::Title;

const TITLES: &str = include_str!("../../sample/tv.ndjson");

/// Returns the sample as one transaction, by the way that `newsreel load` takes.
pub(crate) fn writes() -> anyhow::Result<Vec<Write>> {
    let mut lines = String::new();
    for (index, line) in TITLES.lines().enumerate() {
        let title = Title::parse(line.as_bytes()).map_err(anyhow::Error::msg);
        lines += &title.with_context(|| format!("line {} of the sample", index + 1))?.line();
    }
    batch::parse(&lines).map_err(|problem| anyhow::Error::msg(problem.detail().to_owned()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sample_can_be_read_and_is_awkward_enough() {
        let writes = super::writes().unwrap();
        assert!(writes.len() >= 40);
        assert_eq!(writes[0].key.as_str(), "title:1");
        let values = writes.into_iter().filter_map(|write| write.value);
        let text: String = values.map(|value| String::from_utf8(value.body).unwrap()).collect();
        for awkward in ["\\u2028", "\\n", "\\\"", "映", "ש"] {
            assert!(text.contains(awkward), "{awkward}");
        }
    }
}
