//! Who is told: the variable `ALERT_HOOKS`, a list of receivers.

use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::message::Form;

/// How many receivers a deployment may have.
const MAX_RECEIVERS: usize = 10;

/// A receiver of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// The name that messages wait under: the address without its query, or the name of the secret that has it.
    pub name: String,
    /// Where the address stands.
    pub address: Address,
    /// The name of the secret that signs, for the form that is signed.
    pub secret: Option<String>,
    /// The form of a message.
    pub form: Form,
}

/// Where the address of a receiver stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// In the variable.
    Url(String),
    /// In the secret of this name.
    Secret(String),
}

/// Why a list of receivers cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("ALERT_HOOKS {0}")]
pub struct ReceiversError(String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    url: Option<String>,
    url_secret: Option<String>,
    secret: Option<String>,
    #[serde(default)]
    form: Form,
}

/// Reads the variable.
///
/// # Errors
/// [`ReceiversError`] names the receiver by its number, from 1, and says what to write.
pub fn read(given: Option<&Value>) -> Result<Vec<Receiver>, ReceiversError> {
    let list = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(json)) if json.trim().is_empty() => return Ok(Vec::new()),
        Some(Value::String(json)) => serde_json::from_str(json)
            .map_err(|why| ReceiversError(format!("is no list of tables: {why}")))?,
        Some(list) => list.clone(),
    };
    let Value::Array(list) = list else {
        return Err(ReceiversError("is a list of tables: write [[vars.ALERT_HOOKS]]".to_owned()));
    };
    if list.len() > MAX_RECEIVERS {
        return Err(ReceiversError(format!("has at most {MAX_RECEIVERS} tables")));
    }
    let receiver = |(number, given): (usize, Value)| {
        receiver(given).map_err(|why| ReceiversError(format!("number {}: {why}", number + 1)))
    };
    list.into_iter().enumerate().map(receiver).collect()
}

fn receiver(given: Value) -> Result<Receiver, String> {
    let Given { url, url_secret, secret, form } =
        serde_json::from_value(given).map_err(|why| why.to_string())?;
    let (name, address) = match (url, url_secret) {
        (Some(url), None) => {
            let parsed = Url::parse(&url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
            let mut shown = parsed.ok_or("url is an http or https address")?;
            shown.set_query(None);
            (shown.to_string(), Address::Url(url))
        }
        (None, Some(name)) => (name.clone(), Address::Secret(name)),
        _ => {
            return Err(
                "write url = \"https://…\", or url_secret = \"NAME\" of the secret that has it".to_owned()
            );
        }
    };
    match (form, &secret) {
        (Form::Standard, None) => {
            Err("write secret = \"NAME\" of the secret that signs, or form = \"slack\"".to_owned())
        }
        (Form::Slack, Some(_)) => Err("Slack's form is not signed: leave secret out".to_owned()),
        (Form::Standard | Form::Slack, _) => Ok(Receiver { name, address, secret, form }),
    }
}

/// Returns the values that are taken as a JSON Schema.
#[must_use]
pub fn schema() -> Value {
    let text = json!({ "type": "string" });
    let table = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": { "url": text, "url_secret": text, "secret": text, "form": { "enum": ["standard", "slack"] } },
    });
    json!({ "anyOf": [{ "type": "array", "items": table, "maxItems": MAX_RECEIVERS }, { "type": "string" }] })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn receivers_have_an_address_and_a_form() {
        let given = json!([
            { "url": "https://on-call.example/hook?key=1", "secret": "ALERT_SECRET" },
            { "url_secret": "SLACK_URL", "form": "slack" },
        ]);
        let receivers = read(Some(&given)).unwrap();
        let names: Vec<&str> = receivers.iter().map(|receiver| receiver.name.as_str()).collect();
        assert_eq!(
            names,
            ["https://on-call.example/hook", "SLACK_URL"],
            "what stands in a query may be secret"
        );
        assert_eq!(read(Some(&json!(given.to_string()))), Ok(receivers));
        assert_eq!(read(None), Ok(Vec::new()));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (given, why) in [
            (json!({}), "ALERT_HOOKS is a list of tables: write [[vars.ALERT_HOOKS]]"),
            (json!("["), "is no list of tables"),
            (json!([{ "url": "ftp://x", "secret": "S" }]), "number 1: url is an http or https address"),
            (json!([{ "secret": "S" }]), "number 1: write url = "),
            (json!([{ "url": "https://x", "url_secret": "Y", "secret": "S" }]), "number 1: write url = "),
            (json!([{ "url": "https://x" }]), "number 1: write secret = "),
            (json!([{ "url": "https://x", "form": "slack", "secret": "S" }]), "leave secret out"),
            (json!([{ "url": "https://x", "form": "teams" }]), "unknown variant `teams`"),
        ] {
            let told = read(Some(&given)).unwrap_err().to_string();
            assert!(told.contains(why), "{told}");
        }
    }
}
