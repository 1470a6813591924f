//! A property of rounds and files together: whatever an API shows and wherever the source is killed, every change is
//! published or stood for by a wide change, and none is published twice.

use std::collections::{BTreeMap, BTreeSet};

use newsreel_mapping::{Feed, Mapping, Skips};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::mapped;
use super::page::{self, Page};
use super::question::{Reached, To, Validators};
use super::round::{Answer, Round, Step};
use super::state::FeedState;

const OVERLAP: i64 = 300;
const FILE: &str = "[[feed]]\nname = \"f\"\nkind = \"updated-since\"\nurl = \"http://h/{since}/{page}\"\ntime = \"millis\"\n\
    overlap = \"300 ms\"\nid = \"/id\"\nstamp = \"/at\"\nreach = \"3000 ms\"\nitems = \"/rows\"\n\
    [[map]]\nfrom = \"f\"\nkey = \"row:{id}-{at}\"\n";

/// One thing that happens.
#[derive(Debug, Clone)]
enum Event {
    /// A row changes; the API tells it so much later.
    Change { id: u64, late: i64 },
    /// The source does a round, while rows change between its pages; it is killed at a step, if at all.
    Round { between: Vec<u64>, killed: Option<Kill> },
    /// Time passes.
    Wait(i64),
    /// The file is lost.
    Lost,
}

#[derive(Debug, Clone, Copy)]
enum Kill {
    /// Amid the pages.
    Asking,
    /// Before the file says what is sent.
    BeforeFile,
    /// After the file does, with so many publishes sent.
    Sending(usize),
}

fn event() -> impl Strategy<Value = Event> {
    let kill = prop_oneof![Just(Kill::Asking), Just(Kill::BeforeFile), (0..3_usize).prop_map(Kill::Sending),];
    let change = (0..12_u64, 0..OVERLAP - 1).prop_map(|(id, late)| Event::Change { id, late });
    let round = (vec(0..12_u64, 0..6), proptest::option::weighted(0.3, kill))
        .prop_map(|(between, killed)| Event::Round { between, killed });
    prop_oneof![
        8 => change,
        6 => round,
        4 => (0..400_i64).prop_map(Event::Wait),
        1 => (2_000..5_000_i64).prop_map(Event::Wait),
        1 => Just(Event::Lost),
    ]
}

/// The API, the broker and the file.
struct World {
    feed: Feed,
    mapping: Mapping,
    now: i64,
    /// The last change of each row, and when the API tells it.
    rows: BTreeMap<u64, (i64, i64)>,
    /// Every publish by its idempotency key, with the time.
    broker: BTreeMap<String, (i64, Vec<String>)>,
    file: Option<String>,
    histories: u64,
}

impl World {
    fn new() -> Self {
        let mapping = Mapping::parse(FILE).unwrap();
        let feed = mapping.feeds.first().unwrap().clone();
        let now = 1_000_000;
        Self { feed, mapping, now, rows: BTreeMap::new(), broker: BTreeMap::new(), file: None, histories: 0 }
    }

    fn change(&mut self, id: u64, late: i64) {
        self.now += 1;
        self.rows.insert(id, (self.now, self.now + late));
    }

    /// Answers as an API that sorts by the time of the change, two rows a page.
    fn answer(&self, to: &To) -> Page {
        let To::Places(places) = to else { panic!("{to:?}") };
        let since: i64 = places.since.parse().unwrap();
        let mut listed: Vec<(i64, u64)> = self
            .rows
            .iter()
            .filter(|(_, (at, told))| *at >= since && *told <= self.now)
            .map(|(id, (at, _))| (*at, *id))
            .collect();
        listed.sort_unstable();
        let rows: Vec<Value> = listed
            .chunks(2)
            .nth(usize::try_from(places.page).unwrap() - 1)
            .unwrap_or_default()
            .iter()
            .map(|(at, id)| json!({ "id": id, "at": at }))
            .collect();
        page::read(&self.feed, None, None, json!({ "rows": rows }).to_string().as_bytes()).unwrap()
    }

