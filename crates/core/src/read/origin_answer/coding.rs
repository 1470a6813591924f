//! Content codings (RFC 9110, 8.4): what has to be undone before a body is the value.

/// A content coding that the asking program undoes itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// `gzip`, also called `x-gzip`.
    Gzip,
    /// `deflate`, the zlib format.
    Deflate,
}

impl Coding {
    /// Returns the coding's name, which is also that of a `DecompressionStream`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
        }
    }
}

/// A content coding that cannot be undone, as the header names it.
#[derive(Debug)]
pub(super) struct UnknownCoding(pub(super) String);

/// Reads a `Content-Encoding`: the codings that are left to undo, the last applied first, and whether the body as sent
/// is the value.
///
/// workerd undoes a header that is exactly `gzip` or `br`, and no other: not `GZIP`, not a list, not `deflate`.
pub(super) fn left_to_undo(header: &str, on_workerd: bool) -> Result<(Vec<Coding>, bool), UnknownCoding> {
    if on_workerd && matches!(header, "gzip" | "br") {
        return Ok((Vec::new(), false));
    }
    let mut codings = Vec::new();
    for name in header.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        match name.to_ascii_lowercase().as_str() {
            "identity" => {}
            "gzip" | "x-gzip" => codings.push(Coding::Gzip),
            "deflate" => codings.push(Coding::Deflate),
            _ => return Err(UnknownCoding(name.chars().take(super::SHOWN).collect())),
        }
    }
    codings.reverse();
    let is_plain = codings.is_empty();
    Ok((codings, is_plain))
}
