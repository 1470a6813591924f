//! A replication connection: authentication, simple queries, and the two-way copy that the log comes through.
//!
//! `postgres-protocol` writes and reads the messages that every client has; replication adds three of its own.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a server may send any of the library's thirty messages, and each state knows a few"
)]

use std::io;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres_protocol::authentication::{md5_hash, sasl};
use postgres_protocol::message::backend::{ErrorResponseBody, Message};
use postgres_protocol::message::frontend;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_postgres::config::ChannelBinding;
use tokio_postgres::fallible_iterator::FallibleIterator as _;

use super::lsn::Lsn;
use crate::database::Opened;

/// The beginning of the two-way copy.
const COPY_BOTH_RESPONSE: u8 = b'W';
/// Microseconds from the Unix epoch to that of PostgreSQL, 2000-01-01.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// Why a replication connection failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WireError {
    /// The connection broke.
    #[error("the connection to PostgreSQL broke: {0}")]
    Io(#[from] io::Error),
    /// PostgreSQL refused.
    #[error("PostgreSQL says: {message} (SQLSTATE {code})")]
    Server {
        /// The SQLSTATE.
        code: String,
        /// The message and its hint.
        message: String,
    },
    /// PostgreSQL asks for a way to authenticate that is not known.
    #[error("PostgreSQL asks to authenticate by {0}: use scram-sha-256, md5 or password")]
    Authentication(&'static str),
    /// The proof of the password cannot be bound to the server's certificate.
    #[error(
        "channel_binding=require, and the server does not ask for SCRAM-SHA-256-PLUS over TLS: it may not be the one \
         that is meant"
    )]
    NotBound,
    /// PostgreSQL asks for a password.
    #[error("PostgreSQL asks for a password: give one in the URL, in PGPASSWORD or in .pgpass")]
    NoPassword,
    /// PostgreSQL sent what is not expected here.
    #[error("PostgreSQL sent what is not expected: {0}")]
    Unexpected(&'static str),
}

/// Something that came through the copy.
#[derive(Debug)]
pub(super) enum Copied {
    /// A message of the output plugin.
    Data {
        /// The bytes of the message.
        message: Bytes,
    },
    /// The server is alive.
    Keepalive {
        /// The end of what the server has sent, and of what it has skipped.
        end: Lsn,
        /// Whether it asks for an answer at once.
        reply: bool,
    },
    /// The server has ended the copy.
    Done,
}

/// The identity that a connection logs in with.
#[derive(Clone)]
pub(super) struct Login {
    /// The role.
    pub(super) user: String,
    /// The database.
    pub(super) database: String,
    /// The password, if there is one.
    pub(super) password: Option<Vec<u8>>,
    /// The name that `pg_stat_activity` shows.
    pub(super) application: String,
    /// Whether the proof of the password is bound to the server's certificate.
    pub(super) binding: ChannelBinding,
}

/// A replication connection.
pub(super) struct Wire {
    stream: Opened,
    received: BytesMut,
}

impl Wire {
    /// Logs in over a stream.
    pub(super) async fn log_in(stream: Opened, login: &Login) -> Result<Self, WireError> {
        let mut wire = Self { stream, received: BytesMut::with_capacity(64 << 10) };
        let parameters = [
            ("user", login.user.as_str()),
            ("database", &login.database),
            ("replication", "database"),
            ("application_name", &login.application),
            ("client_encoding", "UTF8"),
            // The texts of values do not depend on the settings of a role or a database.
            ("DateStyle", "ISO"),
            ("IntervalStyle", "postgres"),
            ("TimeZone", "UTC"),
            ("extra_float_digits", "1"),
            ("bytea_output", "hex"),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters, &mut out)?;
        wire.write(&out).await?;
        wire.authenticate(login).await?;
        loop {
            match wire.message().await? {
                Message::ReadyForQuery(_) => return Ok(wire),
                Message::ErrorResponse(body) => return Err(refused(&body)),
                _ => {}
            }
        }
    }

