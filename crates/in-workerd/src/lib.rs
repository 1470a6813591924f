//! The Rust side of tests inside workerd: the global `workerd` that `scripts/in-workerd/worker.mjs` gives every
//! `#[wasm_bindgen_test]`.
//!
//! ```ignore
//! #[wasm_bindgen_test]
//! async fn a_row_is_there_after_the_object_was_evicted() {
//!     in_object("rows", async |state| Rows::open(&state)?.append(&row)).await;
//! }
//! ```
//!
//! For tests only: a failure panics with its reason.

pub mod sql;

use std::cell::RefCell;
use std::fmt::{Display, Formatter};
use std::panic::AssertUnwindSafe;
use std::rc::Rc;

use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use worker::{Env, Request, Response, State};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(thread_local_v2, js_namespace = workerd, js_name = env)]
    static ENV: JsValue;

    #[wasm_bindgen(js_namespace = workerd, js_name = inObject)]
    fn js_in_object(name: &str, f: &JsValue) -> Promise;
    #[wasm_bindgen(js_namespace = workerd, js_name = nextAlarm)]
    fn js_next_alarm(name: &str) -> Promise;
    #[wasm_bindgen(js_namespace = workerd, js_name = evict)]
    fn js_evict(class: &str, name: &str, sockets: &str) -> Promise;
    #[wasm_bindgen(js_namespace = workerd, js_name = watch)]
    fn js_watch(target: &JsValue, method: &str) -> Array;
    #[wasm_bindgen(js_namespace = workerd, js_name = expectPanic)]
    fn js_expect_panic(ends: bool);
    #[wasm_bindgen(js_namespace = workerd, js_name = object)]
    fn js_object(class: &str, name: &str) -> Stub;

    type Stub;
    #[wasm_bindgen(method, js_name = fetch)]
    fn js_fetch(this: &Stub, request: &JsValue) -> Promise;
}

/// The fate of an object's hibernatable sockets when the object is evicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sockets {
    /// The sockets stay open, as when the object hibernates.
    Hibernate,
    /// The sockets close, as when the platform moves the object.
    Close,
}

/// Returns the bindings: `ENTRIES` (KV), `COPIES` (R2), and one for each Durable Object class of the crate under test.
#[must_use]
pub fn env() -> Env {
    ENV.with(|env| env.clone().unchecked_into())
}

/// Runs `f` as one event of the Durable Object with this name, and returns the result of `f`.
///
/// # Panics
/// When `f` panicked, or the platform could not reach the object.
pub async fn in_object<T: 'static>(name: &str, f: impl AsyncFnOnce(State) -> T + 'static) -> T {
    try_in_object(name, f).await.unwrap_or_else(|error| panic!("in the object {name}: {error}"))
}

/// Runs `f` in a Durable Object, where `f` panics; returns the message of the panic.
///
/// # Panics
/// When `f` does not panic.
pub async fn panics_in_object(name: &str, f: impl AsyncFnOnce(State) + 'static) -> String {
    js_expect_panic(true);
    try_in_object(name, f).await.expect_err("it was to panic").to_string()
}

/// The reason that code in an object has no result.
#[derive(Debug)]
enum ObjectError {
    /// The code panicked, or the platform could not reach the object.
    Thrown(JsValue),
    /// The event ended before the code did.
    Unfinished,
}

impl Display for ObjectError {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Thrown(thrown) => f.write_str(&text_of(thrown)),
            Self::Unfinished => f.write_str("it returned nothing"),
        }
    }
}

async fn try_in_object<T: 'static>(
    name: &str,
    f: impl AsyncFnOnce(State) -> T + 'static,
) -> Result<T, ObjectError> {
    let returned = Rc::new(RefCell::new(None));
    let kept = Rc::clone(&returned);
    let body = Closure::once_into_js(move |state: JsValue, _env: JsValue| {
        let state = State::from(state.unchecked_into::<worker::worker_sys::DurableObjectState>());
        future_to_promise(AssertUnwindSafe(async move {
            let value = f(state).await;
            *kept.borrow_mut() = Some(value);
            Ok(JsValue::UNDEFINED)
        }))
    });
    JsFuture::from(js_in_object(name, &body)).await.map_err(ObjectError::Thrown)?;
    returned.take().ok_or(ObjectError::Unfinished)
}

