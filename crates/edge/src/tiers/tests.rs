//! The tiers on real KV and R2, inside workerd.

use newsreel_core::read::cache::Envelope;
use newsreel_in_workerd::env;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::wasm_bindgen_test as test;
use worker::web_sys::{ReadableStream, Response};

use super::entry::HEAD_BYTES;
use super::r2::Seen;
use super::{Body, Entry, KV_VALUE_BYTES, SMALL_BYTES, kv, memory::tests::entry, r2};

const NAME: &str = "tv/01ARYZ6S410000000000000000/title:1";

/// Returns an entry whose value has this many bytes, none of them text.
fn of_size(version: u64, bytes: u32) -> Entry {
    let mut entry = entry(version, b"");
    entry.body = Body::of(js_sys::Uint8Array::new_with_length(bytes).fill(0xff, 0, bytes));
    entry
}

fn bytes(entry: &Entry) -> Vec<u8> {
    entry.body.bytes().expect("they are at hand").to_vec()
}

fn stream(bytes: u32) -> ReadableStream {
    let array = js_sys::Uint8Array::new_with_length(bytes);
    Response::new_with_opt_buffer_source(Some(&array)).unwrap().body().unwrap()
}

#[test]
async fn kv_gives_back_what_was_put_text_and_bytes_small_and_large() {
    assert!(kv::get(&env(), NAME).await.unwrap().is_none());
    let odd = [0, 0xff, b'"', 0xe2, 0x28];
    for (nth, put) in
        [entry(7, "\u{6620}\u{753b}".as_bytes()), entry(7, b""), entry(7, &odd), of_size(7, SMALL_BYTES + 1)]
            .into_iter()
            .enumerate()
    {
        let name = format!("{NAME}@{nth}");
        kv::put(&env(), &name, put.clone(), 3).await.unwrap();
        let got = kv::get(&env(), &name).await.unwrap().expect("it is there");
        assert_eq!((&got.envelope, bytes(&got)), (&put.envelope, bytes(&put)), "{nth}");
    }
}

#[test]
async fn kv_is_asked_for_many_names_at_once_and_says_which_are_no_text() {
    kv::put(&env(), "text", entry(1, b"one"), 0).await.unwrap();
    kv::put(&env(), "bytes", entry(2, &[0xff]), 0).await.unwrap();
    let names = ["text", "nothing", "bytes"].map(str::to_owned);
    let found = kv::get_many(&env(), &names).await;
    assert_eq!(found["text"].as_ref().map(bytes), Some(b"one".to_vec()));
    assert!(found["nothing"].is_none());
    assert!(!found.contains_key("bytes"), "it has to be asked for alone");
}

#[test]
async fn what_another_program_wrote_is_a_miss_and_what_is_deleted_is_gone() {
    let namespace = env().kv("ENTRIES").unwrap();
    namespace.put(NAME, "not ours").unwrap().execute().await.unwrap();
    assert!(kv::get(&env(), NAME).await.unwrap().is_none());
    kv::put(&env(), "ours", entry(1, b"one"), 0).await.unwrap();
    kv::delete(&env(), "ours").await.unwrap();
    assert!(kv::get(&env(), "ours").await.unwrap().is_none());
}

#[test]
async fn kv_metadata_says_how_new_and_how_hot_an_entry_is() {
    kv::put(&env(), NAME, entry(7, b"one"), 12).await.unwrap();
    let (_, metadata) =
        env().kv("ENTRIES").unwrap().get(NAME).text_with_metadata::<serde_json::Value>().await.unwrap();
    assert_eq!(metadata, Some(serde_json::json!({ "version": 7, "popularity": 12 })));
}

#[test]
async fn writes_of_one_name_are_joined_and_the_newest_is_what_stays() {
    let (env, first, second) = (env(), entry(1, b"first"), entry(2, b"second"));
    let writes = futures_util::future::join(kv::put(&env, NAME, first, 0), kv::put(&env, NAME, second, 0));
    let (first, second) = writes.await;
    assert!(first.is_ok() && second.is_ok());
    assert_eq!(kv::get(&env, NAME).await.unwrap().map(|entry| bytes(&entry)), Some(b"second".to_vec()));
}

