//! The platform's own spans: what Newsreel adds to the one that is open. Nothing happens where the platform records none.

use newsreel_core::wire::Traceparent;
use wasm_bindgen::prelude::*;

#[wasm_bindgen(module = "/src/spans.js")]
extern "C" {
    #[wasm_bindgen(js_name = setAttribute)]
    fn set_attribute(name: &str, value: &str);
}

/// Says on the span that is open which trace of a publisher its work belongs to.
///
/// The platform begins a trace of its own with each request, so the attribute `newsreel.traceparent` joins the two.
pub fn belongs_to(traceparent: &Traceparent) {
    set_attribute("newsreel.traceparent", traceparent.as_str());
}

/// Says on the span that is open which key it is about: the attribute `newsreel.key`.
pub fn about_key(key: &str) {
    set_attribute("newsreel.key", key);
}
