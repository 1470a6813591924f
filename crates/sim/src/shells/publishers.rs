//! The origin's publishers: they commit first and publish after, in order, and try again until they have an
//! answer.

use std::collections::BTreeSet;

use newsreel_core::follow::hub::PublishOutcome;
use newsreel_core::wire::{Change, Code, Position, Publish, Target};

use crate::faults::Fault;
use crate::model::broken;
use crate::origin::{Origin, Publication, name_of};
use crate::world::{Event, World};

/// How long a publisher waits for an answer.
const ANSWER_TIMEOUT: u64 = 4_000;

impl World {
    /// The origin commits something.
    pub(crate) fn commit(&mut self, publisher: usize) {
        let publication = self.origin.commit(publisher);
        self.publish(publisher, publication);
    }

    /// The origin commits a change of everything.
    pub(crate) fn commit_everything(&mut self, publisher: usize) {
        let keys = self.origin.keys_of(publisher);
        let mut touches = Vec::new();
        self.origin.change_all(&keys, |_, _| true, None, false, &mut touches);
        let publish = Publish::of(vec![Change::of(Target::All)]);
        let (idempotency_key, wants_acks, harmless) = (None, false, true);
        self.publish(publisher, Publication { publish, idempotency_key, wants_acks, touches, harmless });
    }

    fn publish(&mut self, publisher: usize, publication: Publication) {
        let id = self.origin.next;
        self.origin.next += 1;
        self.say(|| format!("origin commits {id}: {}", publication.publish.written().changes));
        self.origin.publications.insert(id, publication);
        self.origin.publishers[publisher].outbox.push_back(id);
        self.publish_next(publisher);
    }

    /// Sends the next commit, or several that change different keys, unless a request is under way.
    fn publish_next(&mut self, publisher: usize) {
        let Origin { publishers, publications, rng, .. } = &mut self.origin;
        let this = &mut publishers[publisher];
        if this.request.is_some() || this.outbox.is_empty() {
            return;
        }
        let most = if rng.percent(40) { 8 } else { 1 };
        let (mut some, mut touched) = (Vec::new(), BTreeSet::new());
        for id in this.outbox.iter().take(most) {
            let keys = publications[id].touches.iter().map(|(key, ..)| *key);
            if !some.is_empty()
                && (publications[id].wants_acks || keys.clone().any(|key| touched.contains(&key)))
            {
                break;
            }
            touched.extend(keys);
            some.push(*id);
            if publications[id].wants_acks {
                break;
            }
        }
        self.next_request += 1;
        let request = self.next_request;
        self.origin.publishers[publisher].request = Some((request, some.clone()));
        self.schedule(ANSWER_TIMEOUT, Event::PublishGivenUp { publisher, request });
        let way = self.net.between(1, 30);
        let harmless = some.iter().all(|id| self.origin.publications[id].harmless);
        if harmless && self.faults.strikes(Fault::PublishDoubled) {
            // Often at once, so that both are committed together.
            let late = if self.net.percent(50) { self.net.below(3) } else { self.net.below(2_000) };
            self.schedule(way + late, Event::PublishArrives { publisher, request, ids: some.clone() });
        }
        if self.faults.strikes(Fault::PublishLost) {
            return;
        }
        self.schedule(way, Event::PublishArrives { publisher, request, ids: some });
    }

    /// A publisher has no answer in time and tries again.
    pub(crate) fn publish_given_up(&mut self, publisher: usize, request: u64) {
        let this = &mut self.origin.publishers[publisher];
        if this.request.as_ref().is_some_and(|(number, _)| *number == request) {
            this.request = None;
            self.publish_next(publisher);
        }
    }

    /// Hands a publisher the outcomes of its request.
    pub(crate) fn publish_answered(
        &mut self,
        publisher: usize,
        request: u64,
        outcomes: Vec<(u64, PublishOutcome)>,
    ) {
        for (id, outcome) in outcomes {
            match outcome {
                PublishOutcome::Committed(receipt) | PublishOutcome::Repeated(receipt) => {
                    self.acknowledge(publisher, id, receipt.position);
                }
                PublishOutcome::Refused(problem) if problem.code() == "expect-failed" => {
                    let fresh = format!("{}{id}+{request}", name_of(publisher));
                    let publication = self.origin.publications.get_mut(&id).expect("what was sent is kept");
                    publication.publish.expect = None;
                    publication.idempotency_key = publication.idempotency_key.take().map(|_| fresh);
                }
                // The publish stays in the outbox and is sent again.
                PublishOutcome::Refused(problem) if problem.kind() == Code::NotWritten => {}
                PublishOutcome::Refused(problem) => {
                    let what = format!("publish {id} was refused: {}", problem.detail());
                    self.note(broken("D3", what));
                }
            }
        }
        let this = &mut self.origin.publishers[publisher];
        if this.request.as_ref().is_some_and(|(number, _)| *number == request) {
            this.request = None;
        }
        self.publish_next(publisher);
    }

    fn acknowledge(&mut self, publisher: usize, id: u64, at: Position) {
        let publication = &self.origin.publications[&id];
        let key = publication.idempotency_key.clone().map(|key| (publisher, key));
        let kept = self.model.check_receipt(key, at, &publication.publish.changes);
        self.note(kept);
        let this = &mut self.origin.publishers[publisher];
        this.head = Some(at);
        let Some(place) = this.outbox.iter().position(|other| *other == id) else { return };
        this.outbox.remove(place);
        self.say(|| format!("publish {id} is acknowledged as {at}"));
        for (key, index, hard) in self.origin.publications[&id].touches.clone() {
            self.model.acknowledged(key, index, hard, self.now);
        }
    }
}
