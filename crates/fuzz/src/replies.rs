//! A reader with any replies: its floors and its position never go down.

use newsreel_core::read::floors::{EntryTags, Judgement};
use newsreel_core::read::sync::{Applied, FloorLookup, Knowledge, SyncRequest, SyncResponse};
use newsreel_core::wire::{Epoch, Key, Position, UnixMillis, Version};

/// Steps, one a line: a reply; or `?` and the look-up that the next replies answer; or `+` and how many milliseconds
/// pass.
pub(crate) fn steps(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let (mut known, mut now, mut look) =
        (Knowledge::default(), UnixMillis(1_000_000), FloorLookup::default());
    for line in text.lines().take(64) {
        let (kind, rest) = line.split_at_checked(1).unwrap_or_default();
        match kind {
            "+" => now = UnixMillis(now.0.saturating_add(rest.parse().unwrap_or(0))),
            "?" => look = serde_json::from_str(rest).unwrap_or_default(),
            _ => {
                if let Ok(ask) = serde_json::from_str::<SyncRequest>(line) {
                    let json = serde_json::to_string(&ask).expect("a question is JSON");
                    assert_eq!(serde_json::from_str::<SyncRequest>(&json).ok(), Some(ask));
                }
                let Ok(reply) = serde_json::from_str::<SyncResponse>(line) else { continue };
                let before = Told::by(&known, now);
                let position = reply.position;
                let applied = known.learn(now, &look, reply);
                Told::by(&known, now).check(&before, applied, position);
            }
        }
    }
}

/// The question of a reader.
struct Told {
    position: Option<Position>,
    epoch: Option<Epoch>,
    since: Version,
    mark: Version,
    lag: Option<u128>,
    judged: Vec<(Version, Judgement, Judgement, Version)>,
}

impl Told {
    fn by(known: &Knowledge, now: UnixMillis) -> Self {
        let ask = known.ask(std::time::Duration::ZERO, None, FloorLookup::default());
        let floors = known.floors();
        let key = Key::new("title:1").expect("a key");
        let fills = [0, 1, 2, 5, 9, 1_000, Version::MAX.number()].into_iter().filter_map(Version::new);
        let judged = fills.map(|fill| {
            let tag = "t".parse().expect("a tag");
            let judge = |carries| floors.judge(&key, fill, carries);
            (fill, judge(EntryTags::EveryTag), judge(EntryTags::Tags(&[tag])), floors.generation(&key))
        });
        Self {
            position: known.position(),
            epoch: ask.epoch,
            since: ask.since,
            mark: floors.watermark(),
            lag: known.lag(now).map(|lag| lag.as_millis()),
            judged: judged.collect(),
        }
    }

    fn check(&self, before: &Self, applied: Applied, reply: Position) {
        assert!(self.epoch >= before.epoch, "an older log is never gone back to");
        if applied == Applied::Ignored {
            assert_eq!(
                (self.position, self.since),
                (before.position, before.since),
                "what is ignored changes nothing"
            );
        }
        if self.epoch != before.epoch {
            return assert!(self.epoch == Some(reply.epoch));
        }
        assert!(self.since >= before.since && self.mark >= before.mark);
        let version = |told: &Self| told.position.map(|position| position.version);
        assert!(version(self) >= version(before), "a reader never knows less");
        // A reader that heard nothing new may have been proved more recent, never less.
        assert!(before.lag.is_none() || self.lag <= before.lag);
        if self.mark > before.mark {
            // A forgotten floor is looked up, and the answer of the replica stands.
            return;
        }
        for ((fill, every, tagged, generation), (_, every_before, tagged_before, generation_before)) in
            self.judged.iter().zip(&before.judged)
        {
            for (judged, earlier) in [(every, every_before), (tagged, tagged_before)] {
                assert!(strictness(judged) >= strictness(earlier), "{fill}: {earlier:?} became {judged:?}");
            }
            assert!(generation >= generation_before);
        }
    }
}

/// Orders judgements by how much they refuse. An unknown one may turn out to be clear.
fn strictness(judged: &Judgement) -> u8 {
    match judged {
        Judgement::Clear | Judgement::Unknown => 0,
        Judgement::Soft => 1,
        Judgement::Below(_) => 2,
    }
}
