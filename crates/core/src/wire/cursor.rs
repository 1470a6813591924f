//! Cursors of a fold: how much of a fold was sent.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::position::{Epoch, Version};

/// How far a fold was sent: its changes are ordered by version, and within a version by their sort key.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FoldCursor {
    /// The version of the last change sent.
    pub version: Version,
    /// The sort key of the last change sent, when others of its version are still to come. Only the storage
    /// of the rows interprets it.
    ///
    /// Not a count: changes of that version may be compacted away meanwhile, and later ones must not be
    /// skipped.
    #[serde(rename = "place")]
    pub sort_key: Option<String>,
    /// The number of parts sent. The text of a page's cursor leaves the number out.
    #[serde(default, skip_serializing_if = "is_first")]
    pub part: u32,
}

fn is_first(part: &u32) -> bool {
    *part == 0
}

/// A cursor that a reader of pages keeps itself. The epoch is a part of the cursor, since the log may begin
/// anew between two pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageCursor {
    /// The epoch of the log.
    pub epoch: Epoch,
    /// The cursor within the fold of that log.
    pub cursor: FoldCursor,
}

/// A text that is not a cursor. A cursor is opaque, so its reader is not told what is wrong with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the \"next\" of a page")]
pub struct CursorError;

impl fmt::Display for PageCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FoldCursor { version, sort_key, .. } = &self.cursor;
        let sort_key = sort_key.as_ref().map(|sort_key| format!(".{}", URL_SAFE_NO_PAD.encode(sort_key)));
        write!(f, "{}.{version}{}", self.epoch, sort_key.unwrap_or_default())
    }
}

impl FromStr for PageCursor {
    type Err = CursorError;
    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (epoch, at) = text.split_once('.').ok_or(CursorError)?;
        let (version, sort_key) =
            at.split_once('.').map_or((at, None), |(version, rest)| (version, Some(rest)));
        let decoded = |sort_key: &str| String::from_utf8(URL_SAFE_NO_PAD.decode(sort_key).ok()?).ok();
        let sort_key = sort_key.map(|sort_key| decoded(sort_key).ok_or(CursorError)).transpose()?;
        let cursor = FoldCursor { version: version.parse().map_err(|_| CursorError)?, sort_key, part: 0 };
        Ok(Self { epoch: epoch.parse().map_err(|_| CursorError)?, cursor })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_cursor_survives_its_text() {
        for sort_key in [None, Some("ktitle:é\u{1}h".to_owned())] {
            let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
            let cursor = PageCursor {
                epoch,
                cursor: FoldCursor { version: Version::new(7).unwrap(), sort_key, part: 0 },
            };
            let text = cursor.to_string();
            assert!(
                text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
                "{text}"
            );
            assert_eq!(text.parse(), Ok(cursor));
        }
        for bad in [
            "",
            "7",
            "x.7",
            "01ARYZ6S410000000000000000",
            "01ARYZ6S410000000000000000.-1",
            "01ARYZ6S410000000000000000.7.!",
        ] {
            assert_eq!(bad.parse::<PageCursor>(), Err(CursorError), "{bad}");
        }
    }
}
