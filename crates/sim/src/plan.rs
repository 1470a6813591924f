//! The plan of a run: the seed, the length, the faults, and how many there are of each part.

use std::collections::BTreeSet;
use std::fmt;

use crate::faults::{Fault, Strike};

/// A run. The same plan is the same run, byte for byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The seed of every random number.
    pub seed: u64,
    /// The number of events before everything heals.
    pub steps: u64,
    /// The kinds of faults that may strike.
    pub faults: BTreeSet<Fault>,
    /// The only faults that strike, if given.
    pub only: Option<BTreeSet<Strike>>,
    /// How many edges there are, each a replica and a KV location.
    pub edges: usize,
    /// How many isolates read at each edge.
    pub isolates: usize,
    /// How many other followers there are.
    pub clients: usize,
    /// How many keys each of the two publishers has.
    pub keys: usize,
    /// Publishers change keys only, and fast, and the first client wants to hear of none of them.
    pub hidden: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            seed: 1,
            steps: 20_000,
            faults: Fault::ALL.iter().copied().collect(),
            only: None,
            edges: 2,
            isolates: 2,
            clients: 3,
            keys: 10,
            hidden: false,
        }
    }
}

impl fmt::Display for Plan {
    /// Writes the options of the command that plays it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --steps {}", self.seed, self.steps)?;
        let names: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        if names.is_empty() {
            write!(f, " --faults none")?;
        } else if names.len() < Fault::ALL.len() {
            write!(f, " --faults {}", names.join(","))?;
        }
        if let Some(only) = &self.only {
            let strikes: Vec<String> =
                only.iter().map(|(fault, number)| format!("{}:{number}", fault.name())).collect();
            write!(f, " --only {}", if strikes.is_empty() { "none".to_owned() } else { strikes.join(",") })?;
        }
        let usual = Self::default();
        for (option, value, usual) in [
            ("edges", self.edges, usual.edges),
            ("isolates", self.isolates, usual.isolates),
            ("clients", self.clients, usual.clients),
            ("keys", self.keys, usual.keys),
        ] {
            if value != usual {
                write!(f, " --{option} {value}")?;
            }
        }
        if self.hidden {
            write!(f, " --hidden")?;
        }
        Ok(())
    }
}
