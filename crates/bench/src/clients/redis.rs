//! As much of the protocol of Redis (RESP2) as a log needs: `XADD` with `PUBLISH`, `SUBSCRIBE`, and `XREAD`.

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::connect;

/// The name of the stream and of the channel.
const LOG: &str = "log";

/// How many entries one `XREAD` asks for.
const PAGE: u64 = 1000;

/// A connection, with whole replies read off it.
pub(crate) struct Redis {
    stream: BufReader<TcpStream>,
    outgoing: Vec<u8>,
    /// The id of the last entry read from the stream.
    last: String,
}

impl Redis {
    pub(crate) async fn open(port: u16) -> Result<Self> {
        Ok(Self {
            stream: BufReader::with_capacity(1 << 18, connect(port).await?),
            outgoing: Vec::new(),
            last: "0".to_owned(),
        })
    }

    /// Queues the commands that append a change to the stream and tell it to the channel.
    pub(crate) fn append(&mut self, text: &str) {
        self.command(&["XADD", LOG, "*", "c", text]);
        self.command(&["PUBLISH", LOG, text]);
    }

    /// Queues the first or the last command of a transaction.
    pub(crate) fn transaction(&mut self, word: &str) {
        self.command(&[word]);
    }

    fn command(&mut self, words: &[&str]) {
        self.outgoing.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
        for word in words {
            self.outgoing.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            self.outgoing.extend_from_slice(word.as_bytes());
            self.outgoing.extend_from_slice(b"\r\n");
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.stream.get_mut().write_all(&self.outgoing).await?;
        self.outgoing.clear();
        Ok(())
    }

    /// Subscribes to the channel and waits until that is confirmed.
    pub(crate) async fn subscribe(&mut self) -> Result<()> {
        self.command(&["SUBSCRIBE", LOG]);
        self.flush().await?;
        self.reply().await.map(drop)
    }

    /// Asks for what comes after the last entry of the stream, as a follower that has everything does.
    pub(crate) async fn go_to_end(&mut self) -> Result<()> {
        self.command(&["XREVRANGE", LOG, "+", "-", "COUNT", "1"]);
        self.flush().await?;
        self.last = self.reply().await?.last_id.unwrap_or_else(|| "0".to_owned());
        self.read_page().await.map(drop)
    }

    /// Reads one page of the stream after the last entry that was read. Returns how many entries it had.
    pub(crate) async fn read_page(&mut self) -> Result<u64> {
        let after = std::mem::take(&mut self.last);
        self.command(&["XREAD", "COUNT", &PAGE.to_string(), "STREAMS", LOG, &after]);
        self.last = after;
        self.flush().await?;
        let texts = self.reply().await?;
        // A page is the name of the stream once, and for each entry its id, the field's name and the text.
        let entries = texts.count.saturating_sub(1) / 3;
        if let Some(id) = texts.last_id {
            self.last = id;
        }
        Ok(entries)
    }

    /// Reads one reply, whatever it is, and returns what was in it. An error of the server is an error here.
    pub(crate) async fn reply(&mut self) -> Result<Texts> {
        let mut texts = Texts::default();
        let mut owed = 1_u64;
        let mut line = String::new();
        while owed > 0 {
            owed -= 1;
            line.clear();
            self.stream.read_line(&mut line).await?;
            let line = line.trim_end();
            let (kind, rest) = line.split_at_checked(1).context("the server closed the connection")?;
            match kind {
                "+" | ":" => {}
                "*" => owed += u64::try_from(rest.parse::<i64>()?).unwrap_or(0),
                "$" => self.bulk(rest.parse()?, &mut texts).await?,
                _ => bail!("redis: {line}"),
            }
        }
        Ok(texts)
    }

    async fn bulk(&mut self, length: i64, texts: &mut Texts) -> Result<()> {
        // A length of -1 is a null.
        let Ok(length) = usize::try_from(length) else { return Ok(()) };
        let mut text = vec![0; length + 2];
        self.stream.read_exact(&mut text).await?;
        text.truncate(length);
        texts.count += 1;
        if text.first().is_some_and(u8::is_ascii_digit) && text.contains(&b'-') {
            texts.last_id = Some(String::from_utf8(text)?);
        }
        Ok(())
    }
}

/// The parts of a reply that are looked at.
#[derive(Default)]
pub(crate) struct Texts {
    count: u64,
    last_id: Option<String>,
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection with bytes, whatever it asks, and keeps it open.
    async fn answering(bytes: &'static [u8]) -> Redis {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.write_all(bytes).await.expect("a client that reads");
            std::future::pending::<()>().await;
        });
        Redis::open(port).await.expect("a connection")
    }

    #[tokio::test]
    async fn a_page_counts_its_entries_and_remembers_the_last() {
        let page = b"*1\r\n*2\r\n$3\r\nlog\r\n*2\r\n\
            *2\r\n$3\r\n7-0\r\n*2\r\n$1\r\nc\r\n$2\r\n{}\r\n*2\r\n$3\r\n8-1\r\n*2\r\n$1\r\nc\r\n$2\r\n{}\r\n*-1\r\n";
        let mut redis = answering(page).await;
        assert_eq!(redis.read_page().await.expect("a page"), 2);
        assert_eq!(redis.last, "8-1");
        assert_eq!(redis.read_page().await.expect("an empty page"), 0);
        assert_eq!(redis.last, "8-1");
    }

    #[tokio::test]
    async fn an_error_of_the_server_is_an_error() {
        let mut redis = answering(b"-ERR no such command\r\n").await;
        assert!(redis.reply().await.is_err());
    }
}
