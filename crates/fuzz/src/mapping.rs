//! A mapping file and the rows that it maps: every publish is one that a broker takes.

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::{Batch, Limits, Mapping, Message, Row, RowChange, Skips};

/// Divides the file from the rows.
const ROWS: &str = "\n---\n";

/// A mapping file, then `---`, then one row a line.
pub(crate) fn mapping(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (file, rows) = text.split_once(ROWS).unwrap_or((text, ""));
    let mapping = match Mapping::parse(file) {
        Ok(mapping) => mapping,
        Err(mistakes) => {
            assert!(!mistakes.0.is_empty());
            let lines = file.matches('\n').count() + 1;
            assert!(mistakes.0.iter().all(|mistake| (1..=lines).contains(&mistake.line)), "{mistakes}");
            return;
        }
    };
    assert_eq!(Mapping::parse(file).as_ref(), Ok(&mapping));
    let rows: Vec<Row> = rows.lines().filter_map(|row| serde_json::from_str(row).ok()).collect();
    let (mut skips, mut batch) = (Skips::default(), Batch::new(Limits { wide_above: 3 }));
    for rule in &mapping.rules {
        assert!(rule.old_columns().is_subset(&rule.columns()));
        let mut add = |change: Change| batch.add(change);
        for (old, new) in rows.iter().zip(rows.iter().skip(1)) {
            rule.apply(&RowChange::Insert { new }, &mut skips, &mut add);
            rule.apply(&RowChange::Update { old, new }, &mut skips, &mut add);
            rule.apply(&RowChange::Delete { old }, &mut skips, &mut add);
        }
        rule.apply(&RowChange::Truncate, &mut skips, &mut add);
    }
    for publish in batch.into_publishes() {
        let body = format!(r#"{{"changes":{}}}"#, publish.written().changes);
        assert_eq!(Publish::parse(body.as_bytes()), Ok(publish));
    }
}

/// A mapping file, then `---`, then the message: mapped in the two forms that a message has, it is mapped as a whole or
/// not at all, and every change is one that a broker takes.
pub(crate) fn message(bytes: &[u8]) {
    let divider = bytes.windows(ROWS.len()).position(|window| window == ROWS.as_bytes());
    let (file, body) = divider.map_or((bytes, &[][..]), |at| {
        (bytes.get(..at).unwrap_or_default(), bytes.get(at + ROWS.len()..).unwrap_or_default())
    });
    let Some(mapping) = std::str::from_utf8(file).ok().and_then(|file| Mapping::parse(file).ok()) else {
        return;
    };
    let fields: Vec<(Vec<u8>, Vec<u8>)> = body
        .split(|byte| *byte == b'\n')
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b'\t')?;
            let (name, value) = line.split_at(at);
            Some((name.to_vec(), value.get(1..).unwrap_or_default().to_vec()))
        })
        .collect();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let headers: Vec<_> = fields.iter().map(|(name, value)| (text(name), text(value))).collect();
    for message in [
        Message::of_body(body),
        Message::of_body(b"{}").with_attributes(&headers),
        Message::of_entry(&fields),
    ] {
        let from = mapping.rules.first().map_or("s", |rule| rule.from());
        let (mut skips, mut changes) = (Skips::default(), Vec::new());
        let outcome = mapping.message(from, &message, &mut skips, &mut |change| changes.push(change));
        assert!(outcome.is_ok() || (changes.is_empty() && skips.total() == 0), "{outcome:?}");
        assert!(outcome.is_err() || outcome.is_ok_and(|outcome| outcome.rows > 0 || changes.is_empty()));
        let mut batch = Batch::new(Limits { wide_above: 3 });
        changes.into_iter().for_each(|change| batch.add(change));
        for publish in batch.into_publishes() {
            let body = format!(r#"{{"changes":{}}}"#, publish.written().changes);
            assert_eq!(Publish::parse(body.as_bytes()), Ok(publish));
        }
    }
}
