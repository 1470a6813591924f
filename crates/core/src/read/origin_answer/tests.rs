//! Stories of origin answers: what is an entry, what says "not found", what is a failure, and for how long
//! each is kept.

use super::*;
use crate::read::policy::Policies;
use crate::wire::position::{Epoch, Position};
use crate::wire::{Key, UnixMillis};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

const NOW: UnixMillis = UnixMillis(784_111_777_000);
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// Policies in which `title` is fresh for two hours and stale for one. `more` is JSON of further fields.
fn policies(more: &str) -> Policies {
    Policies::from_json(&format!(r#"{{"title":{{"ttl_ms":7200000,"stale_for_ms":3600000{more}}}}}"#)).unwrap()
}

fn meaning(
    status: u16,
    headers: &[(&str, &str)],
    policies: &Policies,
) -> Result<OriginAnswer, OriginFailure> {
    let header = |name: &str| {
        let lines: Vec<&str> =
            headers.iter().filter(|(one, _)| *one == name).map(|(_, text)| *text).collect();
        (!lines.is_empty()).then(|| lines.join(", "))
    };
    OriginResponse { status, header: &header, received_at: NOW, on_workerd: true, fold_tags: false }
        .meaning(policies, "title")
}

#[track_caller]
fn value(headers: &[(&str, &str)]) -> OriginValue {
    match meaning(200, headers, &policies("")) {
        Ok(OriginAnswer::Value(value)) => value,
        other => panic!("no value: {other:?}"),
    }
}

/// Returns seconds of freshness and of staleness after it, and why nothing is stored.
#[track_caller]
fn kept(headers: &[(&str, &str)]) -> (u64, u64, Option<NotStored>) {
    let Keeping { not_stored, ttl, stale_for } = value(headers).keeping;
    (ttl.as_secs(), stale_for.as_secs(), not_stored)
}

fn said(cache_control: &str) -> (u64, u64, Option<NotStored>) {
    kept(&[("Cache-Control", cache_control)])
}

fn tags(value: &OriginValue) -> Vec<&str> {
    value.tags.iter().map(Tag::as_str).collect()
}

#[test]
fn only_200_is_a_value_and_404_and_410_are_not_found() {
    assert!(matches!(meaning(200, &[], &policies("")), Ok(OriginAnswer::Value(_))));
    for status in [404, 410] {
        assert!(matches!(meaning(status, &[], &policies("")), Ok(OriginAnswer::NotFound(_))), "{status}");
    }
    for status in [100, 201, 203, 204, 206, 300, 304, 305, 400, 401, 403, 418, 500, 503] {
        assert_eq!(meaning(status, &[], &policies("")), Err(OriginFailure::Status(status)));
    }
}

#[test]
fn a_redirect_is_a_failure_that_names_where_it_leads() {
    for status in [301, 302, 303, 307, 308] {
        let failure = meaning(status, &[("Location", "/login?a=1")], &policies("")).unwrap_err();
        let text = failure.to_string();
        assert!(text.contains(&status.to_string()) && text.contains("/login?a=1"), "{text}");
    }
    assert!(meaning(302, &[], &policies("")).unwrap_err().to_string().contains("302"));
    let long = "x".repeat(10_000);
    assert!(meaning(302, &[("Location", &long)], &policies("")).unwrap_err().to_string().len() < 1_000);
}

#[test]
fn tags_come_from_both_headers_each_once() {
    let both = value(&[("Cache-Tag", "a,b"), ("Cache-Tag", "c"), ("Surrogate-Key", "b d  e")]);
    assert_eq!(tags(&both), ["a", "b", "c", "d", "e"]);
    assert_eq!(tags(&value(&[("Surrogate-Key", "b a")])), ["b", "a"]);
    for header in ["Cache-Tag", "Surrogate-Key"] {
        let failure = meaning(200, &[(header, "ok,é")], &policies("")).unwrap_err().to_string();
        assert!(failure.starts_with(header), "{failure}");
    }
}

#[test]
fn tags_are_folded_where_a_deployment_says_so_and_are_then_there_once() {
    let header = |name: &str| (name == "Cache-Tag").then(|| "Platform:A, platform:a, B".to_owned());
    for (fold_tags, wanted) in [(false, &["Platform:A", "platform:a", "B"][..]), (true, &["platform:a", "b"])]
    {
        let response =
            OriginResponse { status: 200, header: &header, received_at: NOW, on_workerd: true, fold_tags };
        let Ok(OriginAnswer::Value(value)) = response.meaning(&policies(""), "title") else {
            panic!("it is a value");
        };
        assert_eq!(tags(&value), wanted);
    }
}

#[test]
fn a_header_that_an_answer_of_ours_cannot_carry_is_left_out() {
    assert_eq!(value(&[]).content_type, DEFAULT_TYPE);
    assert_eq!(value(&[("Content-Type", " ")]).content_type, DEFAULT_TYPE);
    assert_eq!(value(&[("Content-Type", "text/plain; x=é")]).content_type, "text/plain; x=é");
    assert_eq!(value(&[("Content-Type", "text/plain; x=映")]).content_type, DEFAULT_TYPE);
    for (sent, kept) in [
        ("\"rev,1\"", Some("\"rev,1\"")),
        (" W/\"a b\" ", Some("W/\"a b\"")),
        ("\"\"", Some("\"\"")),
        ("no-quotes", None),
        ("\"half", None),
        ("\"a\", \"b\"", None),
        ("\"映\"", None),
        ("w/\"a\"", None),
        ("", None),
    ] {
        assert_eq!(value(&[("ETag", sent)]).etag.as_deref(), kept, "{sent}");
    }
}

#[test]
fn a_length_counts_where_no_coding_has_to_be_undone() {
    assert_eq!(value(&[("Content-Length", "12")]).length, Some(12));
    assert_eq!(value(&[("Content-Length", "12"), ("Content-Encoding", "identity")]).length, Some(12));
    assert_eq!(value(&[("Content-Length", "12"), ("Content-Encoding", "gzip")]).length, None);
    assert_eq!(value(&[("Content-Length", "-1")]).length, None);
}

#[test]
fn codings_are_undone_in_turn_or_named() {
    use Coding::{Deflate, Gzip};
    let undone = |header: &str, on_workerd: bool| {
        let header = |name: &str| (name == "Content-Encoding").then(|| header.to_owned());
        OriginResponse { status: 200, header: &header, received_at: NOW, on_workerd, fold_tags: false }.list()
    };
    for (header, codings, on_workerd) in [
        ("", &[][..], &[][..]),
        ("identity", &[], &[]),
        ("gzip", &[Gzip], &[]),
        ("GZIP", &[Gzip], &[Gzip]),
        ("x-gzip", &[Gzip], &[Gzip]),
        ("deflate", &[Deflate], &[Deflate]),
        ("identity, gzip", &[Gzip], &[Gzip]),
        ("deflate,, gzip", &[Gzip, Deflate], &[Gzip, Deflate]),
    ] {
        assert_eq!(undone(header, false).unwrap(), codings, "{header}");
        assert_eq!(undone(header, true).unwrap(), on_workerd, "{header} on workerd");
    }
    assert_eq!(undone("br", true), Ok(Vec::new()), "workerd does");
    assert_eq!(undone("br", false), Err(OriginFailure::Coding("br".to_owned())));
    assert_eq!(undone("BR", true), Err(OriginFailure::Coding("BR".to_owned())));
    assert_eq!(undone("br, gzip", true), Err(OriginFailure::Coding("br".to_owned())));
    for header in ["zstd", "compress", "aes128gcm", "gzip, zstd", "dcb"] {
        let failure = meaning(200, &[("Content-Encoding", header)], &policies("")).unwrap_err();
        let coding = header.rsplit(' ').next().unwrap();
        assert_eq!(failure, OriginFailure::Coding(coding.to_owned()));
        assert!(failure.to_string().contains(coding), "{failure}");
    }
}

#[test]
fn private_and_no_store_are_stored_nowhere() {
    for (text, why) in [
        ("no-store", NotStored::NoStore),
        ("Private", NotStored::Private),
        ("max-age=60, private", NotStored::Private),
        ("private=\"set-cookie\", max-age=60", NotStored::Private),
        ("private, no-store", NotStored::NoStore),
        ("public, NO-STORE", NotStored::NoStore),
        ("no-cache", NotStored::NoCache),
        ("no-cache=\"a, b\"", NotStored::NoCache),
        ("max-age=0", NotStored::NoCache),
        ("s-maxage=0, max-age=60", NotStored::NoCache),
    ] {
        assert_eq!(said(text).2, Some(why), "{text}");
    }
    let missing = meaning(404, &[("Cache-Control", "private")], &policies("")).unwrap();
    assert!(matches!(missing, OriginAnswer::NotFound(Keeping { not_stored: Some(NotStored::Private), .. })));
    for (why, wanted) in [(NotStored::NoStore, "no-store"), (NotStored::NoCache, "no-cache")] {
        assert_eq!(why.cache_control(), wanted);
    }
    assert!(NotStored::Private.cache_control().starts_with("private,"));
}

#[test]
fn an_origin_shortens_what_the_class_promises_and_never_lengthens_it() {
    let (ttl, stale_for) = (7_200, 3_600);
    for (text, wanted) in [
        ("", (ttl, stale_for)),
        ("public", (ttl, stale_for)),
        ("max-age=60", (60, stale_for)),
        ("max-age=\"60\"", (60, stale_for)),
        ("max-age=999999999999999999999", (ttl, stale_for)),
        ("max-age=60, max-age=5", (60, stale_for)),
        ("max-age=60, s-maxage=30", (30, 0)),
        ("s-maxage=30, stale-while-revalidate=10", (30, 10)),
        ("max-age=60, stale-if-error=20, stale-while-revalidate=10", (60, 20)),
        ("max-age=60, stale-while-revalidate=99999", (60, stale_for)),
        ("max-age=60, must-revalidate, stale-if-error=9", (60, 0)),
        ("proxy-revalidate", (ttl, 0)),
        ("max-age=0, stale-while-revalidate=9", (0, 9)),
        ("extension=\"a, no-store, b\", max-age=60", (60, stale_for)),
        ("extension=\"a\\\", private\", max-age=60", (60, stale_for)),
    ] {
        assert_eq!(said(text), (wanted.0, wanted.1, None), "{text}");
    }
    for nonsense in ["max-age=", "max-age", "max-age=-1", "max-age=1.5", "max-age=a"] {
        assert_eq!(said(nonsense).2, Some(NotStored::NoCache), "{nonsense} is to be taken for stale");
    }
}

#[test]
fn expires_counts_from_date_where_no_directive_says_more() {
    let date = ("Date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let expires = |text| kept(&[date, ("Expires", text)]);
    assert_eq!(expires("Sun, 06 Nov 1994 08:50:37 GMT").0, 60);
    assert_eq!(expires("Sunday, 06-Nov-94 08:50:37 GMT").0, 60);
    assert_eq!(expires("Sun Nov  6 08:50:37 1994").0, 60);
    for past in ["0", "-1", "Sun, 06 Nov 1994 08:49:37 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", ""] {
        assert_eq!(expires(past).2, Some(NotStored::NoCache), "{past}");
    }
    let later = ("Expires", "Sun, 06 Nov 1994 09:49:37 GMT");
    assert_eq!(kept(&[later]).0, 3_600, "without a Date by our clock");
    assert_eq!(kept(&[later, ("Cache-Control", "max-age=5")]).0, 5);
    assert_eq!(kept(&[later, date, ("Age", "600")]).0, 3_000, "a cache in front has used a part");
    assert_eq!(kept(&[("Age", "600")]).0, 7_200, "of a lifetime that the origin gave");
    assert_eq!(kept(&[("Age", "-1"), ("Cache-Control", "max-age=5")]).0, 5);
}

#[test]
fn a_class_may_ignore_what_the_origin_says_of_time_and_never_private_or_no_store() {
    let policies = policies(r#","origin_cache_control":"ignore""#);
    let ignored = |text: &str| {
        let answer = meaning(200, &[("Cache-Control", text), ("Expires", "0")], &policies).unwrap();
        let OriginAnswer::Value(OriginValue { keeping, .. }) = answer else { panic!("{answer:?}") };
        assert_eq!((keeping.ttl, keeping.stale_for), (2 * HOUR, HOUR), "{text}");
        keeping.not_stored
    };
    for text in ["no-cache", "max-age=0", "s-maxage=0, must-revalidate", "no-cache=\"set-cookie\""] {
        assert_eq!(ignored(text), None, "{text}");
    }
    for (text, why) in [
        ("private", NotStored::Private),
        ("no-store", NotStored::NoStore),
        ("no-cache, private, max-age=0", NotStored::Private),
        ("private=\"set-cookie\"", NotStored::Private),
    ] {
        assert_eq!(ignored(text), Some(why), "{text}");
    }
}

#[test]
fn what_varies_is_stored_where_the_policy_allows_it_and_by_everything_never() {
    let varies = |allowed: &str, vary: &str| {
        let both = ["respect", "ignore"].map(|word| {
            let more = format!(r#","origin_vary":[{allowed}],"origin_cache_control":"{word}""#);
            match meaning(200, &[("Vary", vary)], &policies(&more)).unwrap() {
                OriginAnswer::Value(value) => value.keeping.not_stored,
                OriginAnswer::NotFound(_) => panic!("it is found"),
            }
        });
        let [respecting, ignoring] = both;
        assert_eq!(respecting, ignoring, "whatever is done about Cache-Control");
        respecting
    };
    let by = |name: &str| Some(NotStored::Vary(name.to_owned()));
    assert_eq!(varies("", "accept-encoding,, Accept-Encoding"), None);
    assert_eq!(varies("", ""), None);
    assert_eq!(varies("", "Accept-Encoding, Cookie"), by("Cookie"));
    assert_eq!(varies(r#""Origin","ACCEPT""#, "origin, Accept"), None);
    assert_eq!(varies(r#""Origin""#, "Origin, Cookie"), by("Cookie"));
    assert_eq!(varies(r#""Origin""#, "*"), by("*"));
}

#[test]
fn an_envelope_lives_as_long_as_the_answer_may_be_kept() {
    let read = ReadMachine::new(Key::new("title:1").unwrap(), policies("").of("title"), None);
    let position = Position::genesis(Epoch::new(UnixMillis(1), [0; 10]));
    let headers = [("Cache-Control", "max-age=60"), ("ETag", "\"x\""), ("Cache-Tag", "a")];
    let envelope = value(&headers).envelope(&read, position, NOW, || unreachable!("it has a tag"));
    assert_eq!((envelope.expires_at, envelope.stale_until), (NOW.plus(MINUTE), NOW.plus(HOUR + MINUTE)));
    assert_eq!((envelope.etag.as_str(), envelope.found, envelope.tags.len()), ("\"x\"", true, 1));
    assert_eq!(envelope.not_stored, None);
    let own = value(&[("Cache-Control", "private")]).envelope(&read, position, NOW, || "\"own\"".to_owned());
    assert_eq!((own.etag.as_str(), own.not_stored), ("\"own\"", Some(NotStored::Private)));
    let OriginAnswer::NotFound(keeping) = meaning(410, &[], &policies("")).unwrap() else {
        panic!("it is gone")
    };
    let missing = keeping.envelope(&read, position, NOW);
    assert_eq!((missing.found, missing.expires_at), (false, NOW.plus(2 * HOUR)));
}

#[test]
fn dates_are_read_in_their_three_forms() {
    assert_eq!(http_date::parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(NOW));
    assert_eq!(http_date::parse("Thu, 01 Jan 1970 00:00:00 GMT"), Some(UnixMillis(0)));
    assert_eq!(http_date::parse("Tue, 29 Feb 2000 23:59:59 GMT"), Some(UnixMillis(951_868_799_000)));
    assert_eq!(http_date::parse("Fri, 31 Dec 9999 23:59:59 GMT"), Some(UnixMillis(253_402_300_799_000)));
    for none in [
        "Wed, 31 Dec 1969 23:59:59 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 06 Now 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49 GMT",
        "Sun, 06 Nov 1994 08:49:37:1 GMT",
        "06 Nov 1994",
        "",
    ] {
        assert_eq!(http_date::parse(none), None, "{none}");
    }
}
