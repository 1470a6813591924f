//! As much of the protocol of NATS as a log on JetStream needs: publishes with acks, and push consumers.

use anyhow::{Context, Result, bail};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::connect;

/// The subject that changes are published to.
const SUBJECT: &str = "log";
/// The name of the stream that keeps them.
const STREAM: &str = "LOG";
/// Where this connection gets its answers. Subjects of two connections do not meet, since `open` makes them unique.
const ANSWERS: &str = "1";

/// Where a consumer begins.
#[derive(Clone, Copy)]
pub(crate) enum From {
    Beginning,
    Now,
}

/// A connection to nats-server, with its inbox.
pub(crate) struct Nats {
    stream: BufReader<TcpStream>,
    outgoing: Vec<u8>,
    inbox: String,
    /// Changes that came while an answer was awaited.
    early: u64,
}

/// The kind of a message, by the subject it came to.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Answer,
    Ack,
    Change,
}

impl Nats {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        let stream = connect(port).await?;
        let inbox = format!("_INBOX.{}", stream.local_addr()?.port());
        let mut nats =
            Self { stream: BufReader::with_capacity(1 << 18, stream), outgoing: Vec::new(), inbox, early: 0 };
        nats.outgoing.extend_from_slice(
            b"CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"protocol\":1}\r\n",
        );
        let subscription = format!("SUB {}.* {ANSWERS}\r\nPING\r\n", nats.inbox);
        nats.outgoing.extend_from_slice(subscription.as_bytes());
        nats.flush().await?;
        while nats.line().await? != "PONG" {}
        Ok(nats)
    }

    /// Makes the stream, on disk.
    pub(crate) async fn create_stream(&mut self) -> Result<()> {
        let config = json!({ "name": STREAM, "subjects": [SUBJECT], "storage": "file" });
        self.call(&format!("$JS.API.STREAM.CREATE.{STREAM}"), &config.to_string()).await
    }

    /// Makes a consumer that pushes the stream to this connection, without acks.
    pub(crate) async fn consume(&mut self, from: From) -> Result<()> {
        let policy = match from {
            From::Beginning => "all",
            From::Now => "new",
        };
        // JetStream delivers to a subject that somebody subscribes to by its whole name; a pattern is not enough.
        let subject = format!("DELIVER.{}", self.inbox);
        self.outgoing.extend_from_slice(format!("SUB {subject} 2\r\n").as_bytes());
        let config = json!({
            "deliver_subject": subject, "deliver_policy": policy, "ack_policy": "none",
            "replay_policy": "instant", "mem_storage": true,
        });
        let body = json!({ "stream_name": STREAM, "config": config }).to_string();
        self.call(&format!("$JS.API.CONSUMER.CREATE.{STREAM}"), &body).await
    }

    /// Queues a change; the stream acknowledges it by a message.
    pub(crate) fn append(&mut self, text: &str) {
        let reply = format!("{}.a", self.inbox);
        self.publish(SUBJECT, &reply, text);
    }

    fn publish(&mut self, subject: &str, reply: &str, text: &str) {
        let line = format!("PUB {subject} {reply} {}\r\n{text}\r\n", text.len());
        self.outgoing.extend_from_slice(line.as_bytes());
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    async fn call(&mut self, subject: &str, body: &str) -> Result<()> {
        let reply = format!("{}.r", self.inbox);
        self.publish(subject, &reply, body);
        self.flush().await?;
        let answer = loop {
            match self.message().await? {
                (Kind::Answer, text) => break text,
                (Kind::Change, _) => self.early += 1,
                (Kind::Ack, _) => {}
            }
        };
        let answer: serde_json::Value = serde_json::from_slice(&answer)?;
        match answer.get("error") {
            Some(error) => bail!("nats: {subject}: {error}"),
            None => Ok(()),
        }
    }

    /// Waits for the next change. Returns how many came.
    pub(crate) async fn changes(&mut self) -> Result<u64> {
        let early = std::mem::take(&mut self.early);
        if early > 0 {
            return Ok(early);
        }
        while self.message().await?.0 != Kind::Change {}
        Ok(1)
    }

    /// Waits for the stream's ack of the oldest change that has none yet. A refusal is an error.
    pub(crate) async fn ack(&mut self) -> Result<()> {
        loop {
            let (kind, text) = self.message().await?;
            if kind != Kind::Ack {
                continue;
            }
            if !text.starts_with(b"{\"stream\"") {
                bail!("nats: {}", String::from_utf8_lossy(&text));
            }
            return Ok(());
        }
    }

    async fn message(&mut self) -> Result<(Kind, Vec<u8>)> {
        loop {
            let line = self.line().await?;
            let Some(rest) = line.strip_prefix("MSG ").or_else(|| line.strip_prefix("HMSG ")) else {
                continue;
            };
            let (subject, _) = rest.split_once(' ').context("a message has a subject")?;
            let length: usize = rest.rsplit(' ').next().context("a message has a length")?.parse()?;
            let mut text = vec![0; length + 2];
            self.stream.read_exact(&mut text).await?;
            text.truncate(length);
            let kind = match subject.rsplit('.').next() {
                Some("r") => Kind::Answer,
                Some("a") => Kind::Ack,
                // The server keeps the subject of what a consumer delivers.
                _ => Kind::Change,
            };
            return Ok((kind, text));
        }
    }

    /// Reads a line, and answers where it is a ping.
    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line).await? == 0 {
            bail!("nats closed the connection");
        }
        let line = line.trim_end();
        if line == "PING" {
            self.stream.get_mut().write_all(b"PONG\r\n").await?;
        }
        if line.starts_with("-ERR") {
            bail!("nats: {line}");
        }
        Ok(line.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn acks_and_changes_are_told_apart_by_their_subjects() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let texts = "INFO {}\r\nPONG\r\nMSG log 2 $JS.ACK.1 2\r\n{}\r\nMSG _INBOX.1.a 1 20\r\n{\"stream\":\"LOG\",\"s\"}\r\n\
                PING\r\nMSG log 2 2\r\n{}\r\nMSG _INBOX.1.a 1 12\r\n{\"error\":{}}\r\n";
            stream.write_all(texts.as_bytes()).await.expect("a client that reads");
            std::future::pending::<()>().await;
        });
        let mut nats = Nats::open(port).await.expect("a connection");
        assert_eq!(nats.changes().await.expect("a change"), 1);
        nats.ack().await.expect("an ack");
        assert_eq!(nats.changes().await.expect("a change"), 1);
        assert!(nats.ack().await.is_err());
    }
}
