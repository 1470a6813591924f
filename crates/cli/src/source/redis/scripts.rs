//! The steps that Redis takes at once, as scripts, and their answers.

use redis::{Cmd, RedisError, Value, cmd};

use super::connect::Connection;
use super::names::StreamNames;

const TAKE: &str = include_str!("lua/take.lua");
const RELEASE: &str = include_str!("lua/release.lua");
const CLAIM: &str = include_str!("lua/claim.lua");
const READ: &str = include_str!("lua/read.lua");
const HEAL: &str = include_str!("lua/heal.lua");

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StreamEntry {
    pub(super) id: String,
    pub(super) fields: Vec<(Vec<u8>, Vec<u8>)>,
}

impl StreamEntry {
    /// Returns how many bytes the fields have.
    pub(super) fn size(&self) -> usize {
        self.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
    }
}

/// The answer to a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Read {
    /// Another process reads the stream.
    Lost,
    /// Entries after the newest that this reader was given are another's. Nothing was read.
    Moved,
    /// Something may be missing. Nothing was read.
    Gap(Gap),
    /// What the group had not read.
    Entries {
        incarnation: String,
        /// How many entries are left, where Redis knows.
        lag: Option<i64>,
        pending: i64,
        /// The newest entry that the group was given.
        last: String,
        entries: Vec<StreamEntry>,
    },
}

/// What may have been missed, and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gap {
    incarnation: String,
    /// The reason in one word: `first`, `recreated`, `restarted`, `trimmed` or `deleted`.
    pub(super) reason: String,
    server: String,
    gone: String,
    first: String,
    deleted: String,
}

impl Gap {
    /// Returns the reason for people.
    pub(super) fn why(&self) -> &'static str {
        match self.reason.as_str() {
            "first" => "the group reads it for the first time",
            "recreated" => "the stream or its group was deleted and made anew",
            "restarted" => "Redis was started again or another server took over, and may have lost entries",
            "trimmed" => "entries were trimmed before they were read",
            "deleted" => "entries were deleted before they were published",
            _ => "something may have been missed",
        }
    }
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Claim {
    /// Another process reads the stream.
    Lost,
    /// There is nothing to claim.
    Nothing,
    /// A page of entries.
    Entries {
        incarnation: String,
        /// Where the next page begins; none behind the last.
        next: Option<String>,
        entries: Vec<StreamEntry>,
    },
}

/// One reader of a stream, as the scripts know it.
#[derive(Debug, Clone)]
pub(super) struct Seat {
    pub(super) names: StreamNames,
    pub(super) group: String,
    pub(super) consumer: String,
    /// The text that tells this process from any other.
    pub(super) token: String,
    pub(super) lease_ms: u128,
    /// The id that a new group begins at.
    pub(super) start: &'static str,
}

impl Seat {
    /// Takes the lease, or keeps it. Says whether this process has it.
    pub(super) async fn take(&self, redis: &mut Connection) -> Result<bool, RedisError> {
        let mut command = script(TAKE, &[&self.names.lease]);
        command.arg(&self.token).arg(self.lease_ms.to_string());
        redis.ask(&command).await
    }

    /// Gives the lease back.
    pub(super) async fn release(&self, redis: &mut Connection) -> Result<bool, RedisError> {
        redis.ask(script(RELEASE, &[&self.names.lease]).arg(&self.token)).await
    }

    /// Claims a page of entries that were idle for so long.
    pub(super) async fn claim(
        &self,
        redis: &mut Connection,
        idle_ms: u128,
        cursor: &str,
        count: usize,
    ) -> Result<Claim, RedisError> {
        let mut command = self.script(CLAIM);
        command.arg(idle_ms.to_string()).arg(cursor).arg(count).arg(incarnation());
        let mut answer = Answer::of(redis.ask(&command).await?)?;
        match answer.text()?.as_str() {
            "lost" => Ok(Claim::Lost),
            "none" => Ok(Claim::Nothing),
            _ => {
                let (incarnation, next) = (answer.text()?, answer.text()?);
                let next = (next != "0-0").then_some(next);
                Ok(Claim::Entries { incarnation, next, entries: answer.entries()? })
            }
        }
    }

