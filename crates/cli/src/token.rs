//! `newsreel token`: makes keys, and signs tokens with them. Contacts no server.
//!
//! A signing key is a file, or a variable: never a word of the command line, which every process can read.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::ValueEnum;
use newsreel_core::access::signed::is_in_milliseconds;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::exit::{Failure, note, print};
use crate::input;

/// The examples that `newsreel token key --help` prints last.
const KEY_EXAMPLES: &str = "Examples:
  newsreel token key --kid 2026-11 --out signing-key.json";
/// The examples that `newsreel token sign --help` prints last.
const SIGN_EXAMPLES: &str = "Examples:
  newsreel token sign --key signing-key.json --sub tv-app --for tv --scope follow --topic title:
  newsreel token sign --key signing-key.json --sub importer --for '*' --scope publish --expires-in 86400";

/// The commands of `newsreel token`.
#[derive(clap::Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a key: write the signing key to a file, and print the item for the secret TOKEN_KEYS.
    ///
    /// TOKEN_KEYS is a JSON list of such items. To rotate, add the new item, sign with the new key, and
    /// remove the old item when the last token of the old key has expired.
    #[command(after_long_help = KEY_EXAMPLES)]
    Key(KeyOptions),
    /// Sign a token and print it.
    #[command(after_long_help = SIGN_EXAMPLES)]
    Sign(SignOptions),
}

/// The flags of `key`.
#[derive(clap::Args)]
pub(crate) struct KeyOptions {
    /// The name of the key, which every token that it signs carries. Each key of a deployment has another
    /// name.
    #[arg(long, env = "NEWSREEL_KID")]
    kid: String,
    /// The algorithm of the key.
    #[arg(long, env = "NEWSREEL_ALG", default_value = "EdDSA")]
    alg: Algorithm,
    /// The new file for the signing key, which only you can read.
    #[arg(long, env = "NEWSREEL_KEY_FILE", value_name = "FILE")]
    out: PathBuf,
}

/// The flags of `sign`.
#[derive(clap::Args)]
pub(crate) struct SignOptions {
    /// The file with the signing key [default: the text of the variable NEWSREEL_SIGNING_KEY].
    #[arg(long, env = "NEWSREEL_KEY_FILE", value_name = "FILE")]
    key: Option<PathBuf>,
    /// The name of the holder, who has idempotency keys and rates of its own.
    #[arg(long, env = "NEWSREEL_SUB", value_name = "NAME")]
    sub: String,
    /// A catalog that the token is for; "*" is every catalog. May be repeated.
    #[arg(
        long = "for",
        env = "NEWSREEL_FOR",
        value_name = "CATALOG",
        required = true,
        value_delimiter = ','
    )]
    catalogs: Vec<String>,
    /// A scope that the token allows its holder. May be repeated.
    #[arg(long, env = "NEWSREEL_SCOPE", required = true, value_delimiter = ',')]
    scope: Vec<Scope>,
    /// A prefix that the keys of every call must have. May be repeated; without any the token reaches every
    /// key.
    #[arg(long, env = "NEWSREEL_TOPIC", value_name = "PREFIX")]
    topic: Vec<String>,
    /// How many seconds the token is good for.
    #[arg(long, env = "NEWSREEL_EXPIRES_IN", default_value_t = 3_600, value_name = "SECONDS")]
    expires_in: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
enum Algorithm {
    /// HMAC with SHA-256. The deployment holds the same secret, and could sign too.
    #[value(name = "HS256")]
    #[serde(rename = "HS256")]
    Hs256,
    /// Ed25519. The deployment holds the public half only.
    #[value(name = "EdDSA")]
    #[serde(rename = "EdDSA")]
    Ed25519,
}

#[derive(Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Scope {
    Publish,
    Follow,
    Fill,
    Admin,
}

/// A signing key as its file has it.
#[derive(Serialize, Deserialize)]
struct SigningKey {
    kid: String,
    alg: Algorithm,
    /// The secret of HS256, the seed of Ed25519, in base64url.
    key: String,
}

/// Runs a command of `newsreel token`.
pub(crate) fn run(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Key(options) => make(options),
        TokenCommand::Sign(options) => print(&format!("{}\n", sign(&options, &signing_key(&options)?)?)),
    }
}

fn make(KeyOptions { kid, alg, out }: KeyOptions) -> Result<(), Failure> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("there is no randomness: {error}"))?;
    let key = SigningKey { kid, alg, key: URL_SAFE_NO_PAD.encode(secret) };
    let public = match alg {
        Algorithm::Hs256 => key.key.clone(),
        Algorithm::Ed25519 => URL_SAFE_NO_PAD.encode(key_pair(&secret)?.public_key()),
    };
    let named = || format!("{} cannot be made", out.display());
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&out).with_context(named)?;
    let text = serde_json::to_string(&key).context("a key is JSON")?;
    writeln!(file, "{text}").and_then(|()| file.sync_all()).with_context(named)?;
    let item = json!({ "kid": key.kid, "alg": alg, "key": public });
    print(&format!("{item}\n"))?;
    note!("token: the signing key is in {}; add the line above to the list TOKEN_KEYS", out.display());
    if alg == Algorithm::Hs256 {
        note!("  it is a secret too: `wrangler secret put TOKEN_KEYS`, and nowhere else");
    }
    Ok(())
}

fn signing_key(options: &SignOptions) -> Result<SigningKey, Failure> {
    let text = match &options.key {
        Some(file) => input::text(file)?,
        None => std::env::var("NEWSREEL_SIGNING_KEY")
            .map_err(|_| Failure::Input("name a key: --key FILE, or NEWSREEL_SIGNING_KEY".to_owned()))?,
    };
    // The error of serde would quote the key.
    serde_json::from_str(&text).map_err(|_| {
        Failure::Input("the signing key is not one that `newsreel token key` has written".to_owned())
    })
}