    fn open(&mut self) -> FeedState {
        self.histories += 1;
        let history = self.histories.to_string();
        match &self.file {
            Some(text) => serde_json::from_str::<FeedState>(text).unwrap().resume(&self.feed, &self.mapping),
            None => FeedState::new(&self.feed, &self.mapping, history, "lost"),
        }
    }

    fn write(&mut self, state: &FeedState) {
        self.file = Some(serde_json::to_string(state).unwrap());
    }

    /// Sends what is pending, up to so many publishes; says whether everything was.
    fn send(&mut self, state: &mut FeedState, most: usize) -> bool {
        let lines = state.pending.as_ref().map(|pending| pending.lines.clone()).unwrap_or_default();
        for line in lines.iter().take(most) {
            let line: Value = serde_json::from_str(line).unwrap();
            let name = |change: &Value| change["key"].as_str().unwrap_or("wide").to_owned();
            let names = line["changes"].as_array().unwrap().iter().map(name).collect();
            let key = line["idempotency_key"].as_str().unwrap().to_owned();
            self.broker.entry(key).or_insert((self.now, names));
        }
        if most < lines.len() {
            return false;
        }
        state.settle();
        self.write(state);
        true
    }

    fn round(&mut self, between: &[u64], killed: Option<Kill>) {
        let mut state = self.open();
        if let (Some(Kill::Sending(most)), true) = (killed, state.pending.is_some()) {
            self.send(&mut state, most);
            return;
        }
        self.send(&mut state, usize::MAX);
        let feed = self.feed.clone();
        let reached: Reached = state.reached.clone();
        let mut round = Round::begin(&feed, reached, self.now);
        let mut between = between.iter();
        let end = loop {
            let page = self.answer(&round.question().to);
            let step = round.hear(Answer::Page(page, String::new(), Validators::default()), Some(self.now));
            if let Step::End(end) = step.unwrap() {
                break *end;
            }
            if matches!(killed, Some(Kill::Asking)) {
                return;
            }
            between.next().into_iter().for_each(|id| self.change(*id, 0));
        };
        let rows = round.take_fresh();
        let publishes = match end.wide {
            Some(_) => mapped::wide(&self.mapping, "f"),
            None => mapped::rows(&self.mapping, "f", rows, &mut Skips::default()).publishes,
        };
        state.intend(&feed, &publishes, end, self.now);
        if matches!(killed, Some(Kill::BeforeFile)) {
            return;
        }
        self.write(&state);
        let most = if let Some(Kill::Sending(most)) = killed { most } else { usize::MAX };
        self.send(&mut state, most);
    }

    fn check(&self) {
        let wide: Vec<i64> = self
            .broker
            .values()
            .filter(|(_, names)| names.iter().any(|name| name == "wide"))
            .map(|(at, _)| *at)
            .collect();
        let mut published = BTreeSet::new();
        let mut once = BTreeSet::new();
        for (key, (_, names)) in &self.broker {
            // A source that lost its file knows nothing of what it published.
            let history = key.split(':').nth(2).unwrap();
            for name in names.iter().filter(|name| *name != "wide") {
                assert!(once.insert((history, name)), "{name} is published twice");
                published.insert(name.clone());
            }
        }
        for (id, (at, told)) in &self.rows {
            let stood_for = wide.iter().any(|wide| wide >= told);
            assert!(
                stood_for || published.contains(&format!("row:{id}-{at}")),
                "row {id} of {at} is missing"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_change_is_published_once_whatever_happens(events in vec(event(), 1..60)) {
        let mut world = World::new();
        for event in events {
            match event {
                Event::Change { id, late } => world.change(id, late),
                Event::Round { between, killed } => world.round(&between, killed),
                Event::Wait(time) => world.now += time,
                Event::Lost => world.file = None,
            }
        }
        // The API tells what it still holds back, and two rounds follow that nothing disturbs.
        world.now += OVERLAP;
        world.round(&[], None);
        world.now += 1;
        world.round(&[], None);
        world.check();
    }
}