/// Allows a panic in an object, which some code catches, without failing the test.
pub fn expect_panic() {
    js_expect_panic(false);
}

/// Resolves when the object's alarm has rung once more since the last wait for it.
pub async fn next_alarm(name: &str) {
    wait(js_next_alarm(name)).await;
}

/// Sends a request to a Durable Object of a class of the crate under test.
///
/// # Panics
/// When the object's event failed.
pub async fn fetch(class: &str, name: &str, request: Request) -> Response {
    let fetched = JsFuture::from(js_object(class, name).js_fetch(request.inner().as_ref())).await;
    let response = fetched.unwrap_or_else(|error| panic!("{class} {name}: {}", text_of(&error)));
    Response::from(response.unchecked_into::<worker::web_sys::Response>())
}

/// Evicts a Durable Object from memory; the next event creates it again.
///
/// # Panics
/// When the runner cannot evict the object.
pub async fn evict(class: &str, name: &str, sockets: Sockets) {
    let sockets = match sockets {
        Sockets::Hibernate => "hibernate",
        Sockets::Close => "close",
    };
    wait(js_evict(class, name, sockets)).await;
}

/// The SQL statements that an object runs after this was created, without line breaks and indents.
#[derive(Debug)]
pub struct Statements(Array);

impl Statements {
    /// Watches the object's SQLite.
    ///
    /// # Panics
    /// When the object has none.
    #[must_use]
    pub fn of(state: &State) -> Self {
        let storage = state.storage();
        let sql = Reflect::get(storage.as_raw().as_ref(), &"sql".into()).expect("the storage has SQLite");
        Self(js_watch(&sql, "exec"))
    }

    /// Returns the statements, in order.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.iter().filter_map(|query| Some(on_one_line(&query.as_string()?))).collect()
    }

    /// Returns the statements in the text of a source that did not run. Every string that begins like a statement counts.
    #[must_use]
    pub fn missing_of(&self, source: &str) -> Vec<String> {
        let ran = self.all();
        let written = statements_in(source);
        assert!(!written.is_empty(), "the source has statements");
        written.into_iter().filter(|one| !ran.iter().any(|ran| ran.starts_with(one))).collect()
    }

    /// Returns those of these statements, each the text of a `.sql` file, of which none ran.
    #[must_use]
    pub fn missing_in<'a>(&self, files: &[&'a str]) -> Vec<&'a str> {
        let ran = self.all();
        files.iter().copied().filter(|file| !ran.contains(&on_one_line(file))).collect()
    }
}

/// Returns the statements in a Rust source, each up to where it is filled in.
fn statements_in(source: &str) -> Vec<String> {
    const VERBS: [&str; 6] = ["SELECT ", "INSERT ", "DELETE ", "WITH ", "CREATE ", "UPDATE "];
    // A line of a string that ends with a backslash goes on where the next begins.
    let lines: Vec<&str> = source.split("\\\n").collect();
    let source = lines.iter().map(|line| line.trim_start()).collect::<String>();
    let strings = source.split('"').skip(1).step_by(2);
    let queries = strings.filter(|text| VERBS.iter().any(|verb| text.starts_with(verb)));
    queries
        .map(|query| on_one_line(query.split('{').next().unwrap_or_default().trim_end_matches('\\')))
        .collect()
}

fn on_one_line(query: &str) -> String {
    query.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn wait(promise: Promise) {
    if let Err(error) = JsFuture::from(promise).await {
        panic!("{}", text_of(&error));
    }
}

fn text_of(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.unwrap_or_else(|| format!("{thrown:?}"))
}
