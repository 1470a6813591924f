//! Refusals of signed tokens. The tests take the signature of every well-formed token for right.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: UnixMillis = UnixMillis(1_800_000_000_000);
const SECRET: [u8; 32] = [7; 32];
const PUBLIC: [u8; 32] = [8; 32];

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn item(kid: &str, alg: &str, key: &[u8]) -> String {
    format!(r#"{{"kid":"{kid}","alg":"{alg}","key":"{}"}}"#, base64(key))
}

fn keys() -> Keys {
    let items = [item("old", "HS256", &SECRET), item("new", "EdDSA", &PUBLIC)];
    Keys::parse(&format!("[{}]", items.join(","))).unwrap()
}

fn token(header: &str, claims: &str) -> String {
    format!("{}.{}.{}", base64(header), base64(claims), base64("signature"))
}

/// Returns the caller of a token with a right signature, or the refusal.
fn authorize(header: &str, claims: &str, scope: Scope, catalog: &str) -> Result<Caller, Problem> {
    let claims = keys().read(&token(header, claims))?.verified(true)?;
    claims.authorize(NOW, scope, &Catalog::new(catalog).unwrap())
}

const OLD: &str = r#"{"alg":"HS256","kid":"old","typ":"JWT"}"#;
const NEW: &str = r#"{"alg":"EdDSA","kid":"new"}"#;
const FOLLOWS: &str = r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["follow"]}"#;

#[track_caller]
fn expect_refused(header: &str, claims: &str, code: Code) {
    let refused = authorize(header, claims, Scope::Follow, "tv").unwrap_err();
    assert_eq!(refused.kind(), code, "{header} {claims}");
}

#[test]
fn while_keys_are_rotated_tokens_of_both_pass_and_then_only_of_the_new() {
    for header in [OLD, NEW] {
        let caller = authorize(header, FOLLOWS, Scope::Follow, "tv").unwrap();
        let grant = Grant { until: Some(UnixMillis(1_800_000_060_000)), topics: Vec::new() };
        assert_eq!(caller, Caller { name: "app".into(), admin: false, grant });
    }
    let rotated = Keys::parse(&format!("[{}]", item("new", "EdDSA", &PUBLIC))).unwrap();
    assert!(rotated.read(&token(NEW, FOLLOWS)).is_ok());
    assert_eq!(rotated.read(&token(OLD, FOLLOWS)).unwrap_err().kind(), Code::Unauthorized);
}

#[test]
fn the_algorithm_is_the_keys_and_not_what_the_token_says() {
    for header in [
        r#"{"alg":"none","kid":"old"}"#,
        r#"{"alg":"none"}"#,
        r#"{"alg":"HS256","kid":"new"}"#,
        r#"{"alg":"EdDSA","kid":"old"}"#,
        r#"{"alg":"hs256","kid":"old"}"#,
        r#"{"alg":"HS512","kid":"old"}"#,
        r#"{"alg":["HS256"],"kid":"old"}"#,
    ] {
        expect_refused(header, FOLLOWS, Code::Unauthorized);
    }
}

#[test]
fn a_header_names_a_known_key_and_brings_none_along() {
    for header in [
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"HS256","kid":"other"}"#,
        r#"{"alg":"HS256","kid":""}"#,
        r#"{"alg":"HS256","kid":"old","kid":"other"}"#,
        r#"{"alg":"HS256","kid":"old","crit":["exp"]}"#,
        r#"{"alg":"HS256","kid":"old","jwk":{"kty":"oct","k":"AA"}}"#,
        r#"{"alg":"HS256","kid":"old","x5u":"https://evil.example"}"#,
        r#"{"alg":"HS256","kid":"old","jku":"https://evil.example"}"#,
        r#"{"alg":"HS256","kid":"old","typ":"JWE"}"#,
        r#"["HS256"]"#,
        "",
    ] {
        expect_refused(header, FOLLOWS, Code::Unauthorized);
    }
}

#[test]
fn without_the_right_signature_nothing_of_a_token_counts() {
    let (keys, token) = (keys(), token(OLD, FOLLOWS));
    let presented = keys.read(&token).unwrap();
    assert_eq!(
        (presented.key.algorithm, presented.signature.as_slice()),
        (Algorithm::Hs256, &b"signature"[..])
    );
    assert_eq!(format!("{}.{}", presented.signed, base64("signature")), token);
    assert_eq!(presented.verified(false).unwrap_err().kind(), Code::Unauthorized);
}

