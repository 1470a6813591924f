//! Every target in one binary: `NEWSREEL_TARGET` says which.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<newsreel_fuzz::Target> = LazyLock::new(|| {
    let name = std::env::var("NEWSREEL_TARGET").expect("NEWSREEL_TARGET names a target");
    newsreel_fuzz::target(&name).expect("NEWSREEL_TARGET is one of newsreel_fuzz::TARGETS")
});

fuzz_target!(|bytes: &[u8]| (TARGET.holds)(bytes));
