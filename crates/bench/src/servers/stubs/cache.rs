//! The Cache API as workerd speaks to it: a `PUT` brings a whole HTTP answer as its body, a `GET` gets that answer back.

use http_body_util::Full;
use hyper::{Method, Response, StatusCode};

use super::{Answer, Asked, Store, Stored, empty};

pub(super) fn answer(store: &Store, asked: &Asked) -> Option<Answer> {
    if asked.method == Method::PUT {
        store.set(&asked.path, Stored { bytes: asked.body.clone(), about: String::new() });
        return Some(empty(StatusCode::NO_CONTENT));
    }
    let Some(stored) = store.get(&asked.path) else {
        // Without this status of Cloudflare's cache, workerd takes the answer for a failure.
        return Response::builder().status(504).header("cf-cache-status", "MISS").body(Full::default()).ok();
    };
    let end = stored.bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(stored.bytes.get(..end)?).ok()?;
    let mut answer = Response::builder().header("cf-cache-status", "HIT");
    for (name, value) in head.lines().skip(1).filter_map(|line| line.split_once(": ")) {
        let of_the_connection = ["content-length", "transfer-encoding", "connection"];
        if !of_the_connection.contains(&name.to_lowercase().as_str()) {
            answer = answer.header(name, value);
        }
    }
    answer.body(Full::new(stored.bytes.slice(end + 4..))).ok()
}
