//! Grants: the end and the key prefixes of a token. A grant stays with the sockets that its token opened.

use crate::wire::change::{Change, Target};
use crate::wire::name::Key;
use crate::wire::position::UnixMillis;
use crate::wire::problem::{Code, Problem};

/// The limits of a token, as they accompany the caller. A token without limits has the default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grant {
    /// The moment when the token expires; `None` if the token has no end.
    pub until: Option<UnixMillis>,
    /// The key prefixes that the token reaches; an empty list means every key.
    pub topics: Vec<String>,
}

impl Grant {
    /// Returns the grant as a header's value, for [`Grant::from_text`]; `None` when the grant has no limits.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        let mut text = form_urlencoded::Serializer::new(String::new());
        if let Some(until) = self.until {
            text.append_pair("until", &until.0.to_string());
        }
        Some(text.extend_pairs(self.topics.iter().map(|topic| ("topic", topic))).finish())
    }

    /// Reads a text of [`Grant::to_text`]. A text that cannot be read gives a grant that has expired.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        let mut grant = Self::default();
        for (name, value) in form_urlencoded::parse(text.as_bytes()) {
            match name.as_ref() {
                "topic" => grant.topics.push(value.into_owned()),
                _ => grant.until = Some(UnixMillis(value.parse().unwrap_or_default())),
            }
        }
        grant
    }

    /// Says whether the grant has expired.
    #[must_use]
    pub fn is_over(&self, now: UnixMillis) -> bool {
        self.until.is_some_and(|until| until <= now)
    }

    /// Returns the query that a follow or a page gets in addition: the topics of the grant, where the caller
    /// named none.
    ///
    /// # Errors
    /// `forbidden` when the query asks for a topic that is not within a prefix of the grant.
    pub fn narrow(&self, asked: &[String]) -> Result<Option<String>, Problem> {
        if let Some(other) = asked.iter().find(|topic| !self.covers(topic)) {
            return Err(Problem::new(Code::Forbidden, format!("the token does not reach the topic {other}")));
        }
        if self.topics.is_empty() || !asked.is_empty() {
            return Ok(None);
        }
        let mut query = form_urlencoded::Serializer::new(String::new());
        Ok(Some(query.extend_pairs(self.topics.iter().map(|topic| ("topic", topic))).finish()))
    }

    /// Says whether these changes may be published.
    ///
    /// # Errors
    /// `forbidden` when one of them reaches beyond the prefixes: another key or prefix, a tag, or everything.
    pub fn check(&self, changes: &[Change]) -> Result<(), Problem> {
        let within = |change: &Change| match &change.target {
            Target::Key(key) => self.covers(key.as_str()),
            Target::Prefix(prefix) => self.covers(prefix.as_str()),
            Target::Tag(_) | Target::All => self.topics.is_empty(),
        };
        match changes.iter().all(within) {
            true => Ok(()),
            false => Err(Problem::new(Code::Forbidden, "a change reaches beyond the topics of the token")),
        }
    }

    /// Says whether the value of a key may be handed in.
    ///
    /// # Errors
    /// `forbidden` when the key is not within a prefix of the grant.
    pub fn check_key(&self, key: &Key) -> Result<(), Problem> {
        match self.covers(key.as_str()) {
            true => Ok(()),
            false => Err(Problem::new(Code::Forbidden, "the key is beyond the topics of the token")),
        }
    }

    fn covers(&self, prefix: &str) -> bool {
        self.topics.is_empty() || self.topics.iter().any(|topic| prefix.starts_with(topic.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn of(topics: &[&str]) -> Grant {
        Grant { until: None, topics: topics.iter().map(|topic| (*topic).to_owned()).collect() }
    }

    #[test]
    fn a_grant_survives_its_text_and_one_that_cannot_be_read_is_over() {
        assert_eq!(Grant::default().to_text(), None);
        assert_eq!(Grant::from_text(""), Grant::default());
        let whole = Grant { until: Some(UnixMillis(7)), topics: vec!["a:&é\n=".into(), "b:".into()] };
        let text = whole.to_text().unwrap();
        assert!(text.is_ascii() && !text.contains('\n'), "{text}");
        assert_eq!(Grant::from_text(&text), whole);
        for torn in ["until=x", "until=", "unti", "topic=a:&u=9x"] {
            assert!(Grant::from_text(torn).is_over(UnixMillis(0)), "{torn}");
        }
    }

    #[test]
    fn a_grant_is_over_at_its_end_and_not_before() {
        let grant = Grant { until: Some(UnixMillis(7)), topics: Vec::new() };
        assert!(!grant.is_over(UnixMillis(6)) && grant.is_over(UnixMillis(7)));
        assert!(!Grant::default().is_over(UnixMillis(u64::MAX)));
    }

    #[test]
    fn a_follower_that_names_no_topic_gets_those_of_the_token() {
        assert_eq!(of(&["a:", "b:é&"]).narrow(&[]).unwrap().unwrap(), "topic=a%3A&topic=b%3A%C3%A9%26");
        assert_eq!(of(&[]).narrow(&[]).unwrap(), None);
        assert_eq!(of(&[]).narrow(&["x:".into()]).unwrap(), None);
    }

    #[test]
    fn a_topic_is_followed_only_within_one_of_the_token() {
        let grant = of(&["a:", "b:1:"]);
        assert_eq!(grant.narrow(&["a:".into(), "a:5".into(), "b:1:x".into()]).unwrap(), None);
        for wide in ["a", "b:", "b:1", "c:", "A:"] {
            let error = grant.narrow(&["a:".into(), wide.into()]).unwrap_err();
            assert_eq!(error.kind(), Code::Forbidden, "{wide}");
        }
    }

    #[test]
    fn a_token_with_topics_publishes_keys_and_prefixes_within_them_only() {
        let check = |grant: &Grant, changes: &str| {
            grant.check(&serde_json::from_str::<Vec<Change>>(changes).unwrap()).is_ok()
        };
        let grant = of(&["a:", "b:1:"]);
        assert!(check(&grant, r#"[{"key":"a:1","tags":["x"]},{"prefix":"b:1:2"},{"prefix":"a:"}]"#));
        for wide in [r#"{"key":"b:2"}"#, r#"{"prefix":"b:"}"#, r#"{"tag":"x"}"#, r#"{"all":true}"#] {
            assert!(!check(&grant, &format!(r#"[{{"key":"a:1"}},{wide}]"#)), "{wide}");
            assert!(check(&of(&[]), &format!("[{wide}]")), "{wide}");
        }
    }
}
