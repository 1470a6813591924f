//! `newsreel-sim`: plays the system, prints its story, and what was counted.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use newsreel_sim::{Fault, Keep, Outcome, Plan, Strike, UnknownFault, play, shrink};

/// Plays the whole system with faults, on a seeded clock, and checks the guarantees after every step.
///
/// The story goes to stdout, everything else to stderr. Exit code 1: a guarantee was not kept.
#[derive(Debug, Parser)]
#[command(name = "newsreel-sim", version)]
struct Options {
    /// Where chance begins: the same seed and options are the same run, byte for byte.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many events are played, before everything heals.
    #[arg(long, default_value_t = 20_000)]
    steps: u64,
    /// Plays this many seeds, one after the other, from --seed on.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Goes on with the next seed for so many seconds.
    #[arg(long, conflicts_with = "seeds")]
    seconds: Option<u64>,
    /// Which faults may strike, commas between: all, none, or names (--list-faults); -name leaves one out of
    /// all.
    #[arg(long, default_value = "all", allow_hyphen_values = true)]
    faults: String,
    /// Only these of them may strike: kind:number, commas between. Shrinking prints such a list.
    #[arg(long)]
    only: Option<String>,
    /// How many edges there are, each with a replica.
    #[arg(long, default_value_t = Plan::default().edges)]
    edges: usize,
    /// How many isolates at each edge.
    #[arg(long, default_value_t = Plan::default().isolates)]
    isolates: usize,
    /// How many other followers.
    #[arg(long, default_value_t = Plan::default().clients)]
    clients: usize,
    /// How many keys of each of the two publishers.
    #[arg(long, default_value_t = Plan::default().keys)]
    keys: usize,
    /// Publishers change keys only, and fast, and the first client wants to hear of none of them.
    #[arg(long)]
    hidden: bool,
    /// How much of the story is printed.
    #[arg(long, value_enum)]
    story: Option<Story>,
    /// Does not make a failing run smaller.
    #[arg(long)]
    no_shrink: bool,
    /// Lists the kinds of faults and ends.
    #[arg(long)]
    list_faults: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Story {
    /// Print every line.
    All,
    /// Print the last lines of a run that fails.
    End,
    /// Print no line.
    None,
}

/// How many lines the end of a story has.
const LAST_LINES: usize = 60;

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list_faults {
        Fault::ALL.iter().for_each(|fault| println!("{}", fault.name()));
        return ExitCode::SUCCESS;
    }
    let plan = match plan_of(&options) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("error: {why}");
            return ExitCode::from(2);
        }
    };
    let one = options.seeds == 1 && options.seconds.is_none();
    let story = options.story.unwrap_or(if one { Story::All } else { Story::End });
    match play_all(&options, &plan, story) {
        None => ExitCode::SUCCESS,
        Some(failing) => {
            tell_failure(&options, &failing, story);
            ExitCode::FAILURE
        }
    }
}

