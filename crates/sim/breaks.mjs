// The guarantees broken on purpose: each break changes the sources of the core, or of the simulated shells, in one
// place, and the simulator must notice it. `scripts/breaks` makes the changes in a copy and plays them.
//
// A place is found by its text alone, wherever in `crates/core/src` or `crates/sim/src` the text stands. White space,
// comment lines and trailing commas do not count, and the text must occur exactly once. The piece between « and » is what
// the break replaces: a whole expression, or whole statements. Nothing between them inserts a statement.

/** The options of the simulator that let a break be noticed soon. */
const USUAL = '';
const LONG = '--steps 60000';
// Followers and a broker alone: a replica whose position is believed would tell the broker that it was restored.
const ALONE = '--edges 0 --clients 4 --faults restored,client-dies,socket-cut,half-open,new-epoch';
const AWAY = '--steps 500000 --faults client-away --edges 1 --isolates 1 --clients 8';
const HIDDEN = '--steps 60000 --faults none --hidden --isolates 1';

// Both hash breaks change this comparison.
const HASHES_DIFFER = '(Some(claimed), Some(logged)) if «claimed != logged» =>';
const FLOOR_OVER_AN_ENTRY = 'for (by, _, floor) in over { match «floor» {';
const floorsIgnored = (kind) =>
  `floor.map(|floor| if by == FloorKind::${kind} { Floor::default() } else { floor })`;

/**
 * @typedef {object} Break
 * @property {string} meaning What goes wrong.
 * @property {string[]} noticed The guarantees by which the simulator may notice the break.
 * @property {string} [play] The options of the simulator.
 * @property {{ at: string, becomes: string }[]} edits The places, and what stands there instead.
 */