    async fn authenticate(&mut self, login: &Login) -> Result<(), WireError> {
        let password = || login.password.as_deref().ok_or(WireError::NoPassword);
        let mut out = BytesMut::new();
        let (mut scram, mut proven) = (None, false);
        let unbound = || match login.binding {
            ChannelBinding::Require => Err(WireError::NotBound),
            _ => Ok(()),
        };
        loop {
            out.clear();
            match self.message().await? {
                Message::AuthenticationOk if scram.is_some() && !proven => {
                    return Err(WireError::Unexpected("no proof that the server knows the password"));
                }
                Message::AuthenticationOk => return if proven { Ok(()) } else { unbound() },
                Message::AuthenticationCleartextPassword => {
                    unbound()?;
                    frontend::password_message(password()?, &mut out)?;
                }
                Message::AuthenticationMd5Password(body) => {
                    unbound()?;
                    let hash = md5_hash(login.user.as_bytes(), password()?, body.salt());
                    frontend::password_message(hash.as_bytes(), &mut out)?;
                }
                Message::AuthenticationSasl(body) => {
                    let mechanisms: Vec<&str> = body.mechanisms().collect()?;
                    let (mechanism, binding) = self.mechanism(&mechanisms, login.binding)?;
                    let started = sasl::ScramSha256::new(password()?, binding);
                    frontend::sasl_initial_response(mechanism, started.message(), &mut out)?;
                    scram = Some(started);
                }
                Message::AuthenticationSaslContinue(body) => {
                    let scram = scram.as_mut().ok_or(WireError::Unexpected("SASL that was not begun"))?;
                    scram.update(body.data())?;
                    frontend::sasl_response(scram.message(), &mut out)?;
                }
                Message::AuthenticationSaslFinal(body) => {
                    let scram = scram.as_mut().ok_or(WireError::Unexpected("SASL that was not begun"))?;
                    scram.finish(body.data())?;
                    proven = true;
                }
                Message::AuthenticationGss | Message::AuthenticationSspi => {
                    return Err(WireError::Authentication("GSSAPI or SSPI"));
                }
                Message::ErrorResponse(body) => return Err(refused(&body)),
                _ => return Err(WireError::Unexpected("no question for a password")),
            }
            self.write(&out).await?;
        }
    }

    /// Chooses of the ways that the server offers, and what the proof is bound to.
    fn mechanism(
        &self,
        offered: &[&str],
        wanted: ChannelBinding,
    ) -> Result<(&'static str, sasl::ChannelBinding), WireError> {
        let end_point = self.stream.end_point().filter(|_| wanted != ChannelBinding::Disable);
        if let Some(end_point) = end_point
            && offered.contains(&sasl::SCRAM_SHA_256_PLUS)
        {
            let binding = sasl::ChannelBinding::tls_server_end_point(end_point.to_vec());
            return Ok((sasl::SCRAM_SHA_256_PLUS, binding));
        }
        if wanted == ChannelBinding::Require {
            return Err(WireError::NotBound);
        }
        if !offered.contains(&sasl::SCRAM_SHA_256) {
            return Err(WireError::Authentication("a SASL mechanism that is not SCRAM-SHA-256"));
        }
        // A server that could bind learns that its offer was taken away on the way.
        let could = end_point.is_some();
        let binding =
            if could { sasl::ChannelBinding::unrequested() } else { sasl::ChannelBinding::unsupported() };
        Ok((sasl::SCRAM_SHA_256, binding))
    }

