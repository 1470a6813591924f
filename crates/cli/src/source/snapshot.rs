//! Snapshots: a whole dump of rows, compared with the one before it; what differs is published.
//!
//! The [`state`] is a database. A dump is read into a staging table first ([`staging`]), its rows reduced to what names them ([`form`]) and a hash.
//! Then it is compared as a whole with what is kept of the one before ([`compare`]), and judged ([`guard`]). Only a dump
//! that is accepted changes the state ([`accept`]): in one transaction its rows take the place of the earlier ones, and
//! its publishes are put into an outbox, each with its idempotency key. The outbox is sent until the broker has
//! acknowledged it. So before that transaction nothing has happened, and after it nothing can be lost.
//!
//! The rows that need not be served are kept as hashes: what is kept of a row is its key, 16 bytes for each rule, and the
//! columns that are needed to publish that the row changed or went.

mod accept;
mod compare;
mod form;
mod guard;
mod staging;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use accept::Pending;
pub(crate) use compare::{Comparison, Counts, Initial, Kind};
pub(crate) use form::Keep;
pub(crate) use guard::{Guard, GuardError, MaxRemoved};
pub(crate) use state::{Last, SnapshotError, Snapshots, last};
