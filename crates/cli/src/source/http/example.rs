//! Feeds for tests.

use newsreel_mapping::{Feed, Mapping};

/// Returns the feed `f` with these fields.
#[track_caller]
pub(super) fn feed(fields: &str) -> Feed {
    let text = format!("[[feed]]\nname = \"f\"\n{fields}\n[[map]]\nfrom = \"f\"\nkey = \"movie:{{id}}\"\n");
    Mapping::parse(&text).unwrap_or_else(|why| panic!("{why}")).feeds.remove(0)
}