    /// Runs a command and returns its rows, each column as text.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
        let mut out = BytesMut::new();
        frontend::query(sql, &mut out)?;
        self.write(&out).await?;
        let (mut rows, mut failure) = (Vec::new(), None);
        loop {
            match self.message().await? {
                Message::DataRow(row) => {
                    let ranges: Vec<_> = row.ranges().collect()?;
                    let text = |range: std::ops::Range<usize>| {
                        let bytes = row.buffer().get(range).unwrap_or_default();
                        String::from_utf8_lossy(bytes).into_owned()
                    };
                    rows.push(ranges.into_iter().map(|range| range.map(text)).collect());
                }
                Message::ErrorResponse(body) => failure = Some(refused(&body)),
                Message::ReadyForQuery(_) => return failure.map_or(Ok(rows), Err),
                _ => {}
            }
        }
    }

    /// Begins the copy with a `START_REPLICATION` command.
    pub(super) async fn start(&mut self, command: &str) -> Result<(), WireError> {
        let mut out = BytesMut::new();
        frontend::query(command, &mut out)?;
        self.write(&out).await?;
        loop {
            self.fill(1).await?;
            if self.received.first() == Some(&COPY_BOTH_RESPONSE) {
                self.fill(5).await?;
                let mut header = self.received.clone();
                header.advance(1);
                let length = header.get_u32() as usize + 1;
                self.fill(length).await?;
                self.received.advance(length);
                return Ok(());
            }
            match self.message().await? {
                Message::ErrorResponse(body) => return Err(refused(&body)),
                Message::NoticeResponse(_) | Message::ParameterStatus(_) => {}
                _ => return Err(WireError::Unexpected("no copy")),
            }
        }
    }

    /// Waits for what comes next through the copy. May be dropped and called again: nothing is lost.
    pub(super) async fn next(&mut self) -> Result<Copied, WireError> {
        loop {
            let mut data = match self.message().await? {
                Message::CopyData(body) => body.into_bytes(),
                Message::CopyDone => return Ok(Copied::Done),
                Message::ErrorResponse(body) => return Err(refused(&body)),
                _ => continue,
            };
            match data.first() {
                Some(b'w') if data.len() >= 25 => {
                    data.advance(25);
                    return Ok(Copied::Data { message: data });
                }
                Some(b'k') if data.len() >= 18 => {
                    data.advance(1);
                    let end = Lsn(data.get_u64());
                    let _clock = data.get_i64();
                    return Ok(Copied::Keepalive { end, reply: data.get_u8() == 1 });
                }
                _ => return Err(WireError::Unexpected("an unknown message of the copy")),
            }
        }
    }

    /// Tells the server up to where everything is durable at the broker, and asks for a sign of life.
    pub(super) async fn confirm(&mut self, durable: Lsn, now_micros: i64) -> Result<(), WireError> {
        let mut status = BytesMut::with_capacity(39);
        status.put_u8(b'd');
        status.put_u32(38);
        status.put_u8(b'r');
        for lsn in [durable, durable, durable] {
            status.put_u64(lsn.0);
        }
        status.put_i64(now_micros - EPOCH_MICROS);
        status.put_u8(1);
        self.write(&status).await
    }

    async fn message(&mut self) -> Result<Message, WireError> {
        loop {
            if let Some(message) = Message::parse(&mut self.received)? {
                return Ok(message);
            }
            self.read_more().await?;
        }
    }

    async fn fill(&mut self, length: usize) -> Result<(), WireError> {
        while self.received.len() < length {
            self.read_more().await?;
        }
        Ok(())
    }

    async fn read_more(&mut self) -> Result<(), WireError> {
        self.received.reserve(64 << 10);
        match self.stream.read_buf(&mut self.received).await? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<(), WireError> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }
}

/// Returns Unix milliseconds of a time of PostgreSQL's.
pub(super) fn unix_millis(micros: i64) -> i64 {
    micros.saturating_add(EPOCH_MICROS).div_euclid(1_000)
}

fn refused(body: &ErrorResponseBody) -> WireError {
    let (mut code, mut message, mut hint) = (String::new(), String::new(), String::new());
    let mut fields = body.fields();
    while let Ok(Some(field)) = fields.next() {
        let text = || String::from_utf8_lossy(field.value_bytes()).into_owned();
        match field.type_() {
            b'C' => code = text(),
            b'M' => message = text(),
            b'H' => hint = format!("; {}", text()),
            _ => {}
        }
    }
    WireError::Server { code, message: message + &hint }
}
