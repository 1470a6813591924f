//! Content codings of request bodies (RFC 9110, 8.4): none is undone here, so a body has to come without one.

use super::problem::{Code, Problem};

/// The only coding that a body may have, which is none.
pub const ACCEPTED: &str = "identity";

/// Checks the `Content-Encoding` of a request with a body; empty when there is none.
///
/// # Errors
/// `unsupported-encoding` for every coding but `identity`.
pub fn check(content_encoding: &str) -> Result<(), Problem> {
    let mut codings = content_encoding.split(',').map(str::trim).filter(|coding| !coding.is_empty());
    match codings.find(|coding| !coding.eq_ignore_ascii_case(ACCEPTED)) {
        None => Ok(()),
        Some(coding) => {
            let text = format!("a body is taken without a content coding, and this one is {coding}");
            Err(Problem::new(Code::UnsupportedEncoding, text).with("accept_encoding", ACCEPTED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_body_comes_without_a_coding() {
        for none in ["", "identity", " Identity , "] {
            assert_eq!(check(none), Ok(()), "{none:?}");
        }
        for (some, named) in [("gzip", "gzip"), ("identity, BR", "BR"), ("deflate,gzip", "deflate")] {
            let problem = check(some).unwrap_err();
            assert_eq!((problem.code(), problem.status()), ("unsupported-encoding", 415), "{some}");
            assert!(problem.detail().ends_with(named), "{}", problem.detail());
            assert!(problem.headers().contains(&("Accept-Encoding", "identity".to_owned())), "{some}");
        }
    }
}
