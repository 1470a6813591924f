//! Access: the tokens of a deployment, and the check that precedes any Durable Object.
//!
//! The token lists are here. `signed` reads tokens that carry their own limits, `grant` holds those limits,
//! `rate` limits callers, `cors` says which web pages may call, and `hooks` which webhooks are taken.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use subtle::ConstantTimeEq;

use crate::wire::name::Catalog;
use crate::wire::problem::{Code, Problem};

pub mod cors;
mod grant;
pub mod hooks;
pub mod rate;
pub mod signed;

pub use grant::Grant;

/// The refusal of every unknown token. The text does not tell what is wrong with the token.
const UNKNOWN: &str = "the token is not known here";

/// The permission that a call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Permission to publish changes of a catalog.
    Publish,
    /// Permission to follow, to page and to see the status.
    Follow,
    /// Permission to hand in the values of entries, which is what readers get.
    Fill,
    /// Permission to do everything.
    Admin,
}

impl Scope {
    /// Returns the name of the scope in a signed token.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Follow => "follow",
            Self::Fill => "fill",
            Self::Admin => "admin",
        }
    }
}

/// A caller with permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The name that the token list gives to the token.
    pub name: String,
    /// Whether the token is an admin token.
    pub admin: bool,
    /// The limits that the token carries.
    pub grant: Grant,
}

/// The token lists of a deployment.
#[derive(Clone, Default)]
pub struct Tokens {
    items: Vec<Token>,
}

/// Shows how many tokens there are, and no secret.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} tokens", self.items.len())
    }
}

#[derive(Clone)]
struct Token {
    scope: Scope,
    catalog: Option<Catalog>,
    name: String,
    secret: String,
}

/// A token list that cannot be read. The message never shows a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable}: item {item} is not name=token or catalog/name=token")]
pub struct TokensError {
    /// The variable with the list.
    pub variable: &'static str,
    /// The number of the item, from 1.
    pub item: usize,
}

impl Tokens {
    /// Reads the four secrets, each a comma-separated list of `name=token` or `catalog/name=token`.
    ///
    /// # Errors
    /// [`TokensError`] names the first item that is neither.
    pub fn parse(publish: &str, follow: &str, fill: &str, admin: &str) -> Result<Self, TokensError> {
        let mut items = Vec::new();
        for (scope, variable, list) in [
            (Scope::Publish, "PUBLISH_TOKENS", publish),
            (Scope::Follow, "FOLLOW_TOKENS", follow),
            (Scope::Fill, "FILL_TOKENS", fill),
            (Scope::Admin, "ADMIN_TOKENS", admin),
        ] {
            for (index, text) in list.split(',').map(str::trim).enumerate() {
                if text.is_empty() {
                    continue;
                }
                let wrong = TokensError { variable, item: index + 1 };
                items.push(Token::parse(scope, text).ok_or(wrong)?);
            }
        }
        Ok(Self { items })
    }

    /// Returns the bearer of `presented`, if the token allows `scope` on `catalog`.
    ///
    /// # Errors
    /// `unauthorized` without a known token; `forbidden` with one that does not reach so far.
    pub fn authorize(
        &self,
        presented: Option<&str>,
        scope: Scope,
        catalog: &Catalog,
    ) -> Result<Caller, Problem> {
        let Some(presented) = presented else {
            return Err(Problem::new(Code::Unauthorized, "send Authorization: Bearer <token>"));
        };
        // Every item is compared, so the time says nothing about which one matched.
        let mut known = false;
        let mut caller: Option<Caller> = None;
        for item in &self.items {
            let same = bool::from(item.secret.as_bytes().ct_eq(presented.as_bytes()));
            known |= same;
            if same && item.reaches(scope, catalog) {
                let admin = item.scope == Scope::Admin || caller.as_ref().is_some_and(|caller| caller.admin);
                caller = Some(Caller { name: item.name.clone(), admin, grant: Grant::default() });
            }
        }
        match caller {
            Some(caller) => Ok(caller),
            None if known => Err(out_of_reach(catalog)),
            None => Err(Problem::new(Code::Unauthorized, UNKNOWN)),
        }
    }
}

impl Token {
    fn parse(scope: Scope, text: &str) -> Option<Self> {
        let (label, secret) = text.split_once('=')?;
        let (catalog, name) = match label.split_once('/') {
            Some((catalog, name)) => (Some(Catalog::new(catalog).ok()?), name),
            None => (None, label),
        };
        let whole = !name.is_empty() && !secret.is_empty();
        whole.then(|| Self { scope, catalog, name: name.to_owned(), secret: secret.to_owned() })
    }

    fn reaches(&self, scope: Scope, catalog: &Catalog) -> bool {
        (self.scope == scope || self.scope == Scope::Admin)
            && self.catalog.as_ref().is_none_or(|only| only == catalog)
    }
}

/// Checks that a deployment with this list of `CATALOGS` serves a catalog. An empty list stands for every
/// catalog.
///
/// # Errors
/// `unknown-catalog` when the list holds other catalogs only.
pub fn served(list: &[Catalog], catalog: &Catalog) -> Result<(), Problem> {
    match list.is_empty() || list.contains(catalog) {
        true => Ok(()),
        false => Err(Problem::new(Code::UnknownCatalog, format!("{catalog} is not among CATALOGS"))),
    }
}

