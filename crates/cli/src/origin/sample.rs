//! The sample catalogue: made-up titles, some of them awkward on purpose.

use anyhow::Context as _;

use super::store::{Value, Write};
use crate::load::{Title, title_write};

const TITLES: &str = include_str!("../../sample/tv.ndjson");

/// Returns the sample as one transaction.
pub(crate) fn writes() -> anyhow::Result<Vec<Write>> {
    let lines = TITLES.lines().enumerate();
    lines
        .map(|(index, line)| {
            let title = Title::parse(line).map_err(anyhow::Error::msg);
            let title = title.with_context(|| format!("line {} of the sample", index + 1))?;
            let body = title.value.as_bytes().to_vec();
            let value = Value { content_type: "application/json".to_owned(), tags: title.tags, body };
            Ok(title_write(title.key, value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_sample_can_be_read() {
        let writes = super::writes().unwrap();
        assert!(writes.len() >= 20);
        assert_eq!(writes[0].key.as_str(), "title:1");
    }
}