fn sign(options: &SignOptions, key: &SigningKey) -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?.as_secs();
    let exp = now.saturating_add(options.expires_in);
    if is_in_milliseconds(exp) {
        let text = "--expires-in is how many seconds from now, neither milliseconds nor a date";
        return Err(Failure::Input(text.to_owned()));
    }
    let mut claims = json!({
        "exp": exp,
        "iat": now,
        "sub": options.sub,
        "catalog": options.catalogs,
        "scopes": options.scope,
    });
    if let (false, Some(claims)) = (options.topic.is_empty(), claims.as_object_mut()) {
        claims.insert("topics".to_owned(), json!(options.topic));
    }
    let header = json!({ "alg": key.alg, "kid": key.kid, "typ": "JWT" });
    let part = |part: &serde_json::Value| URL_SAFE_NO_PAD.encode(part.to_string());
    let signed = format!("{}.{}", part(&header), part(&claims));
    let secret = URL_SAFE_NO_PAD.decode(&key.key).ok().filter(|secret| secret.len() >= 32);
    let secret = secret.ok_or_else(|| Failure::Input("the signing key is too short".to_owned()))?;
    let signature = match key.alg {
        Algorithm::Hs256 => {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
            URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes()))
        }
        Algorithm::Ed25519 => URL_SAFE_NO_PAD.encode(key_pair(&secret)?.sign(signed.as_bytes())),
    };
    Ok(format!("{signed}.{signature}"))
}

fn key_pair(seed: &[u8]) -> Result<Ed25519KeyPair, Failure> {
    // The reason says which check failed, and nothing of the key.
    Ed25519KeyPair::from_seed_unchecked(seed)
        .map_err(|why| Failure::Input(format!("the signing key is none of Ed25519: {why}")))
}

#[cfg(test)]
mod tests {
    use newsreel_core::access::signed::Keys;
    use newsreel_core::access::{self, Grant};
    use newsreel_core::wire::{Catalog, UnixMillis};
    use ring::signature::{ED25519, UnparsedPublicKey};

    use super::*;

    fn options() -> SignOptions {
        SignOptions {
            key: None,
            sub: "app".into(),
            catalogs: vec!["tv".into()],
            scope: vec![Scope::Follow],
            topic: vec!["title:".into()],
            expires_in: 60,
        }
    }

    #[test]
    fn a_signing_key_goes_to_a_new_file_that_only_its_owner_reads() {
        use std::os::unix::fs::PermissionsExt as _;

        let folder = tempfile::tempdir().unwrap();
        for alg in [Algorithm::Hs256, Algorithm::Ed25519] {
            let out = folder.path().join(format!("{alg:?}"));
            let wanted = || KeyOptions { kid: "k".into(), alg, out: out.clone() };
            make(wanted()).unwrap();
            let (text, mode) =
                (std::fs::read_to_string(&out).unwrap(), out.metadata().unwrap().permissions().mode());
            assert_eq!(mode & 0o777, 0o600);
            make(wanted()).unwrap_err();
            assert_eq!(std::fs::read_to_string(&out).unwrap(), text, "the key that is there stays");
            let key: SigningKey = serde_json::from_str(&text).unwrap();
            assert!(sign(&options(), &key).is_ok());
        }
    }

    #[test]
    fn a_time_that_can_only_be_milliseconds_is_refused() {
        let key = SigningKey { kid: "k".into(), alg: Algorithm::Hs256, key: URL_SAFE_NO_PAD.encode([9; 32]) };
        let options = SignOptions { expires_in: 1_800_000_000_000, ..options() };
        assert!(sign(&options, &key).unwrap_err().to_string().contains("seconds"));
    }

    #[test]
    fn a_key_that_cannot_be_read_is_not_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        for text in ["secret", r#"{"kid":"k","alg":"secret","key":"secret"}"#] {
            std::fs::write(&file, text).unwrap();
            let options = SignOptions { key: Some(file.clone()), ..options() };
            let error = signing_key(&options).err().unwrap().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_is_signed_here_is_read_by_the_broker_with_the_item_that_was_printed() {
        let secret = [9; 32];
        for alg in [Algorithm::Hs256, Algorithm::Ed25519] {
            let key = SigningKey { kid: "k".into(), alg, key: URL_SAFE_NO_PAD.encode(secret) };
            let public = match alg {
                Algorithm::Hs256 => secret.to_vec(),
                Algorithm::Ed25519 => key_pair(&secret).unwrap().public_key().as_ref().to_vec(),
            };
            let item = json!([{ "kid": "k", "alg": alg, "key": URL_SAFE_NO_PAD.encode(&public) }]);
            let keys = Keys::parse(&item.to_string()).unwrap();
            let token = sign(&options(), &key).unwrap();
            let presented = keys.read(&token).unwrap();
            let is_right = match alg {
                Algorithm::Hs256 => {
                    let key = hmac::Key::new(hmac::HMAC_SHA256, &public);
                    hmac::verify(&key, presented.signed.as_bytes(), &presented.signature).is_ok()
                }
                Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &public)
                    .verify(presented.signed.as_bytes(), &presented.signature)
                    .is_ok(),
            };
            let claims = presented.verified(is_right).unwrap();
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() * 1_000;
            let tv = Catalog::new("tv").unwrap();
            let caller = claims.authorize(UnixMillis(now), access::Scope::Follow, &tv).unwrap();
            let Grant { until, topics } = caller.grant;
            assert_eq!((caller.name.as_str(), topics), ("app", vec!["title:".to_owned()]));
            assert!(until.is_some_and(|until| (now + 59_000..now + 70_000).contains(&until.0)));
        }
    }
}
