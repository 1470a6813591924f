//! Alerts: the rules that say when somebody is to be told, and who has been told what.
//!
//! In reading order:
//! - [`rules`]: the one table of rules, with their thresholds;
//! - [`settings`]: what a deployment changes of them;
//! - [`judge`]: from measurements to alerts that are raised, get worse and are resolved, without flapping;
//! - [`edge`]: what an edge judges, from its series;
//! - [`sources`]: what the board judges, from what sources say of themselves, and from their silence;
//! - [`board`]: the alerts of a catalog, with those of many edges as one, and the messages that tell of them;
//! - [`message`]: a message as a Standard Webhook, and in Slack's form; [`receivers`]: where it goes.

pub mod board;
pub mod edge;
pub mod judge;
pub mod message;
pub mod receivers;
pub mod rules;
pub mod settings;
pub mod sources;

pub use board::{Alert, Board, Notice};
pub use judge::{Judge, Measured, Report, Subject, Transition};
pub use receivers::Receiver;
pub use rules::{Level, RULES, Rule};
pub use settings::{AlertSettings, Thresholds};
pub use sources::{ShownSource, SourceReport, Sources};