/** @type {Record<string, Break>} */
export const BREAKS = {
  GapIgnored: {
    meaning: 'A follower takes a frame that begins after the version it holds.',
    noticed: ['G3'],
    edits: [{ at: 'if «from > held» { self.hang_up(now, close::RESYNC, "a gap")', becomes: 'false' }],
  },
  HeldTwice: {
    meaning: 'A follower takes versions that it holds already.',
    noticed: ['G1', 'G2'],
    edits: [
      { at: 'let new = |row: &VersionRow| «row.version > held»;', becomes: 'true' },
      { at: 'else if «to > held || self.cursor == Cursor::Beginning» { RangeOverlap::New', becomes: 'true' },
    ],
  },
  RowsUnsent: {
    meaning: 'A frame that covers several versions carries only the first.',
    noticed: ['G3'],
    edits: [
      { at: '«run.iter()».map(|row| row.text.as_str())', becomes: 'run.get(..1).unwrap_or_default().iter()' },
    ],
  },
  VersionSplit: {
    meaning: 'A version with several changes arrives with only the first.',
    noticed: ['G4'],
    edits: [
      {
        at: 'texts.push(«VersionRow { changes, cause: row.cause.clone(), ..*row }.to_json()»)',
        becomes: 'VersionRow { changes: changes.into_iter().take(1).collect(), cause: row.cause.clone(), ..*row }.to_json()',
      },
    ],
  },
  HashUnchecked: {
    meaning: 'The broker believes a position whatever its hash.',
    noticed: ['G1', 'G2', 'G3', 'G7'],
    play: ALONE,
    edits: [{ at: HASHES_DIFFER, becomes: 'false' }],
  },
  ClaimBelieved: {
    meaning: 'The broker believes a position whatever its epoch and hash.',
    noticed: ['G1', 'G2', 'G3', 'G7'],
    play: ALONE,
    edits: [
      { at: HASHES_DIFFER, becomes: 'false' },
      { at: 'if «epoch != self.head.epoch» { return ClaimStatus::NotOnLog(ResetReason::Epoch)', becomes: 'false' },
    ],
  },
  ForgottenServed: {
    meaning: 'The broker resumes a follower from a position that is forgotten.',
    noticed: ['G3', 'G7'],
    play: AWAY,
    edits: [{ at: '(_, None) => { «return ClaimStatus::NotOnLog(ResetReason::Forgotten)»;', becomes: '()' }],
  },
  BookmarkLost: {
    meaning: 'The broker never tells a follower with topics how far the log has got.',
    noticed: ['G6'],
    play: HIDDEN,
    edits: [{ at: '(true, true) => «frame::head(sent_to, last)»', becomes: 'continue' }],
  },
  AnswerFirst: {
    meaning: 'The broker answers a publisher before it writes the row.',
    noticed: ['D1'],
    edits: [
      {
        at: '«»self.write(platform, writes)?;',
        becomes: `
          let (early, rest) = tells.into_iter().partition(|tell| matches!(tell, Tell::Answer { .. }));
          tells = rest;
          self.tell_all(platform, now, early);`,
      },
    ],
  },
  SendFirst: {
    meaning: 'The broker sends a row to followers before it writes the row.',
    noticed: ['D2'],
    edits: [
      {
        at: '«»self.write(platform, writes)?;',
        becomes: `
          let (early, rest) = tells.into_iter().partition(|tell| !matches!(tell, Tell::Answer { .. }));
          tells = rest;
          self.tell_all(platform, now, early);`,
      },
    ],
  },
  KeyUnremembered: {
    meaning: 'The broker does not look an idempotency key up.',
    noticed: ['D3'],
    edits: [{ at: 'let before = «submission.remembered.as_ref()»;', becomes: 'None' }],
  },
  KeyTwiceAtOnce: {
    meaning: 'The broker does not look an idempotency key up among the publishes of the same commit.',
    noticed: ['D3'],
    edits: [{ at: 'if let Some(earlier) = «this_commit.or(before)» {', becomes: 'before' }],
  },
  ProofAgeIgnored: {
    meaning: "A reader does not count the age of a replica's proof.",
    noticed: ['S1'],
    edits: [{ at: 'UnixMillis(sent_at.0.saturating_sub(«age»))', becomes: '0' }],
  },
  LagFromReply: {
    meaning: 'A reader counts its lag from when the answer came, and not from when it asked.',
    noticed: ['S1'],
    edits: [{ at: 'at.known.learn(«question.sent_at», &question.wanted.look, reply)', becomes: 'at.clock.read(self.now)' }],
  },
  BoundUnchecked: {
    meaning: 'A reader takes its lag bound for kept, whatever the lag.',
    noticed: ['S1'],
    edits: [{ at: 'known.lag(now).is_some_and(|lag| «lag <= self.policy.lag_bound»)', becomes: 'true' }],
  },
  LapseUnchecked: {
    meaning: 'A reader does not count the time that a tier took.',
    noticed: ['S1'],
    edits: [{ at: '«counted && !self.within_bound(now, known)»', becomes: 'false' }],
  },
  ProofAhead: {
    meaning: 'A follower takes a pong for a proof of versions that have not arrived.',
    noticed: ['S1'],
    edits: [
      {
        at: 'if «head.version <= held.version» { self.proofs.prove(asked_at);',
        becomes: 'true',
      },
    ],
  },
  FloorUnchecked: {
    meaning: 'A reader ignores the floors of keys.',
    noticed: ['S2', 'S1'],
    edits: [{ at: FLOOR_OVER_AN_ENTRY, becomes: floorsIgnored('Key') }],
  },
  TagUnchecked: {
    meaning: 'A reader ignores the floors of tags.',
    noticed: ['S2', 'S1'],
    edits: [{ at: FLOOR_OVER_AN_ENTRY, becomes: floorsIgnored('Tag') }],
  },
  PrefixUnchecked: {
    meaning: 'A reader ignores the floors of prefixes.',
    noticed: ['S2', 'S1'],
    edits: [{ at: FLOOR_OVER_AN_ENTRY, becomes: floorsIgnored('Prefix') }],
  },
  NotFoundUntagged: {
    meaning: 'A reader takes "not found" for an entry without tags.',
    noticed: ['S2', 'S1'],
    edits: [{ at: 'if «self.found» { EntryTags::Tags(&self.tags) }', becomes: 'true' }],
  },
  UnknownIsClear: {
    meaning: 'A reader takes an entry for clear that is too old for the floors it still holds.',
    noticed: ['S2', 'S1'],
    play: LONG,
    edits: [{ at: 'None => unknown |= «fill < self.watermark»,', becomes: 'false' }],
  },
  LandedUnchecked: {
    meaning: 'A reader does not judge a fill again when the fill lands.',
    noticed: ['S2', 'S1'],
    edits: [
      {
        at: 'let (visit, superseded) = «self.judge_fill(known, &envelope)»; self.judged(',
        becomes: '(self.judge_fill(known, &envelope).0, false)',
      },
    ],
  },
  StampedAfter: {
    meaning: 'A fill is stamped with the position that was known after the origin answered.',
    noticed: ['S1', 'S2'],
    edits: [
      {
        at: '«entry.clone()».map_or(TierReply::Failed, TierReply::Entry)',
        becomes: `entry.clone().map(|mut entry| {
          let known = self.isolates.get(&isolate).and_then(|at| at.known.position());
          let position = known.unwrap_or(entry.envelope.position);
          std::rc::Rc::make_mut(&mut entry.envelope).position = position;
          entry
        })`,
      },
    ],
  },
  RemovalForgotten: {
    meaning: 'A value that was removed may stand in for an origin that fails.',
    noticed: ['S2', 'S1'],
    edits: [
      {
        at: '«forgotten || self.keys.get(key).is_some_and(|floor| floor.removed > fill)»',
        becomes: 'false',
      },
    ],
  },
  NeverExpires: {
    meaning: 'An expired entry counts as fresh.',
    noticed: ['S1'],
    edits: [{ at: 'Judgement::Clear if «now >= envelope.expires_at» =>', becomes: 'false' }],
  },
  OtherEpochServed: {
    meaning: 'A reader serves an entry of another epoch.',
    noticed: ['E1', 'S1', 'S2'],
    edits: [{ at: 'if «!same_epoch» { return TierResult::OtherEpoch;', becomes: 'false' }],
  },
  EpochCarriedOver: {
    meaning: 'A reader keeps its floors when a new epoch begins.',
    noticed: ['E1', 'S1', 'S2'],
    edits: [
      {
        at: 'Some(_) | None if «reply.from > Version::ZERO» => return Applied::Ignored,',
        becomes: 'self.epoch.is_none() && reply.from > Version::ZERO',
      },
      {
        at: 'Some(_) | None => «*self = Self { epoch: Some(epoch), ..Self::default() }»,',
        becomes: 'self.epoch = Some(epoch)',
      },
    ],
  },
  HoleIgnored: {
    meaning: 'A reader takes a reply that leaves a hole in what it knows.',
    noticed: ['S2', 'S1'],
    edits: [{ at: 'Some(mine) if epoch == mine && «reply.from > self.complete» =>', becomes: 'false' }],
  },
  FloorsGoDown: {
    meaning: 'A lower floor takes the place of a higher one.',
    noticed: ['S2', 'S1'],
    edits: [
      {
        at: `«self.hard = self.hard.max(other.hard);
              self.soft = self.soft.max(other.soft);
              self.removed = self.removed.max(other.removed);»`,
        becomes: '*self = other;',
      },
    ],
  },
  RankIgnored: {
    meaning: 'An older entry takes the place of a newer one in memory and in R2.',
    noticed: ['S2', 'S1'],
    edits: [
      {
        at: '«Rank { epoch, version, fetched_at: self.fetched_at }»',
        becomes: 'Rank { epoch, version: Version::ZERO, fetched_at: UnixMillis(0) }',
      },
    ],
  },
  ForgottenAtOnce: {
    meaning: 'The broker forgets positions as soon as they are folded.',
    noticed: ['G7'],
    edits: [{ at: '(made.plus(«self.forget_after»), MaintenanceTask::Forget)', becomes: 'Duration::ZERO' }],
  },
  FoldSoftens: {
    meaning: 'In a fold a soft change takes the place of a hard one.',
    noticed: ['G3'],
    edits: [
      {
        at: 'Operation::Soften => «newest(&mut self.soft)»,',
        becomes: '{ newest(&mut self.soft); self.hard = None; }',
      },
    ],
  },
  CoverTooWide: {
    meaning: 'In a fold a prefix covers every key.',
    noticed: ['G3'],
    edits: [
      {
        at: '(Target::Prefix(prefix), Target::Key(key)) => «key.as_str().starts_with(prefix.as_str())», (Target::Prefix(prefix), Target::Prefix',
        becomes: 'true',
      },
    ],
  },
  AckFirst: {
    meaning: 'A follower acknowledges versions before it has applied them.',
    noticed: ['D2'],
    edits: [
      { at: '«»self.effects.push_back(FollowerEffect::Apply { position, versions });', becomes: 'if ack { self.ack(); }' },
    ],
  },
  LeaseOfTheLanding: {
    meaning: 'A value that a caller fetched itself is stamped with the position at which it is handed in.',
    noticed: ['S1', 'S2'],
    edits: [
      {
        at: 'ReadDriver::land(read, «entry», local, at)',
        becomes:
          '{ let mut entry = entry; if let Some(position) = at.known.position() { std::rc::Rc::make_mut(&mut entry.envelope).position = position; } entry }',
      },
    ],
  },
};

for (const one of Object.values(BREAKS)) one.play ??= USUAL;