#[test]
fn what_is_no_token_is_not_known() {
    let (header, claims) = (base64(OLD), base64(FOLLOWS));
    for text in [
        String::new(),
        "..".to_owned(),
        header.clone(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}.s.s"),
        format!("{header}.{claims}.!"),
        format!("{header}=.{claims}.{claims}"),
        format!("!{header}.{claims}.{claims}"),
        format!("{header}.{claims}.{}", "A".repeat(MAX_TOKEN_BYTES)),
    ] {
        let keys = keys();
        let claims = keys.read(&text).and_then(|presented| presented.verified(true));
        assert_eq!(claims.unwrap_err().kind(), Code::Unauthorized, "{text}");
    }
    // In a payload the last character of base64 says more than the bytes: it has one right spelling.
    assert!(keys().read(&format!("{header}.{claims}.YQ")).is_ok());
    assert!(keys().read(&format!("{header}.{claims}.YR")).is_err());
}

#[test]
fn a_token_ends_at_exp_to_the_millisecond() {
    let claims = |exp: u64| format!(r#"{{"exp":{exp},"sub":"app","catalog":"tv","scopes":["follow"]}}"#);
    assert!(authorize(NEW, &claims(1_800_000_001), Scope::Follow, "tv").is_ok());
    assert!(authorize(NEW, &claims(u64::MAX), Scope::Follow, "tv").is_ok());
    for exp in [1_800_000_000, 1_799_999_999, 0] {
        expect_refused(NEW, &claims(exp), Code::Unauthorized);
    }
}

#[test]
fn dates_may_have_a_fraction() {
    let claims = |exp: &str| format!(r#"{{"exp":{exp},"sub":"app","catalog":"tv","scopes":["follow"]}}"#);
    for (exp, until) in [
        ("1800000000.25", 1_800_000_000_250),
        ("1800000060.0", 1_800_000_060_000),
        ("1.80000006e9", 1_800_000_060_000),
        ("1800000000.0014", 1_800_000_000_001),
    ] {
        let caller = authorize(NEW, &claims(exp), Scope::Follow, "tv").unwrap();
        assert_eq!(caller.grant.until, Some(UnixMillis(until)), "{exp}");
    }
    for exp in ["1799999999.999", "-1.5", "\"1800000060\"", "null"] {
        expect_refused(NEW, &claims(exp), Code::Unauthorized);
    }
    for name in ["nbf", "iat"] {
        let claims = |at: &str| FOLLOWS.replacen('{', &format!(r#"{{"{name}":{at},"#), 1);
        assert!(authorize(NEW, &claims("1799999999.5"), Scope::Follow, "tv").is_ok());
        expect_refused(NEW, &claims("1800000060.5"), Code::Unauthorized);
    }
}

#[test]
fn dates_in_milliseconds_are_told_so() {
    let in_ms = r#"{"exp":1800000060000,"sub":"app","catalog":"tv","scopes":["follow"]}"#;
    let iat_in_ms = FOLLOWS.replacen('{', r#"{"iat":1800000000000,"#, 1);
    for claims in [in_ms, &iat_in_ms] {
        let refused = authorize(NEW, claims, Scope::Follow, "tv").unwrap_err();
        assert_eq!((refused.kind(), refused.detail()), (Code::Unauthorized, IN_MILLISECONDS), "{claims}");
    }
    assert!(!is_in_milliseconds(253_402_300_799), "the end of the year 9999");
    assert!(!is_in_milliseconds(u64::MAX), "never");
}

#[test]
fn nbf_and_iat_may_be_a_minute_ahead() {
    for name in ["nbf", "iat"] {
        let claims = |at: u64| FOLLOWS.replacen('{', &format!(r#"{{"{name}":{at},"#), 1);
        assert!(authorize(NEW, &claims(1_800_000_060), Scope::Follow, "tv").is_ok());
        expect_refused(NEW, &claims(1_800_000_061), Code::Unauthorized);
        expect_refused(NEW, &claims(u64::MAX), Code::Unauthorized);
    }
}

#[test]
fn claims_that_are_missing_or_meaningless_are_none_and_of_two_the_last_counts() {
    for claims in [
        r#"{"sub":"app","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv"}"#,
        r#"{"exp":"1800000060","sub":"app","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":-1,"sub":"app","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1900000000,"exp":1700000000,"sub":"app","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"nbf":"1800000000","sub":"app","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":{"tv":true},"scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":[["tv"]],"scopes":["follow"]}"#,
        r#"["exp"]"#,
        r#"{"exp":1800000060,"sub":"","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app\n","catalog":"tv","scopes":["follow"]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":"follow"}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["follow","all"]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["follow"],"topics":[]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["follow"],"topics":[""]}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["follow"],"topics":"a:"}"#,
        r#"{"exp":1800000060,"sub":"app","catalog":"tv","scopes":["admin"],"topics":["a:"]}"#,
        r#"{"exp":1800000060"#,
        "",
    ] {
        expect_refused(OLD, claims, Code::Unauthorized);
    }
    let more = FOLLOWS.replacen('{', r#"{"iss":"us","aud":"them","#, 1);
    assert!(authorize(OLD, &more, Scope::Follow, "tv").is_ok(), "what is not ours is not read");
}

#[test]
fn topics_are_as_many_and_as_long_as_those_of_a_query() {
    let claims = |topics: &[String]| {
        let topics = serde_json::to_string(topics).unwrap();
        FOLLOWS.replacen('{', &format!(r#"{{"topics":{topics},"#), 1)
    };
    let (most, longest) = (vec!["a:".to_owned(); MAX_TOPICS], "a".repeat(MAX_TOPICS_BYTES));
    let caller = authorize(NEW, &claims(&most), Scope::Follow, "tv").unwrap();
    assert_eq!(caller.grant.topics, most);
    assert!(authorize(NEW, &claims(std::slice::from_ref(&longest)), Scope::Follow, "tv").is_ok());
    expect_refused(NEW, &claims(&vec!["a:".to_owned(); MAX_TOPICS + 1]), Code::Unauthorized);
    expect_refused(NEW, &claims(&[longest + "a"]), Code::Unauthorized);
}

#[test]
fn a_signed_token_reaches_its_catalogs_and_scopes_only() {
    let may = |catalog: &str, scopes: &str, scope, on: &str| {
        let claims = format!(r#"{{"exp":1800000060,"sub":"app","catalog":{catalog},"scopes":{scopes}}}"#);
        authorize(NEW, &claims, scope, on).map_err(|problem| problem.kind())
    };
    for (catalog, scopes, scope, on) in [
        (r#""tv""#, r#"["follow"]"#, Scope::Follow, "tv"),
        (r#"["fares","tv"]"#, r#"["publish","follow"]"#, Scope::Publish, "tv"),
        (r#""*""#, r#"["publish"]"#, Scope::Publish, "anything"),
        (r#"["*"]"#, r#"["publish"]"#, Scope::Publish, "anything"),
        (r#""tv""#, r#"["admin"]"#, Scope::Publish, "tv"),
    ] {
        let caller = may(catalog, scopes, scope, on).unwrap();
        assert_eq!(caller.admin, scopes.contains("admin"));
    }
    for (catalog, scopes, scope, on) in [
        (r#""tv""#, r#"["follow"]"#, Scope::Follow, "tv2"),
        (r#""tv""#, r#"["follow"]"#, Scope::Publish, "tv"),
        (r#""tv""#, r#"["publish","follow"]"#, Scope::Admin, "tv"),
        (r#""tv""#, r#"["admin"]"#, Scope::Admin, "fares"),
        (r#""tv""#, "[]", Scope::Follow, "tv"),
        ("[]", r#"["follow"]"#, Scope::Follow, "tv"),
    ] {
        assert_eq!(may(catalog, scopes, scope, on), Err(Code::Forbidden), "{catalog} {scopes} {on}");
    }
}

#[test]
fn keys_that_cannot_be_read_name_the_item_and_show_nothing_of_it() {
    let short = item("b", "HS256", b"secret-secret-secret-secret-sec");
    let good = item("a", "HS256", &SECRET);
    for (text, at) in [
        ("secret".to_owned(), 0),
        (r#"{"kid":"secret"}"#.to_owned(), 0),
        (r#"["secret"]"#.to_owned(), 1),
        (r#"[{"kid":"a","alg":"HS256","key":5}]"#.to_owned(), 1),
        (
            format!(
                r#"[{good},{}]"#,
                good.replacen('{', r#"{"more":"secret","#, 1).replacen("\"a\"", "\"b\"", 1)
            ),
            2,
        ),
        (r#"[{"kid":"a","alg":"none","key":"secret"}]"#.to_owned(), 1),
        (r#"[{"kid":"a","alg":"EdDSA","key":"secret!"}]"#.to_owned(), 1),
        (format!("[{good},{short}]"), 2),
        (format!("[{good},{good}]"), 2),
        (format!("[{good},{}]", item("", "HS256", &SECRET)), 2),
        (format!("[{}]", item("a", "EdDSA", &[1; 33])), 1),
    ] {
        let error = Keys::parse(&text).unwrap_err();
        assert_eq!(error.item, at, "{text}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let many: Vec<String> = (0..=MAX_TOKEN_KEYS).map(|n| item(&n.to_string(), "HS256", &SECRET)).collect();
    assert_eq!(Keys::parse(&format!("[{}]", many.join(","))).unwrap_err().item, MAX_TOKEN_KEYS + 1);
    assert!(Keys::parse(" ").unwrap().is_empty() && !keys().is_empty());
    assert_eq!(format!("{:?}", keys()), "Keys { items: [old (HS256), new (EdDSA)] }");
}