/// Why the options make no plan.
#[derive(Debug, thiserror::Error)]
enum PlanError {
    #[error("--keys is at least 1")]
    NoKeys,
    #[error(transparent)]
    Fault(#[from] UnknownFault),
    #[error("{0:?} is not kind:number")]
    NotAStrike(String),
    #[error("{0:?} is not a number")]
    NotANumber(String),
}

fn plan_of(options: &Options) -> Result<Plan, PlanError> {
    if options.keys == 0 {
        return Err(PlanError::NoKeys);
    }
    let mut faults: BTreeSet<Fault> = BTreeSet::new();
    for (index, name) in options.faults.split(',').map(str::trim).enumerate() {
        match name {
            "all" => faults.extend(Fault::ALL),
            "none" | "" => {}
            name => {
                let left_out = name.strip_prefix('-');
                if left_out.is_some() && index == 0 {
                    faults.extend(Fault::ALL);
                }
                let fault: Fault = left_out.unwrap_or(name).parse()?;
                if left_out.is_some() {
                    faults.remove(&fault)
                } else {
                    faults.insert(fault)
                };
            }
        }
    }
    let only = options.only.as_deref().map(strikes).transpose()?;
    let Options { seed, steps, edges, isolates, clients, keys, hidden, .. } = *options;
    Ok(Plan { seed, steps, faults, only, edges, isolates, clients, keys, hidden })
}

fn strikes(list: &str) -> Result<BTreeSet<Strike>, PlanError> {
    let named = list.split(',').map(str::trim).filter(|one| !one.is_empty() && *one != "none");
    named
        .map(|one| {
            let (fault, number) = one.split_once(':').ok_or_else(|| PlanError::NotAStrike(one.to_owned()))?;
            Ok((fault.parse()?, number.parse().map_err(|_| PlanError::NotANumber(number.to_owned()))?))
        })
        .collect()
}

/// Plays seed after seed; returns the first plan that fails.
fn play_all(options: &Options, first: &Plan, story: Story) -> Option<Plan> {
    let began = Instant::now();
    let mut total = Totals::default();
    let bar = ProgressBar::new(options.seconds.unwrap_or(options.seeds * options.steps));
    let style = ProgressStyle::with_template("{elapsed} {bar:30} {msg}").expect("a template");
    bar.set_style(style);
    for number in 0.. {
        let seconds = began.elapsed().as_secs();
        if options.seconds.map_or(number >= options.seeds, |limit| seconds >= limit) {
            break;
        }
        let plan = Plan { seed: first.seed + number, ..first.clone() };
        let keep = Keep { story: story == Story::All, struck: false };
        let outcome = play(&plan, keep, |steps| {
            bar.set_position(
                options.seconds.map_or(number * options.steps + steps, |_| began.elapsed().as_secs()),
            );
            bar.set_message(total.text());
        });
        outcome.story.iter().for_each(|line| println!("{line}"));
        total.add(&outcome);
        if outcome.violation.is_some() {
            bar.finish_and_clear();
            eprintln!("{}", total.text());
            return Some(plan);
        }
    }
    bar.finish_and_clear();
    eprintln!("{}; every guarantee was kept; {} s", total.text(), began.elapsed().as_secs());
    eprintln!("{}", total.kinds());
    None
}

/// Plays a failing plan once more for its story, and makes it smaller.
fn tell_failure(options: &Options, plan: &Plan, story: Story) {
    let tell = |plan: &Plan, lines: usize| {
        let outcome = play(plan, Keep { story: true, struck: false }, |_| {});
        let skipped = outcome.story.len().saturating_sub(lines);
        outcome.story.iter().skip(skipped).for_each(|line| println!("{line}"));
        if let Some(violation) = outcome.violation {
            eprintln!("{} is broken: {}", violation.guarantee, violation.what);
        }
        eprintln!("again: cargo run --release -p newsreel-sim -- {plan}");
    };
    // The story is printed already, or is not wanted.
    let lines = if story == Story::End { LAST_LINES } else { 0 };
    tell(plan, lines);
    if options.no_shrink {
        return;
    }
    let bar = ProgressBar::new_spinner();
    let smaller = shrink(plan, |plan| {
        bar.set_message(format!(
            "making it smaller: {} steps, {} kinds of faults",
            plan.steps,
            plan.faults.len()
        ));
        bar.tick();
    });
    bar.finish_and_clear();
    if smaller != *plan {
        eprintln!("the smallest run found that breaks the same:");
        tell(&smaller, if story == Story::None { 0 } else { LAST_LINES });
    }
}

/// The sums over all runs.
#[derive(Debug, Default)]
struct Totals {
    runs: u64,
    steps: u64,
    reads: u64,
    hits: [u64; 4],
    stale: u64,
    removed: u64,
    failed: u64,
    faults: Vec<u64>,
    hours: f64,
}

impl Totals {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        self.steps += outcome.tally.steps;
        self.reads += outcome.tally.reads;
        self.stale += outcome.tally.stale;
        self.removed += outcome.tally.removed;
        self.failed += outcome.tally.failed;
        self.hours += outcome.time as f64 / 3_600_000.0;
        self.faults.resize(outcome.faults.len(), 0);
        self.hits.iter_mut().zip(outcome.tally.hits).for_each(|(sum, one)| *sum += one);
        self.faults.iter_mut().zip(&outcome.faults).for_each(|(sum, one)| *sum += one);
    }

    fn text(&self) -> String {
        format!(
            "{} runs, {} steps, {} reads checked, {} faults",
            self.runs,
            self.steps,
            self.reads,
            self.faults.iter().sum::<u64>()
        )
    }

    fn kinds(&self) -> String {
        let [memory, kv, r2, origin] = self.hits;
        let kinds =
            Fault::ALL.iter().zip(&self.faults).map(|(fault, count)| format!("{} {count}", fault.name()));
        format!(
            "{:.1} hours of its clock; answers from memory {memory}, KV {kv}, R2 {r2}, origin {origin}, removed {}, \
             failed {}; of them marked stale {}\nfaults: {}",
            self.hours,
            self.removed,
            self.failed,
            self.stale,
            kinds.collect::<Vec<_>>().join(", ")
        )
    }
}
