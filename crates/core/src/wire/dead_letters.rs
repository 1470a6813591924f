//! Dead letters: messages of hooks that could not be published, as an operator lists, replays and drops them.

use serde::{Deserialize, Serialize};

use super::json::Object;
use super::position::UnixMillis;
use super::problem::{Code, Problem};

/// The most dead letters that one request names, and that one page lists.
pub const MAX_LETTERS_AT_ONCE: usize = 100;
/// The most dead letters that a catalog keeps.
pub const MAX_DEAD_LETTERS: u64 = 10_000;
/// The most bytes of dead letters that a catalog keeps.
pub const MAX_DEAD_BYTES: u64 = 64 << 20;

/// One message that could not be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The number of the letter, which no other has.
    pub id: u64,
    /// When the message was given up.
    pub at: UnixMillis,
    /// The hook that it arrived at.
    pub hook: String,
    /// Why it was given up.
    pub reason: String,
    /// The message as it was kept: a JSON text.
    pub message: String,
}

/// A page of dead letters, the oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetters {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// How many letters the catalog has in all.
    pub total: u64,
    /// The `after` of the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What is to be done with dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settle {
    /// The letters to publish, by number.
    #[serde(default)]
    pub replay: Vec<u64>,
    /// The letters to forget, by number.
    #[serde(default)]
    pub drop: Vec<u64>,
}

impl Settle {
    /// Reads a body.
    ///
    /// # Errors
    /// `bad-json` for another form, `bad-request` for no letter, or for too many.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        let Object(settle): Object<Self> = serde_json::from_slice(body).map_err(|why| {
            Problem::new(Code::BadJson, format!("write {{\"replay\":[…],\"drop\":[…]}}: {why}"))
        })?;
        match settle.replay.len() + settle.drop.len() {
            1..=MAX_LETTERS_AT_ONCE => Ok(settle),
            count => {
                let text = format!("1 to {MAX_LETTERS_AT_ONCE} letters are settled at once, not {count}");
                Err(Problem::new(Code::BadRequest, text))
            }
        }
    }
}

/// What was done with dead letters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// The letters that were published, and are none any more.
    pub replayed: Vec<u64>,
    /// The letters that were forgotten.
    pub dropped: Vec<u64>,
    /// The letters that are still there.
    pub failed: Vec<Unsettled>,
}

/// A dead letter that could not be published again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unsettled {
    /// The number of the letter.
    pub id: u64,
    /// Why it could not be published.
    pub reason: String,
}

/// What the Worker has a catalog's object do with dead letters. Never reached from outside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeadLettersCall {
    /// Keep these, each with its hook, its reason and its message.
    Add(Vec<(String, String, String)>),
    /// Return these.
    Read(Vec<u64>),
    /// Forget these.
    Forget(Vec<u64>),
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn letters_are_settled_by_their_numbers() {
        let settle = Settle::parse(br#"{"replay":[1,2],"drop":[3]}"#).unwrap();
        assert_eq!((settle.replay, settle.drop), (vec![1, 2], vec![3]));
        let code = |body: &str| Settle::parse(body.as_bytes()).unwrap_err().code();
        assert_eq!(code("{}"), "bad-request");
        assert_eq!(
            code(&serde_json::json!({ "drop": vec![1; MAX_LETTERS_AT_ONCE + 1] }).to_string()),
            "bad-request"
        );
        for odd in ["", "[]", "[[1],[2]]", r#"{"replay":["1"]}"#, r#"{"replay":[-1]}"#, r#"{"all":true}"#] {
            assert_eq!(code(odd), "bad-json", "{odd}");
        }
    }
}
