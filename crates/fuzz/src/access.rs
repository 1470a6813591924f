//! Token lists, keys and tokens: the settings of a deployment, and the tokens that strangers present.

use newsreel_core::access::cors::Origins;
use newsreel_core::access::signed::Keys;
use newsreel_core::access::{Grant, Scope, Tokens};
use newsreel_core::wire::{Catalog, UnixMillis};

use crate::first_lines;
use crate::routes::check_problem;

/// Five lines: the lists of publishers, followers and administrators, a token that is shown, and a catalog. No token fills.
pub(crate) fn tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([publish, follow, admin, shown, name], _) = first_lines(text);
    let lists = [(Scope::Publish, publish), (Scope::Follow, follow), (Scope::Admin, admin)];
    let tokens = match Tokens::parse(publish, follow, "", admin) {
        Ok(tokens) => tokens,
        Err(error) => {
            let list = lists
                .iter()
                .find(|(scope, _)| error.variable.eq_ignore_ascii_case(&format!("{scope:?}_tokens")));
            let (_, list) = list.expect("the error names one of the three");
            let item = list.split(',').nth(error.item - 1).expect("and an item of it").trim();
            assert!(!is_token(item), "{item:?} is one");
            return;
        }
    };
    let Ok(catalog) = Catalog::new(name) else { return };
    for scope in [Scope::Publish, Scope::Follow, Scope::Admin] {
        // The tokens of the lists, read by hand.
        let items = lists.iter().flat_map(|(of, list)| items(list).map(move |item| (*of, item)));
        let known: Vec<_> = items.filter(|(_, (_, _, secret))| *secret == shown).collect();
        let reaching: Vec<_> = known
            .iter()
            .filter(|(of, (only, _, _))| {
                (*of == scope || *of == Scope::Admin) && only.is_none_or(|only| only == name)
            })
            .collect();
        match tokens.authorize(Some(shown), scope, &catalog) {
            Ok(caller) => {
                assert!(reaching.iter().any(|(_, (_, name, _))| *name == caller.name));
                assert_eq!(caller.admin, reaching.iter().any(|(of, _)| *of == Scope::Admin));
            }
            Err(problem) => {
                assert!(reaching.is_empty());
                assert_eq!(problem.status(), if known.is_empty() { 401 } else { 403 });
                check_problem(&problem);
            }
        }
        assert_eq!(tokens.authorize(None, scope, &catalog).map_err(|problem| problem.status()), Err(401));
    }
}

/// Three lines: the keys of a deployment, a catalog, a token; the signature of any is taken for right. After them comes
/// a grant, as the object is told of it.
pub(crate) fn signed(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([keys, name, token], rest) = first_lines(text);
    let grant = Grant::from_text(rest);
    assert!(grant.is_over(UnixMillis(u64::MAX)) || grant.until.is_none());
    let Ok(keys) = Keys::parse(keys) else { return };
    let Ok(presented) = keys.read(token) else { return };
    assert!(token.starts_with(presented.signed), "what is signed is what was shown");
    assert!(keys.have(presented.key));
    let wrong = presented.clone().verified(false).expect_err("a wrong signature says nothing");
    assert_eq!(wrong.status(), 401);
    let (Ok(claims), Ok(catalog)) = (presented.verified(true), Catalog::new(name)) else { return };
    for scope in [Scope::Publish, Scope::Follow, Scope::Admin] {
        match claims.clone().authorize(UnixMillis(1_800_000_000_000), scope, &catalog) {
            Ok(caller) => {
                let until = caller.grant.until.expect("a signed token ends");
                assert!(until > UnixMillis(1_800_000_000_000) && !caller.name.is_empty());
                assert!(
                    !caller.admin || caller.grant.topics.is_empty(),
                    "who may do everything hears of all"
                );
                let text = caller.grant.to_text().expect("it has an end");
                assert_eq!(Grant::from_text(&text), caller.grant, "the object is told what the token says");
            }
            Err(problem) => {
                assert!(matches!(problem.status(), 401 | 403));
                check_problem(&problem);
            }
        }
    }
}

/// Returns the items of a list: only on which catalog, its name, its secret.
fn items(list: &str) -> impl Iterator<Item = (Option<&str>, &str, &str)> {
    list.split(',').map(str::trim).filter_map(|item| {
        let (label, secret) = item.split_once('=')?;
        let (only, name) = label.split_once('/').map_or((None, label), |(only, name)| (Some(only), name));
        Some((only, name, secret))
    })
}

fn is_token(item: &str) -> bool {
    items(item).next().is_some_and(|(only, name, secret)| {
        let whole = !name.is_empty() && !secret.is_empty();
        whole && only.is_none_or(|only| Catalog::new(only).is_ok())
    })
}

/// Three lines: the list, the origin of a page, and the deployment's own.
pub(crate) fn origins(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let ([list, origin, own], _) = first_lines(text);
    let origins = match Origins::parse(list) {
        Ok(origins) => origins,
        Err(error) => return assert!(list.contains(&error.item) && !error.item.is_empty()),
    };
    let items: Vec<&str> = list.split(',').map(str::trim).filter(|item| !item.is_empty()).collect();
    let own = own.to_ascii_lowercase();
    assert!(origins.allow(&own, &own), "its own pages always may");
    let shown = origin.to_ascii_lowercase();
    let listed = items.iter().any(|item| *item == "*" || is_meant(&item.to_ascii_lowercase(), &shown));
    assert_eq!(origins.allow(origin, &own), listed || shown == own, "{origin} of {items:?}");
}

/// Says whether an item of the list means the origin.
fn is_meant(item: &str, origin: &str) -> bool {
    if let Some(host) = item.strip_suffix(":*") {
        let port = origin.strip_prefix(host).and_then(|rest| rest.strip_prefix(':'));
        return origin == host || port.is_some_and(|port| port.parse::<u16>().is_ok());
    }
    let without_default = match item.split_once("://") {
        Some(("http", rest)) => rest.strip_suffix(":80").map(|host| format!("http://{host}")),
        Some(("https", rest)) => rest.strip_suffix(":443").map(|host| format!("https://{host}")),
        Some(_) | None => None,
    };
    origin == without_default.as_deref().unwrap_or(item)
}