fn out_of_reach(catalog: &Catalog) -> Problem {
    Problem::new(Code::Forbidden, format!("the token does not allow this on catalog {catalog}"))
}

/// Returns the token of an `Authorization` header.
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim()).filter(|token| !token.is_empty())
}

/// Returns the token a browser offers among its WebSocket subprotocols: `newsreel.bearer.<base64url>`.
#[must_use]
pub fn subprotocol_bearer(offered: &str) -> Option<String> {
    let encoded =
        offered.split(',').find_map(|one| one.trim().strip_prefix(crate::wire::frame::BEARER_SUBPROTOCOL))?;
    let bytes = URL_SAFE_NO_PAD.decode(encoded.trim_end_matches('=')).ok()?;
    String::from_utf8(bytes).ok().filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn catalog(name: &str) -> Catalog {
        Catalog::new(name).unwrap()
    }

    fn tokens() -> Tokens {
        Tokens::parse("guide=p1, tv/shop=p2==", "edge=f1,old=f0", "site=w1", "ops=a1").unwrap()
    }

    #[test]
    fn a_token_reaches_its_scope_and_catalog_only() {
        let may = |token, scope, name| tokens().authorize(Some(token), scope, &catalog(name));
        assert_eq!(
            may("p1", Scope::Publish, "tv").unwrap(),
            Caller { name: "guide".into(), admin: false, grant: Grant::default() }
        );
        assert_eq!(may("p2==", Scope::Publish, "tv").unwrap().name, "shop");
        assert_eq!(may("p2==", Scope::Publish, "fares").unwrap_err().code(), "forbidden");
        assert_eq!(may("p1", Scope::Follow, "tv").unwrap_err().code(), "forbidden");
        assert_eq!(may("f0", Scope::Follow, "tv").unwrap().name, "old");
        assert_eq!(
            may("p1", Scope::Fill, "tv").unwrap_err().code(),
            "forbidden",
            "a publish token sets no values"
        );
        assert_eq!(may("w1", Scope::Fill, "tv").unwrap().name, "site");
        assert_eq!(may("w1", Scope::Publish, "tv").unwrap_err().code(), "forbidden");
        assert_eq!(may("nope", Scope::Follow, "tv").unwrap_err().code(), "unauthorized");
    }

    #[test]
    fn an_admin_token_may_do_everything() {
        for scope in [Scope::Publish, Scope::Follow, Scope::Fill, Scope::Admin] {
            assert!(tokens().authorize(Some("a1"), scope, &catalog("tv")).unwrap().admin);
        }
        assert_eq!(
            tokens().authorize(Some("p1"), Scope::Admin, &catalog("tv")).unwrap_err().code(),
            "forbidden"
        );
    }

    #[test]
    fn without_a_token_no_call_is_allowed() {
        assert_eq!(
            tokens().authorize(None, Scope::Follow, &catalog("tv")).unwrap_err().code(),
            "unauthorized"
        );
        let none = Tokens::parse("", "", "", "").unwrap();
        assert_eq!(
            none.authorize(Some(""), Scope::Follow, &catalog("tv")).unwrap_err().code(),
            "unauthorized"
        );
    }

    #[test]
    fn a_list_that_cannot_be_read_names_the_item_and_not_the_secret() {
        for (list, item) in [("secret", 1), ("a=b,=x", 2), ("a=", 1), ("TV/a=b", 1)] {
            let error = Tokens::parse("", list, "", "").unwrap_err();
            assert_eq!(error, TokensError { variable: "FOLLOW_TOKENS", item });
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[test]
    fn a_deployment_serves_the_catalogs_of_its_list_or_without_one_all() {
        for list in [&[][..], &["tv"], &["fares", "tv"]] {
            let list: Vec<Catalog> = list.iter().map(|name| catalog(name)).collect();
            assert!(served(&list, &catalog("tv")).is_ok(), "{list:?}");
        }
        for list in [&["fares"][..], &["tv2", "t"]] {
            let list: Vec<Catalog> = list.iter().map(|name| catalog(name)).collect();
            assert_eq!(served(&list, &catalog("tv")).unwrap_err().kind(), Code::UnknownCatalog, "{list:?}");
        }
    }

    #[test]
    fn no_secret_is_in_what_is_printed_of_tokens() {
        assert_eq!(format!("{:?}", tokens()), "6 tokens");
    }

    #[test]
    fn tokens_come_from_a_header_or_a_subprotocol() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer  abc "), Some("abc"));
        assert_eq!(bearer("Basic abc"), None);
        assert_eq!(
            subprotocol_bearer("newsreel.v1, newsreel.bearer.ZGV2LWZvbGxvdw"),
            Some("dev-follow".into())
        );
        assert_eq!(subprotocol_bearer("newsreel.v1"), None);
        assert_eq!(subprotocol_bearer("newsreel.bearer.!!"), None);
    }
}
