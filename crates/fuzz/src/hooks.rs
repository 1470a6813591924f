//! A hook's declaration and a request to it: nothing but a secret of the hook proves a request, and what a message publishes a
//! broker takes.

use newsreel_core::access::hooks::Hooks;
use newsreel_core::wire::dead_letters::Settle;
use newsreel_core::wire::{Catalog, PublishLine, UnixMillis};
use newsreel_hooks::verify::Secret;
use newsreel_hooks::{Arrival, Headers, HookMessage, HookRequest, Incoming, Proof, mapping_of, sign, verify};
use serde_json::Value;

use crate::memory::assert_bounded;
use crate::routes::check_problem;

/// A key of every scheme, which no input can know: it is longer than what a mutation writes.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const NOW: UnixMillis = UnixMillis(1_614_265_330_000);

/// The value of `HOOKS` on the first line; then headers, an empty line, and the body.
pub(crate) fn request(bytes: &[u8]) {
    let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (declared, rest) = bytes.split_at(end);
    let Ok(declared) = serde_json::from_slice::<Value>(declared) else { return };
    let Ok(hooks) = Hooks::read(Some(&declared)) else { return };
    let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
    let gap = rest.windows(2).position(|two| two == b"\n\n");
    let (head, body) = rest.split_at(gap.unwrap_or(rest.len()));
    let body = body.strip_prefix(b"\n\n").unwrap_or(body);
    let head = String::from_utf8_lossy(head);
    let headers = head.lines().filter_map(|line| line.split_once(": "));
    let headers = Headers::new(headers.map(|(name, value)| (name.to_owned(), value.to_owned())));
    for hook in hooks.iter() {
        let request = HookRequest { headers: &headers, body, now: NOW };
        let secrets = [Secret { name: "S", text: SECRET }];
        let proof = assert_bounded(bytes.len(), 64, || verify(hook, &secrets, &request));
        assert!(!matches!(proof, Ok(Proof::Genuine(_))), "{} is forged", hook.name);
        if let Err(refusal) = proof {
            assert!(!refusal.to_string().contains(SECRET));
        }
        let Ok(signed) = sign(hook, SECRET, "m-1", NOW, body, &|_, _| None) else { continue };
        let signed = Headers::new(signed);
        let genuine = HookRequest { headers: &signed, ..request };
        let is_token = hook.secrets.is_empty();
        assert_eq!(
            matches!(verify(hook, &secrets, &genuine), Ok(Proof::Genuine(_))),
            !is_token,
            "{}",
            hook.name
        );
        let _: Incoming<'_> = Incoming::read(hook, &genuine);
        let (Ok(mapping), Ok(text)) = (mapping_of(hook), std::str::from_utf8(body)) else { continue };
        let catalog = Catalog::new("tv").expect("a catalog");
        let message = HookMessage::new(catalog, &hook.name, None, NOW, &headers, text.to_owned());
        let kept = serde_json::to_string(&message).expect("a message serializes");
        assert_eq!(HookMessage::read(&kept).as_ref(), Some(&message));
        for arrival in [Arrival::InOrder, Arrival::AnyOrder] {
            let Ok(mapped) = message.publishes(&mapping, arrival) else { continue };
            for line in mapped.lines {
                assert!(PublishLine::parse(line.as_bytes()).is_ok(), "{line}");
            }
        }
    }
}

/// The body that settles dead letters.
pub(crate) fn settle(bytes: &[u8]) {
    match Settle::parse(bytes) {
        Ok(settle) => assert!((1..=100).contains(&(settle.replay.len() + settle.drop.len()))),
        Err(problem) => check_problem(&problem),
    }
}
