//! The check of an edge by itself: the verdict on a key, from what the edge serves and what the origin says. No I/O, no clock.
//!
//! A difference alone convicts nobody: the origin may have changed a moment ago, with the publish on its way. A value is wrong if
//! the edge goes on serving it, unmarked, for longer than the bound of its class and a publish take, while the origin goes on
//! saying another. An entry that is still the same is then convicted by the second look. An entry that was filled meanwhile,
//! with the old value again, is convicted by the third.

use crate::wire::Position;

/// The three answers of one look at a key: the origin's, the edge's, and the origin's again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look<V> {
    /// The value that the origin gave before the edge was asked.
    pub before: V,
    /// The value that the edge served.
    pub served: V,
    /// Whether the edge marked its answer: as stale, or as one that is being revalidated.
    pub is_marked: bool,
    /// The position that the served entry is from.
    pub filled_at: Option<Position>,
    /// The value that the origin gave after the edge had answered.
    pub after: V,
}

/// What is known of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The edge serves what the origin says.
    Consistent,
    /// The edge serves another value, and marks it.
    Marked,
    /// The edge serves another value, and nothing says so.
    Wrong,
    /// The value changes too often to say anything.
    Unknown,
}

/// A key that differed at every look, so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspicion<V> {
    served: V,
    origin: V,
    filled_at: Option<Position>,
    looks: u32,
}

/// What follows from a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged<V> {
    /// That is all.
    Decided(Verdict),
    /// The key is to be looked at again, after the bound of its class and the time that a publish takes.
    LookAgain(Suspicion<V>),
}

/// How often an entry that is filled again and again with another value than the origin's is looked at.
const MOST_LOOKS: u32 = 3;

impl<V: PartialEq> Look<V> {
    /// Judges the first look at a key.
    pub fn judge(self) -> Judged<V> {
        match self.verdict() {
            Some(verdict) => Judged::Decided(verdict),
            None => {
                let Self { before: origin, served, filled_at, .. } = self;
                Judged::LookAgain(Suspicion { served, origin, filled_at, looks: 1 })
            }
        }
    }

    /// Returns the verdict, unless the key differs.
    fn verdict(&self) -> Option<Verdict> {
        if self.served == self.before || self.served == self.after {
            Some(Verdict::Consistent)
        } else if self.is_marked {
            Some(Verdict::Marked)
        } else if self.before != self.after {
            Some(Verdict::Unknown)
        } else {
            None
        }
    }
}

impl<V: PartialEq> Suspicion<V> {
    /// Judges a further look at the key.
    pub fn judge(self, look: &Look<V>) -> Judged<V> {
        if let Some(verdict) = look.verdict() {
            return Judged::Decided(verdict);
        }
        if look.served != self.served || look.before != self.origin {
            return Judged::Decided(Verdict::Unknown);
        }
        let looks = self.looks + 1;
        if look.filled_at == self.filled_at || looks >= MOST_LOOKS {
            return Judged::Decided(Verdict::Wrong);
        }
        Judged::LookAgain(Self { looks, filled_at: look.filled_at, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Version;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn at(version: u64) -> Option<Position> {
        let epoch = "01ARYZ6S410000000000000000".parse().unwrap();
        Some(Position { version: Version::new(version).unwrap(), ..Position::genesis(epoch) })
    }

    /// A look at an edge that serves a value, filled at version 7, while the origin says two others.
    fn look(served: &str, before: &str, after: &str) -> Look<String> {
        let [served, before, after] = [served, before, after].map(str::to_owned);
        Look { before, served, is_marked: false, filled_at: at(7), after }
    }

    /// Judges looks one after the other, and returns the verdict with how many were needed.
    #[track_caller]
    fn verdict(looks: &[Look<String>]) -> (Verdict, usize) {
        let mut suspicion: Option<Suspicion<String>> = None;
        for (n, look) in looks.iter().enumerate() {
            let judged = match suspicion.take() {
                None => look.clone().judge(),
                Some(suspicion) => suspicion.judge(look),
            };
            match judged {
                Judged::Decided(verdict) => return (verdict, n + 1),
                Judged::LookAgain(again) => suspicion = Some(again),
            }
        }
        panic!("the looks decide nothing");
    }

    #[test]
    fn what_the_origin_says_before_or_after_is_consistent() {
        assert_eq!(verdict(&[look("a", "a", "a")]), (Verdict::Consistent, 1));
        assert_eq!(verdict(&[look("a", "a", "b")]), (Verdict::Consistent, 1), "it changed behind the answer");
        assert_eq!(verdict(&[look("b", "a", "b")]), (Verdict::Consistent, 1), "it changed before");
    }

    #[test]
    fn a_marked_answer_is_no_lie() {
        assert_eq!(verdict(&[Look { is_marked: true, ..look("a", "b", "b") }]), (Verdict::Marked, 1));
        let marked_later = Look { is_marked: true, ..look("a", "b", "b") };
        assert_eq!(verdict(&[look("a", "b", "b"), marked_later]), (Verdict::Marked, 2));
    }

    #[test]
    fn an_entry_that_stays_is_wrong_at_the_second_look() {
        assert_eq!(verdict(&[look("a", "b", "b"), look("a", "b", "b")]), (Verdict::Wrong, 2));
    }

    #[test]
    fn an_old_value_that_is_filled_again_is_wrong_at_the_third_look() {
        let filled = |version| Look { filled_at: at(version), ..look("a", "b", "b") };
        assert_eq!(verdict(&[filled(7), filled(8), filled(9)]), (Verdict::Wrong, 3));
        assert_eq!(verdict(&[filled(7), filled(8), look("b", "b", "b")]), (Verdict::Consistent, 3));
    }

    #[test]
    fn a_publish_that_was_on_its_way_is_no_disagreement() {
        assert_eq!(verdict(&[look("a", "b", "b"), look("b", "b", "b")]), (Verdict::Consistent, 2));
    }

    #[test]
    fn a_value_that_keeps_changing_convicts_nobody() {
        assert_eq!(verdict(&[look("a", "b", "c")]), (Verdict::Unknown, 1));
        assert_eq!(verdict(&[look("a", "b", "b"), look("b", "c", "c")]), (Verdict::Unknown, 2));
        assert_eq!(verdict(&[look("a", "b", "b"), look("a", "c", "c")]), (Verdict::Unknown, 2));
    }
}
