//! Every scheme with its provider's public vectors, and every near miss of each.

use newsreel_core::access::hooks::{Hook, Hooks};
use newsreel_core::wire::UnixMillis;
use serde_json::{Value, json};
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

use super::{Proof, Refusal, Secret, verify};
use crate::request::{Headers, HookRequest};

/// A request that is right, and what makes it so.
#[derive(Clone)]
struct Right {
    hook: Hook,
    secrets: Vec<String>,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    now: u64,
    id: Option<String>,
}

pub(crate) fn hook(mut fields: Value) -> Hook {
    let table = fields.as_object_mut().unwrap();
    if !table.contains_key("mapping") {
        table.entry("map").or_insert_with(|| json!([]));
    }
    if table["scheme"] != "token" {
        table.entry("secret").or_insert_with(|| "S".into());
    }
    Hooks::read(Some(&json!({ "h": fields }))).unwrap().iter().next().unwrap().clone()
}

impl Right {
    fn new(
        fields: Value,
        secret: &str,
        headers: &[(&str, &str)],
        body: &str,
        now: u64,
        id: Option<&str>,
    ) -> Self {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            hook: hook(fields),
            secrets: vec![secret.to_owned()],
            headers: headers.collect(),
            body: body.as_bytes().to_vec(),
            now,
            id: id.map(str::to_owned),
        }
    }

    fn verify(&self) -> Result<Proof, Refusal> {
        let headers = Headers::new(self.headers.iter().cloned());
        let secrets: Vec<Secret<'_>> = self.secrets.iter().map(|text| Secret { name: "S", text }).collect();
        let request = HookRequest { headers: &headers, body: &self.body, now: UnixMillis(self.now) };
        verify(&self.hook, &secrets, &request)
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Result<Proof, Refusal> {
        let mut other = self.clone();
        change(&mut other);
        other.verify()
    }

    /// Checks the request, and every near miss that any scheme has.
    #[track_caller]
    fn check(&self, signature: &str, timestamp: Option<&str>) {
        let Ok(Proof::Genuine(genuine)) = self.verify() else { panic!("genuine: {:?}", self.verify()) };
        assert_eq!(genuine.id, self.id);
        let at = |name: &str| self.headers.iter().position(|(one, _)| one == name).expect("a header");
        for end in [" ", "\n", "\0"] {
            let refused = self.with(|near| near.body.extend(end.as_bytes()));
            assert_eq!(refused, Err(Refusal::Wrong), "a body with {end:?} behind it");
        }
        assert_eq!(self.with(|near| near.body.truncate(near.body.len() - 1)), Err(Refusal::Wrong));
        assert_eq!(self.with(|near| near.secrets = vec!["b3RoZXIgc2VjcmV0".to_owned()]), Err(Refusal::Wrong));
        assert_eq!(self.with(|near| near.secrets.clear()), Err(Refusal::Wrong), "no secret signs");
        let rotated = self.with(|near| near.secrets.insert(0, "b3RoZXIgc2VjcmV0".to_owned()));
        assert!(rotated.is_ok(), "the old secret and the new: {rotated:?}");
        let missing = self.with(|near| drop(near.headers.remove(at(signature))));
        assert!(matches!(missing, Err(Refusal::Missing(_))), "{missing:?}");
        self.check_signature(at(signature));
        if let Some(timestamp) = timestamp {
            self.check_time(at(timestamp), at(signature) == at(timestamp));
        }
        let upper =
            self.with(|near| near.headers.iter_mut().for_each(|(name, _)| name.make_ascii_uppercase()));
        assert!(upper.is_ok(), "names of headers have no case");
    }

    /// Changes each character of the signature's header in turn: none of these is taken.
    fn check_signature(&self, at: usize) {
        let value = self.headers[at].1.clone();
        for index in 0..value.len() {
            for other in ["A", "0", ""] {
                let mut changed = value.clone();
                changed.replace_range(index..=index, other);
                // Hexadecimal digits have no case, and padding counts for nothing.
                let padded = |text: &str| text.trim_end_matches('=').to_ascii_lowercase();
                if padded(&changed) == padded(&value) {
                    continue;
                }
                let near = self.with(|near| near.headers[at].1.clone_from(&changed));
                assert!(near.is_err(), "{changed} in the place of {value}");
            }
        }
        for odd in ["", " ", "sha256=", "v1,", "t=,v1=", "é", "v1,=====", "sha256=zz", "t=1,v1"] {
            assert!(self.with(|near| near.headers[at].1 = odd.to_owned()).is_err(), "{odd:?}");
        }
    }

    fn check_time(&self, at: usize, same_header: bool) {
        let window = self.hook.window.as_secs();
        for now in [self.now + window * 1_000, self.now - window * 1_000] {
            assert!(self.with(|near| near.now = now).is_ok(), "the window has {window} s on either side");
        }
        for now in [self.now + window * 1_000 + 1_000, self.now - window * 1_000 - 1_000, 0, u64::MAX] {
            let outside = self.with(|near| near.now = now);
            assert_eq!(outside, Err(Refusal::OutsideWindow(window)));
        }
        if !same_header {
            let missing = self.with(|near| drop(near.headers.remove(at)));
            assert!(matches!(missing, Err(Refusal::Missing(_))), "{missing:?}");
            for odd in ["", "soon", "-1", "1614265330.0"] {
                assert!(self.with(|near| near.headers[at].1 = odd.to_owned()).is_err(), "{odd:?}");
            }
        }
    }
}

