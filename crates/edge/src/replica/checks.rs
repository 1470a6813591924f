//! The replica's part in the check by schedule: which keys are worth a check, and the wrong answers that were found.

use newsreel_core::rng::SplitMix64;
use newsreel_core::wire::{Key, Target, Version};
use serde_json::Value;
use worker::{Response, Result};

use crate::http::json_response;
use crate::replica::driver::Inner;

/// How many versions ago a change still counts as one made lately.
const LATELY: u64 = 1_000;
/// How many of the keys that are read most may be checked.
const CANDIDATES: usize = 1_000;
/// How many wrong answers are kept, the newest first.
const FINDINGS: usize = 20;

impl Inner {
    /// Answers with keys that were read lately, at most as many as the text says, chosen at random: half of them have changed
    /// lately, as far as there are such. Of the others a change may never have been published.
    pub(crate) fn checkable(&self, most: &str) -> Result<Response> {
        let most: usize = most.parse().map_err(|_| "a number of keys is asked for")?;
        let Some(position) = self.position() else { return json_response(&Vec::<Key>::new()) };
        let mut seed = [0; 8];
        getrandom::fill(&mut seed).map_err(|error| error.to_string())?;
        let mut random = SplitMix64::new(u64::from_le_bytes(seed));
        let since = Version::new(position.version.number().saturating_sub(LATELY)).unwrap_or(Version::ZERO);
        let floors = self.rows.floors_after(since, position.version)?.floors.rows()?;
        let changed: Vec<Target> = floors.into_iter().map(|row| row.target).collect();
        let usage = self.usage.borrow();
        let mut keys: Vec<Key> = Vec::new();
        for (targets, wanted) in [(changed.as_slice(), most.div_ceil(2)), (&[Target::All], most)] {
            let candidates = usage.hottest_of(targets, CANDIDATES, |key| !keys.contains(key));
            let candidates = candidates.into_iter().map(|(key, _)| key).collect();
            keys.extend(sample(candidates, wanted.saturating_sub(keys.len()), &mut random));
        }
        json_response(&keys)
    }

    /// Keeps a wrong answer that was found.
    pub(crate) fn take_finding(&self, json: &str) -> Result<Response> {
        let mut findings = self.findings()?;
        findings.insert(0, serde_json::from_str(json)?);
        findings.truncate(FINDINGS);
        self.rows.keep_findings(&serde_json::to_string(&findings)?)?;
        Response::empty()
    }

    /// Answers with the wrong answers that were found last, the newest first.
    pub(crate) fn show_findings(&self) -> Result<Response> {
        json_response(&self.findings()?)
    }

    fn findings(&self) -> Result<Vec<Value>> {
        let kept = self.rows.findings()?;
        // What another build kept in a form of its own is forgotten.
        Ok(kept.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default())
    }
}

/// Returns so many of the keys, each as likely as any other.
fn sample(mut keys: Vec<Key>, most: usize, random: &mut SplitMix64) -> Vec<Key> {
    let most = most.min(keys.len());
    for at in 0..most {
        let left = (keys.len() - at) as u64;
        let chosen = at + usize::try_from(random.next() % left).unwrap_or_default();
        keys.swap(at, chosen);
    }
    keys.truncate(most);
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_sample_has_each_key_once_and_any_key_sometimes() {
        let keys: Vec<Key> = (0..10).map(|n| Key::new(format!("title:{n}")).unwrap()).collect();
        let mut random = SplitMix64::new(7);
        let mut seen = BTreeSet::new();
        for _ in 0..100 {
            let chosen = sample(keys.clone(), 3, &mut random);
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), 3);
            seen.extend(chosen);
        }
        assert_eq!(seen.len(), 10);
        assert_eq!(sample(keys, 99, &mut random).len(), 10);
        assert_eq!(sample(Vec::new(), 3, &mut random), []);
    }
}