    /// Reads on behind the newest entry that this reader was given, if it knows.
    pub(super) async fn read(
        &self,
        redis: &mut Connection,
        count: usize,
        last: Option<&str>,
    ) -> Result<Read, RedisError> {
        let mut command = self.script(READ);
        command.arg(count).arg(self.start).arg(incarnation()).arg(last.unwrap_or_default());
        let mut answer = Answer::of(redis.ask(&command).await?)?;
        match answer.text()?.as_str() {
            "lost" => Ok(Read::Lost),
            "moved" => Ok(Read::Moved),
            "gap" => Ok(Read::Gap(Gap {
                incarnation: answer.text()?,
                reason: answer.text()?,
                server: answer.text()?,
                gone: answer.text()?,
                first: answer.text()?,
                deleted: answer.text()?,
            })),
            _ => Ok(Read::Entries {
                incarnation: answer.text()?,
                lag: Some(answer.number()?).filter(|lag| *lag >= 0),
                pending: answer.number()?,
                last: answer.text()?,
                entries: answer.entries()?,
            }),
        }
    }

    /// Notes that the wide change for a gap is durable.
    pub(super) async fn heal(&self, redis: &mut Connection, gap: &Gap) -> Result<bool, RedisError> {
        let mut command = script(HEAL, &[&self.names.stream, &self.names.lease, &self.names.memory]);
        command.arg(&self.token).arg(&gap.incarnation).arg(&gap.server).arg(&gap.gone);
        redis.ask(command.arg(&gap.first).arg(&gap.deleted)).await
    }

    fn script(&self, text: &str) -> Cmd {
        let mut command = script(text, &[&self.names.stream, &self.names.lease, &self.names.memory]);
        command.arg(&self.token).arg(self.lease_ms.to_string()).arg(&self.group).arg(&self.consumer);
        command
    }
}

fn script(text: &str, keys: &[&str]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(text).arg(keys.len()).arg(keys);
    command
}

/// Returns a text that no other call returns.
pub(super) fn incarnation() -> String {
    let mut bytes = [0; 8];
    // Without randomness the time still tells incarnations apart.
    if getrandom::fill(&mut bytes).is_err() {
        bytes = crate::source::watch::now_millis().to_be_bytes();
    }
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// The rest of a script's answer.
struct Answer(std::vec::IntoIter<Value>);

impl Answer {
    fn of(value: Value) -> Result<Self, RedisError> {
        if let Value::Array(values) = value { Ok(Self(values.into_iter())) } else { Err(unexpected()) }
    }

    fn next(&mut self) -> Result<Value, RedisError> {
        self.0.next().ok_or_else(unexpected)
    }

    fn text(&mut self) -> Result<String, RedisError> {
        Ok(redis::from_redis_value(self.next()?)?)
    }

    fn number(&mut self) -> Result<i64, RedisError> {
        Ok(redis::from_redis_value(self.next()?)?)
    }

    fn entries(&mut self) -> Result<Vec<StreamEntry>, RedisError> {
        entries(self.next()?)
    }
}

/// Reads the entries of a stream, as every command gives them.
pub(super) fn entries(value: Value) -> Result<Vec<StreamEntry>, RedisError> {
    let entries: Vec<(String, Vec<Vec<u8>>)> = redis::from_redis_value(value)?;
    let pairs = |values: Vec<Vec<u8>>| {
        let mut values = values.into_iter();
        std::iter::from_fn(|| Some((values.next()?, values.next().unwrap_or_default()))).collect()
    };
    Ok(entries.into_iter().map(|(id, values)| StreamEntry { id, fields: pairs(values) }).collect())
}

fn unexpected() -> RedisError {
    (redis::ErrorKind::UnexpectedReturnType, "the answer of a script cannot be read").into()
}