// The vector of the specification's libraries, github.com/standard-webhooks/standard-webhooks (libraries/*/test*), and of
// Svix's documentation, docs.svix.com/receiving/verifying-payloads/how-manual.
fn standard(headers: [&str; 3]) -> Right {
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let values = ["msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", signature];
    let headers: Vec<(&str, &str)> = headers.into_iter().zip(values).collect();
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let fields = json!({ "scheme": "standard-webhooks" });
    Right::new(fields, secret, &headers, r#"{"test": 2432232314}"#, 1_614_265_330_000, Some(values[0]))
}

#[test]
fn standard_webhooks_and_svix_sign_id_time_and_body() {
    let right = standard(["webhook-id", "webhook-timestamp", "webhook-signature"]);
    right.check("webhook-signature", Some("webhook-timestamp"));
    standard(["svix-id", "svix-timestamp", "svix-signature"]).check("svix-signature", Some("svix-timestamp"));
    let bare = right.secrets[0].trim_start_matches("whsec_").to_owned();
    assert!(right.with(|near| near.secrets = vec![bare]).is_ok(), "the prefix of a secret may be absent");
    let other = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc=";
    let listed = format!("{other} v2,x {} {other}", right.headers[2].1);
    assert!(
        right.with(|near| near.headers[2].1 = listed).is_ok(),
        "one right signature of several is enough"
    );
    for version in ["v2,", "v1a,", "v0,", "V1,", ""] {
        let near = right.headers[2].1.replace("v1,", version);
        assert!(right.with(|right| right.headers[2].1 = near).is_err(), "{version}");
    }
    assert_eq!(right.with(|near| near.headers[0].1 = "msg_other".to_owned()), Err(Refusal::Wrong));
    for (secret, says) in
        [("whsec_", "whsec_"), ("whsec_é", "Base64"), ("whpk_AAAA", "32 bytes"), ("whsk_AA==", "public")]
    {
        let refused = right.with(|near| near.secrets = vec![secret.to_owned()]).unwrap_err();
        assert!(matches!(&refused, Refusal::Key { why, .. } if why.contains(says)), "{refused:?}");
    }
}

#[cfg(not(target_arch = "wasm32"))]
#[test]
fn standard_webhooks_of_ed25519_are_handed_to_the_platform() {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};

    // The vector of github.com/standard-webhooks/standard-webhooks, libraries/go/webhook_asymmetric_test.go.
    const SEED: &str = "VEVTVFNJR05JTkdLRVlET05PVFVTRVRISVNGT1JBTlk=";
    const V1A: &str =
        "v1a,tQ9V2XOqn7jL/DQenEFpqIugdBVtiMmER5mhSkXBNwM0mkATuDe6KYYUuxqtaiHeYGb7KaaBRdM5WqyeFiL8Ag==";

    let pair = Ed25519KeyPair::from_seed_unchecked(&STANDARD.decode(SEED).unwrap()).unwrap();
    let public = format!("whpk_{}", STANDARD.encode(pair.public_key()));
    let mut right = standard(["webhook-id", "webhook-timestamp", "webhook-signature"]);
    let hmac = right.headers[2].1.clone();
    right.headers[2].1 = V1A.to_owned();
    right.secrets = vec![public];
    let is_right = |proof: Result<Proof, Refusal>| match proof {
        Ok(Proof::Unverified(one)) => one.keys.iter().any(|key| {
            let key = UnparsedPublicKey::new(&ED25519, key);
            one.signatures.iter().any(|signature| key.verify(&one.signed, signature).is_ok())
        }),
        other => panic!("{other:?}"),
    };
    assert!(is_right(right.verify()));
    assert!(!is_right(right.with(|near| near.body.push(b' '))));
    assert!(!is_right(right.with(|near| near.headers[0].1.push('x'))));
    let both = format!("{hmac} {V1A}");
    assert!(
        is_right(right.with(|near| near.headers[2].1 = both.clone())),
        "with a signature of another key before it"
    );
    let rotating = right.with(|near| {
        near.headers[2].1 = both;
        near.secrets.push("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
    });
    assert!(matches!(rotating, Ok(Proof::Genuine(_))), "from HMAC to Ed25519");
    assert_eq!(right.with(|near| near.headers[2].1 = hmac), Err(Refusal::Wrong), "a public key is no secret");
    let late = right.with(|near| near.now += 301_000);
    assert_eq!(late, Err(Refusal::OutsideWindow(300)));
    let Ok(Proof::Unverified(one)) = right.verify() else { panic!("unverified") };
    assert_eq!(one.clone().verified(false), Err(Refusal::Wrong));
    assert_eq!(one.verified(true).unwrap().id.as_deref(), Some("msg_p5jXN8AQM9LWM0D4loKWxJek"));
}

#[test]
fn github_signs_the_body() {
    // docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries, "Testing the webhook payload validation".
    let signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    let headers =
        [("X-Hub-Signature-256", signature), ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958")];
    let fields = json!({ "scheme": "github" });
    let right =
        Right::new(fields, "It's a Secret to Everybody", &headers, "Hello, World!", 0, Some(headers[1].1));
    right.check("X-Hub-Signature-256", None);
    let bare = signature.trim_start_matches("sha256=").to_owned();
    let refused = right.with(|near| near.headers[0].1 = bare);
    assert_eq!(refused, Err(Refusal::Malformed("X-Hub-Signature-256".to_owned())));
}

#[test]
fn slack_signs_version_time_and_body() {
    // docs.slack.dev/authentication/verifying-requests-from-slack, the worked example.
    let body = "token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
    let headers = [
        ("X-Slack-Signature", "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"),
        ("X-Slack-Request-Timestamp", "1531420618"),
    ];
    let secret = "8f742231b10e8888abcd99yyyzzz85a5";
    let right = Right::new(json!({ "scheme": "slack" }), secret, &headers, body, 1_531_420_618_000, None);
    right.check("X-Slack-Signature", Some("X-Slack-Request-Timestamp"));
    assert_eq!(right.with(|near| near.headers[1].1 = "1531420619".to_owned()), Err(Refusal::Wrong));
}

#[test]
fn sanity_signs_milliseconds_and_body() {
    // github.com/sanity-io/webhook-toolkit, test/signature.test.ts.
    let header = "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0";
    let headers = [("sanity-webhook-signature", header), ("idempotency-key", "k-1")];
    let fields = json!({ "scheme": "sanity" });
    let right = Right::new(fields, "test", &headers, r#"{"_id":"resume"}"#, 1_633_519_811_129, Some("k-1"));
    right.check("sanity-webhook-signature", Some("sanity-webhook-signature"));
    for near in [
        "t=1633519811128,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
        "t=1633519811129,v1=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N1",
        "t=1633519811129,v5=tLa470fx7qkLLEcMOcEUFuBbRSkGujyskxrNXcoh0N0",
    ] {
        assert!(right.with(|right| right.headers[0].1 = near.to_owned()).is_err(), "{near}");
    }
    assert!(right.with(|near| near.headers[0].1 = header.replace(',', ", ")).is_ok(), "a space is allowed");
    let second = "t=1633518820676,v1=e7C9h2sfbFfc4V7TEz7PSOp4IoNzl0UdVsBV-1wgdeA";
    let second = right.with(|other| {
        other.secrets = vec!["try-me".to_owned()];
        other.headers[0].1 = second.to_owned();
        other.body = br#"{"title":"GROQ-Hooks are neat"}"#.to_vec();
        other.now = 1_633_518_820_676;
    });
    assert!(second.is_ok(), "an alphabet with - and _");
}

#[test]
fn stripe_signs_seconds_and_body() {
    // Stripe publishes the construction and no vector (docs.stripe.com/webhooks/signature). The signatures are of Python's
    // `hmac`: the first is by the secret, the second by another.
    let mine = "654b43d3508ecadb3f8cefc4bc7d3d2bdc5ba9e03bf2c89b2d0657a8e24e4543";
    let other = "f2783299b863163c989be2c558e1890b6148873ed7c8ce7e2cc77266ce5bb45e";
    let header =
        format!("t=1492774577,v1={mine},v0=6ffbb59b2300aae63f272406069a9788598b792a944a07aba816edb039989a39");
    let headers = [("Stripe-Signature", header.as_str())];
    let body = r#"{"id":"evt_1","object":"event"}"#;
    let fields = json!({ "scheme": "stripe" });
    let mut right = Right::new(fields, "whsec_test_secret", &headers, body, 1_492_774_577_000, Some("evt_1"));
    let rolled = format!("t=1492774577,v1={other},v1={mine}");
    assert!(right.with(|near| near.headers[0].1 = rolled).is_ok(), "a rolled secret signs twice");
    let only_v0 = format!("t=1492774577,v0={mine}");
    assert!(right.with(|near| near.headers[0].1 = only_v0).is_err(), "v0 is for tests");
    right.headers[0].1 = format!("t=1492774577,v1={mine}");
    right.check("Stripe-Signature", Some("Stripe-Signature"));
}

#[test]
fn shopify_signs_the_body_in_base64() {
    // Shopify publishes the construction and no vector (shopify.dev/docs/apps/build/webhooks); this one is a test of
    // github.com/sqlpage/SQLPage, tests/sql_test_files, and the same by Python's `hmac`.
    let body = r#"{"id":1234567890,"email":"customer@example.com","total_price":"123.45"}"#;
    let headers = [
        ("X-Shopify-Hmac-Sha256", "QNyObTlKbMx2qDlPF/ZOZcBqg5OgPg+2oky3zldc0Gw="),
        ("X-Shopify-Webhook-Id", "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"),
    ];
    let fields = json!({ "scheme": "shopify" });
    Right::new(fields, "test-webhook-secret", &headers, body, 0, Some(headers[1].1))
        .check("X-Shopify-Hmac-Sha256", None);
}

#[test]
fn twitch_signs_id_time_and_body() {
    // Twitch publishes the construction and no vector (dev.twitch.tv/docs/eventsub/handling-webhook-events); id, time and
    // body are those of the page, the signature is of Python's `hmac`.
    let body = r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{"id":"f1c2a387-161a-49f9-a165-0f21d7a4e1c4","status":"webhook_callback_verification_pending"}}"#;
    let headers = [
        ("Twitch-Eventsub-Message-Id", "e76c6bd4-55c9-4987-8304-da1588d8988b"),
        ("Twitch-Eventsub-Message-Timestamp", "2019-11-16T10:11:12.634234626Z"),
        (
            "Twitch-Eventsub-Message-Signature",
            "sha256=4bd8134a8655a4331a7d3c1ec6148bd8ed14f9ab7d985dfd95e938790fcc0069",
        ),
    ];
    let fields = json!({ "scheme": "twitch" });
    let right = Right::new(fields, "s3cRe7s3cRe7", &headers, body, 1_573_899_072_634, Some(headers[0].1));
    right.check("Twitch-Eventsub-Message-Signature", Some("Twitch-Eventsub-Message-Timestamp"));
    assert_eq!(right.with(|near| near.headers[0].1.push('x')), Err(Refusal::Wrong), "the id is signed");
}

#[test]
fn an_hmac_is_as_it_is_declared() {
    // RFC 4231, 4.3, and RFC 2202, 3, test case 2: key "Jefe".
    let body = "what do ya want for nothing?";
    let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
    let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
    for (hash, signature) in
        [("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"), ("sha256", sha256), ("sha512", sha512)]
    {
        let fields = json!({ "scheme": "hmac", "header": "X-Sig", "hash": hash, "id_header": "X-Id" });
        let headers = [("X-Sig", signature), ("X-Id", "7")];
        Right::new(fields, "Jefe", &headers, body, 0, Some("7")).check("X-Sig", None);
    }
    let fields = json!({ "scheme": "hmac", "header": "X-Sig", "encoding": "base64url", "prefix": "v9:" });
    let encoded = "v9:W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM";
    let right = Right::new(fields, "Jefe", &[("X-Sig", encoded)], body, 0, None);
    right.check("X-Sig", None);
    assert!(right.with(|near| near.headers[0].1.push('=')).is_ok(), "padding is as good as none");
}

#[test]
fn an_hmac_may_sign_id_and_time() {
    // The signature is of Python's `hmac`.
    let fields = json!({ "scheme": "hmac", "header": "X-Sig", "prefix": "v0=", "timestamp": "X-Time",
        "id_header": "X-Id", "signed": "{id}:{timestamp}:{body}", "window_s": 60 });
    let headers = [
        ("X-Sig", "v0=613056f1ad20afc464fb9480825cc7f31cee2ee93ad284ff6cfa807b903cc014"),
        ("X-Time", "1531420618"),
        ("X-Id", "k-7"),
    ];
    let right = Right::new(fields, "secret", &headers, "{}", 1_531_420_618_000, Some("k-7"));
    right.check("X-Sig", Some("X-Time"));
    assert_eq!(right.with(|near| near.headers[2].1 = "k-8".to_owned()), Err(Refusal::Wrong));
}

#[test]
fn credentials_are_compared_whole() {
    // RFC 7617, 2: Aladdin and "open sesame".
    let header = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    for scheme in ["basic", "datocms"] {
        let body = r#"{"webhook_call_id":"97","entity_type":"cda_cache_tags"}"#;
        let id = (scheme == "datocms").then_some("97");
        let fields = json!({ "scheme": scheme });
        let right = Right::new(fields, "Aladdin:open sesame", &[("Authorization", header)], body, 0, id);
        assert!(matches!(right.verify(), Ok(Proof::Genuine(genuine)) if genuine.id.as_deref() == id));
        for near in [
            "",
            "Basic",
            "Basic ",
            "Bearer QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            "Basic QWxhZGRpbjpvcGVuIHNlc2Ft",
            "Basic é",
        ] {
            assert!(right.with(|right| right.headers[0].1 = near.to_owned()).is_err(), "{near}");
        }
        assert!(right.with(|near| near.headers[0].1 = header.replace("Basic", "basic")).is_ok());
        assert_eq!(
            right.with(|near| near.secrets = vec!["Aladdin:open sesam".to_owned()]),
            Err(Refusal::Wrong)
        );
        assert_eq!(right.with(|near| near.secrets = vec![String::new()]), Err(Refusal::Wrong));
    }
    let fields = json!({ "scheme": "bearer", "id": "/event/id" });
    let headers = [("Authorization", "Bearer tok-1")];
    let right = Right::new(fields, "tok-1", &headers, r#"{"event":{"id":7}}"#, 0, Some("7"));
    assert!(matches!(right.verify(), Ok(Proof::Genuine(genuine)) if genuine.id.as_deref() == Some("7")));
    for near in ["Bearer tok-", "Bearer tok-11", "Basic tok-1", "tok-1", "Bearer"] {
        assert!(right.with(|right| right.headers[0].1 = near.to_owned()).is_err(), "{near}");
    }
}

#[test]
fn an_empty_secret_signs_nothing() {
    let right = Right::new(json!({ "scheme": "github" }), "", &[], "Hello, World!", 0, None);
    let made = super::mac(newsreel_core::access::hooks::HashName::Sha256, b"", &[b"Hello, World!"]);
    let header = ("X-Hub-Signature-256".to_owned(), format!("sha256={}", hex::encode(made)));
    assert_eq!(right.with(|near| near.headers.push(header)), Err(Refusal::Wrong));
    let bearer = Right::new(json!({ "scheme": "bearer" }), "", &[("Authorization", "Bearer ")], "", 0, None);
    assert!(bearer.verify().is_err());
}

#[test]
fn a_cloud_event_is_known_by_its_source_and_id() {
    let headers = [("Authorization", "Bearer t"), ("ce-source", "/db"), ("ce-id", "9")];
    let id = |right: &Right| match right.verify() {
        Ok(Proof::Genuine(genuine)) => genuine.id,
        other => panic!("{other:?}"),
    };
    let mut right = Right::new(json!({ "scheme": "bearer" }), "t", &headers, "{}", 0, None);
    assert_eq!(id(&right).as_deref(), Some("/db\n9"));
    right.headers.push(("Idempotency-Key".to_owned(), "mine".to_owned()));
    assert_eq!(id(&right).as_deref(), Some("mine"), "a key that the sender chose is before it");
    right.headers.truncate(1);
    right.headers.push(("Content-Type".to_owned(), "application/cloudevents+json; charset=utf-8".to_owned()));
    right.body = br#"{"specversion":"1.0","source":"/db","id":"10"}"#.to_vec();
    assert_eq!(id(&right).as_deref(), Some("/db\n10"));
    right.body = b"not json".to_vec();
    assert_eq!(id(&right), None);
}

#[test]
fn no_refusal_shows_a_secret() {
    let right = standard(["webhook-id", "webhook-timestamp", "webhook-signature"]);
    for secret in ["whsec_notbase64!", "whpk_c2VjcmV0", "whsk_c2VjcmV0"] {
        let refused = right.with(|near| near.secrets = vec![secret.to_owned()]).unwrap_err();
        assert!(!format!("{refused} {refused:?}").contains(secret.split_once('_').unwrap().1), "{refused}");
    }
}
