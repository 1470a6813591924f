//! A mapping file and the rows that it maps: every publish is one that a broker takes.

use newsreel_core::wire::{Change, Publish};
use newsreel_mapping::{Batch, Limits, Mapping, Row, RowChange, Skips};

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