#[test]
async fn s2_r2_keeps_the_newest_whatever_the_order_of_its_writers() {
    let env = env();
    assert!(matches!(r2::get(&env, NAME).await.unwrap(), (None, Seen::Nothing)));
    r2::put(&env, NAME, &entry(5, b"five"), Some(Seen::Nothing)).await.unwrap();
    r2::put(&env, NAME, &entry(4, b"four"), None).await.unwrap();
    // A writer that saw no object there writes on a condition that no longer holds; R2 refuses, and
    // the writer looks again.
    r2::put(&env, NAME, &entry(3, b"three"), Some(Seen::Nothing)).await.unwrap();
    let (held, seen) = r2::get(&env, NAME).await.unwrap();
    assert_eq!(bytes(&held.unwrap()), b"five");
    r2::put(&env, NAME, &entry(6, b"six"), Some(seen.clone())).await.unwrap();
    r2::put(&env, NAME, &entry(5, b"a late five"), Some(seen)).await.unwrap();
    let (held, _) = r2::get(&env, NAME).await.unwrap();
    assert_eq!(bytes(&held.unwrap()), b"six", "what was seen is not there any more");
}

#[test]
async fn s2_two_writers_at_once_leave_the_newer() {
    let env = env();
    let (older, newer) = (entry(1, b"older"), entry(2, b"newer"));
    for round in 0..10 {
        let name = format!("{NAME}-{round}");
        let (older, newer) = (r2::put(&env, &name, &older, None), r2::put(&env, &name, &newer, None));
        let (older, newer) = futures_util::future::join(older, newer).await;
        assert!(older.is_ok() && newer.is_ok());
        let (held, _) = r2::get(&env, &name).await.unwrap();
        assert_eq!(bytes(&held.unwrap()), b"newer", "{round}");
    }
}

#[test]
async fn a_value_that_is_too_large_for_kv_streams_through_r2_and_back() {
    let env = env();
    let length = KV_VALUE_BYTES + 1;
    let envelope = entry(7, b"").envelope;
    let taken =
        r2::take(&env, NAME, Envelope::clone(&envelope), &stream(length), u64::from(length)).await.unwrap();
    let (held, _) = r2::get(&env, NAME).await.unwrap();
    let held = held.unwrap();
    assert_eq!((held.envelope, held.body.length()), (envelope, u64::from(length)));
    let Body::Stored(stored) = &taken.body else { panic!("its bytes stay in R2") };
    let part =
        r2::read(&env, stored, u64::from(length) - 3, 3).await.unwrap().expect("it is the same object");
    let part = Response::new_with_opt_readable_stream(Some(&part)).unwrap();
    let buffer = worker::wasm_bindgen_futures::JsFuture::from(part.array_buffer().unwrap()).await.unwrap();
    assert_eq!(buffer.unchecked_into::<js_sys::ArrayBuffer>().byte_length(), 3);
    r2::put(&env, NAME, &entry(8, b"newer"), None).await.unwrap();
    assert!(r2::read(&env, stored, 0, 3).await.unwrap().is_none(), "another object is not read in its place");
}

#[test]
async fn a_stream_that_breaks_off_leaves_what_was_there() {
    let env = env();
    r2::put(&env, NAME, &entry(1, b"before"), None).await.unwrap();
    let longer = u64::from(KV_VALUE_BYTES) + 100;
    let failed =
        r2::take(&env, NAME, Envelope::clone(&entry(2, b"").envelope), &stream(KV_VALUE_BYTES), longer).await;
    assert!(failed.is_err(), "it was to have {longer} bytes");
    let (held, _) = r2::get(&env, NAME).await.unwrap();
    assert_eq!(bytes(&held.unwrap()), b"before");
}

#[test]
fn an_entry_that_is_longer_than_its_head_is_read_without_its_value() {
    let large = of_size(7, HEAD_BYTES + SMALL_BYTES);
    let back = Entry::from_array(&large.to_array().unwrap()).unwrap();
    assert!(matches!(back.body, Body::Array(_)), "its bytes stay JavaScript's");
    assert_eq!((back.envelope, back.body.length()), (large.envelope, u64::from(HEAD_BYTES + SMALL_BYTES)));
}

#[test]
async fn what_is_not_bound_is_an_error_that_names_it() {
    let none: worker::Env = js_sys::Object::new().unchecked_into::<JsValue>().unchecked_into();
    let kv = kv::get(&none, NAME).await.unwrap_err().to_string();
    let r2 = r2::get(&none, NAME).await.unwrap_err().to_string();
    assert!(kv.contains("ENTRIES") && r2.contains("COPIES"), "{kv} {r2}");
}
