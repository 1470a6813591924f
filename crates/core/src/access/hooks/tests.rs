//! Declarations of hooks: what is taken, and what each mistake is told as.

use std::time::Duration;

use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::*;

fn read(declared: Value) -> Result<Hooks, Vec<String>> {
    Hooks::read(Some(&declared)).map_err(|error| error.0)
}

fn one(fields: Value) -> Result<Hook, Vec<String>> {
    read(json!({ "h": fields })).map(|hooks| hooks.iter().next().cloned().unwrap())
}

#[test]
fn a_hook_has_a_scheme_the_names_of_its_secrets_and_a_mapping() {
    let declared = json!({
        "netflix": { "scheme": "standard-webhooks", "secret": "NETFLIX_HOOK", "map": [{ "key": "title:{id}" }] },
        "gh": { "scheme": "github", "secret": ["GH_NEW", "GH_OLD"], "mapping": "[[map]]", "catalog": "tv", "window_s": 60 },
    });
    let hooks = read(declared.clone()).unwrap();
    assert_eq!(
        Hooks::read(Some(&Value::String(declared.to_string()))),
        Ok(hooks.clone()),
        "the same as JSON"
    );
    let (tv, fares) = (Catalog::new("tv").unwrap(), Catalog::new("fares").unwrap());
    let netflix = hooks.of("netflix", &fares).unwrap();
    assert_eq!(
        (netflix.window, netflix.secrets.as_slice()),
        (DEFAULT_WINDOW, &["NETFLIX_HOOK".to_owned()][..])
    );
    assert_eq!(hooks.of("gh", &tv).unwrap().window, Duration::from_secs(60));
    assert_eq!(hooks.of("gh", &fares), None, "a hook with a catalog publishes to no other");
    assert_eq!((hooks.of("Netflix", &tv), hooks.of("", &tv)), (None, None));
    for none in [None, Some(Value::Null), Some(json!("  ")), Some(json!({}))] {
        assert_eq!(Hooks::read(none.as_ref()), Ok(Hooks::default()));
    }
}

#[test]
fn an_hmac_says_its_header_and_the_rest_has_defaults() {
    let Scheme::Hmac(hmac) =
        one(json!({ "scheme": "hmac", "secret": "S", "header": "X-Sig", "map": [] })).unwrap().scheme
    else {
        panic!("an hmac")
    };
    assert_eq!((hmac.hash, hmac.encoding, hmac.prefix.as_str()), (HashName::Sha256, Encoding::Hex, ""));
    assert_eq!(hmac.signed, [SignedPart::Body]);
    let timed =
        json!({ "scheme": "hmac", "secret": "S", "header": "X-Sig", "timestamp": "X-Time", "map": [] });
    let Scheme::Hmac(timed) = one(timed).unwrap().scheme else { panic!("an hmac") };
    let text = |text: &str| SignedPart::Text(text.to_owned());
    assert_eq!(timed.signed, [SignedPart::Timestamp, text("."), SignedPart::Body]);
    let parts = SignedPart::read("v0:{id}:{timestamp}:{body}!").unwrap();
    let expected = [
        text("v0:"),
        SignedPart::Id,
        text(":"),
        SignedPart::Timestamp,
        text(":"),
        SignedPart::Body,
        text("!"),
    ];
    assert_eq!(parts, expected);
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_write() {
    let mistakes = read(json!({
        "a b": {},
        "b": "github",
        "c": { "secret": "S", "map": [] },
        "d": { "scheme": "gitlab", "secret": "S", "map": [], "colour": 1, "catalog": "TV", "window_s": "300" },
        "e": { "scheme": "stripe", "map": [1], "header": "X" },
        "f": { "scheme": "token", "secret": "S", "map": [], "mapping": "" },
        "g": { "scheme": "hmac", "secret": ["S", "whsec_abc"], "hash": "md5", "header": "X Y", "signed": "{time}", "id": "a b" },
        "h": { "scheme": "hmac", "secret": "S", "header": "X", "signed": "{timestamp}{body}", "map": [] },
    }))
    .unwrap_err();
    let expected = [
        ("HOOKS.a b is no name", "a-z"),
        ("HOOKS.b is a table", "[vars.HOOKS.b]"),
        ("HOOKS.c.scheme: is missing", "standard-webhooks, svix, github"),
        ("HOOKS.d.scheme: \"gitlab\" is none", "standard-webhooks"),
        ("HOOKS.d.colour: there is no such field", "window_s"),
        ("HOOKS.d.catalog:", "a-z"),
        ("HOOKS.d.window_s:", "without quotes"),
        ("HOOKS.e.header: only", "hmac"),
        ("HOOKS.e.secret: is missing", "wrangler secret put"),
        ("HOOKS.e.map: is a list of tables", "[[vars.HOOKS.e.map]]"),
        ("HOOKS.f.secret: the scheme \"token\"", "remove"),
        ("HOOKS.f.map: write mapping or map", "not both"),
        ("HOOKS.g.header: write the name", "header"),
        ("HOOKS.g.hash: \"md5\" is none of", "sha1, sha256, sha512"),
        ("HOOKS.g.signed:", "{id}, {timestamp} and {body}"),
        ("HOOKS.g.secret: name 2", "never the secret itself"),
        ("HOOKS.g.id:", "JSON pointer"),
        ("HOOKS.g.map: is missing", "mapping file"),
        ("HOOKS.h.signed: {timestamp}", "both or none"),
    ];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:#?}");
    for (mistake, (begins, says)) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(begins) && mistake.contains(says), "{mistake}: {begins} … {says}");
        assert!(!mistake.contains("whsec_abc"), "a secret that stands here by mistake is not repeated");
    }
    assert!(Hooks::read(Some(&json!([]))).unwrap_err().to_string().contains("[vars.HOOKS.<name>]"));
    assert!(Hooks::read(Some(&json!("{"))).unwrap_err().to_string().contains("the JSON of one"));
}
