//! The names that a stream has in Redis, and those that its entries have at the broker.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::exit::Failure;

/// A stream, and the keys that belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamNames {
    /// The stream itself.
    pub(super) stream: String,
    /// The key whose value is the process that reads the stream.
    pub(super) lease: String,
    /// The hash of what the group has seen.
    pub(super) memory: String,
}

impl StreamNames {
    /// Returns the keys of a stream. In a cluster they have the stream's own hash slot.
    ///
    /// # Errors
    /// If no other key can have the stream's slot.
    pub(super) fn of(stream: &str, group: &str, has_slots: bool) -> Result<Self, Failure> {
        let begin = match (has_slots, hash_tag(stream)) {
            (false, _) | (true, Some(_)) => stream.to_owned(),
            (true, None) if !stream.contains(['{', '}']) => format!("{{{stream}}}"),
            (true, None) => {
                let why = format!(
                    "the stream {stream:?} has a brace in its name, and no other key has its hash slot"
                );
                return Err(Failure::Input(format!("{why}: give the stream a name with a {{tag}}")));
            }
        };
        Ok(Self {
            stream: stream.to_owned(),
            lease: format!("{begin}:newsreel:{group}:lease"),
            memory: format!("{begin}:newsreel:{group}:seen"),
        })
    }

    /// Returns what stands before an entry's id in its idempotency key: the stream, the group and the incarnation, since a
    /// stream that was made anew may have the same ids again.
    pub(super) fn scope(&self, group: &str, incarnation: &str) -> String {
        let hash = Sha256::new()
            .chain_update(&self.stream)
            .chain_update([0])
            .chain_update(group)
            .chain_update([0])
            .chain_update(incarnation)
            .finalize();
        hash.iter().take(12).fold("redis-".to_owned(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Returns the part of a key that its hash slot is made of, if that is not all of it.
fn hash_tag(key: &str) -> Option<&str> {
    let (_, after) = key.split_once('{')?;
    let (tag, _) = after.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// Returns the time of an entry's id in Unix milliseconds, if it is one: ids may be given by hand.
pub(super) fn time_of(id: &str) -> Option<i64> {
    const YEAR_2001: i64 = 1_000_000_000_000;
    let millis = id.split('-').next()?.parse().ok()?;
    (millis > YEAR_2001).then_some(millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_stream_have_its_slot_in_a_cluster() {
        let lease =
            |stream: &str, has_slots| StreamNames::of(stream, "g", has_slots).map(|names| names.lease);
        assert_eq!(lease("catalog", false).unwrap(), "catalog:newsreel:g:lease");
        assert_eq!(lease("catalog", true).unwrap(), "{catalog}:newsreel:g:lease");
        assert_eq!(lease("{tv}:catalog", true).unwrap(), "{tv}:catalog:newsreel:g:lease");
        assert_eq!(lease("a}b", false).unwrap(), "a}b:newsreel:g:lease");
        assert!(lease("a}b", true).is_err());
        assert!(lease("{}b", true).is_err());
    }

    #[test]
    fn streams_groups_and_incarnations_have_scopes_of_their_own() {
        let scope = |stream, group, incarnation| {
            StreamNames::of(stream, group, false).unwrap().scope(group, incarnation)
        };
        let first = scope("s", "g", "1");
        assert_eq!(first, scope("s", "g", "1"));
        assert!(
            [scope("t", "g", "1"), scope("s", "h", "1"), scope("s", "g", "2")]
                .iter()
                .all(|other| *other != first)
        );
    }

    #[test]
    fn an_id_that_is_no_time_has_none() {
        assert_eq!(time_of("1764518400000-3"), Some(1_764_518_400_000));
        assert_eq!(time_of("7-0"), None);
    }
}
