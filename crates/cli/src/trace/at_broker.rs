//! The way of a version as the broker knows it: what it is of, and which followers have acknowledged it.

use std::fmt::Write as _;

use newsreel_core::wire::frame::VersionRow;
use newsreel_core::wire::page::{FollowerStatus, Followers};
use newsreel_core::wire::{SourceEvent, Status, UnixMillis};
use serde_json::{Value, json};

use crate::broker::{BROKER, BrokerClient, BrokerOptions};
use crate::exit::{Failure, note};
use crate::http::{self, call_with_retries};
use crate::log_page::LogPage;
use crate::utc::utc;

/// A version that the log has in full, and the followers if the token may know them.
pub(super) struct VersionAtBroker {
    row: VersionRow,
    followers: Option<Vec<FollowerStatus>>,
}

/// Asks the broker for a version.
pub(super) async fn ask(number: u64, at: &BrokerOptions) -> Result<VersionAtBroker, Failure> {
    let broker = BrokerClient::new(at.clone())?;
    let status = call_with_retries(&at.broker, at.retry_for(), || broker.status()).await?;
    let Status { epoch, version: head, oldest, .. } = http::read(&at.broker, BROKER, &status)?;
    let is_kept = (oldest.number()..=head.number()).contains(&number);
    let query = format!("epoch={epoch}&since={}&limit=1", number.saturating_sub(1));
    let body = match is_kept {
        true => call_with_retries(&at.broker, at.retry_for(), || broker.changes(&query)).await?,
        false => return Err(not_kept(number, oldest.number(), head.number())),
    };
    let page: LogPage = http::read(&at.broker, BROKER, &body)?;
    let row = page.versions.into_iter().find(|row| row.version.number() == number);
    let row = row.ok_or_else(|| not_kept(number, oldest.number(), head.number()))?;
    let followers = match call_with_retries(&at.broker, at.retry_for(), || broker.followers()).await {
        Ok(body) => Some(http::read::<Followers>(&at.broker, BROKER, &body)?.followers),
        Err(Failure::Refused { code, .. }) if code == "forbidden" || code == "unauthorized" => {
            note!("trace: which edges have applied it is shown to an admin token");
            None
        }
        Err(failure) => return Err(failure),
    };
    Ok(VersionAtBroker { row, followers })
}

fn not_kept(number: u64, oldest: u64, head: u64) -> Failure {
    let detail = format!("version {number} is not in the log, which has {oldest} to {head} in full");
    Failure::Refused { code: "not-found".to_owned(), detail }
}

impl VersionAtBroker {
    pub(super) fn as_json(&self) -> Value {
        let mut way = json!(self.row);
        if let (Some(members), Some(followers)) = (way.as_object_mut(), &self.followers) {
            members.insert("followers".to_owned(), json!(followers));
        }
        way
    }

    pub(super) fn as_text(&self) -> String {
        let VersionRow { version, at, changes, cause } = &self.row;
        let mut text = cause.source.as_ref().map_or_else(String::new, |source| source_line(source, *at));
        let _ = writeln!(text, "version      {version}  committed {} by the broker's clock", utc(*at));
        if let Some(traceparent) = &cause.traceparent {
            let _ = writeln!(text, "trace        {traceparent}");
        }
        for change in changes {
            let _ = writeln!(text, "  published  {}", json!(change));
        }
        let followers = self.followers.as_deref().unwrap_or_default();
        for FollowerStatus { name, replica, acked, lag, .. } in followers {
            let kind = if *replica { "replica" } else { "follower" };
            let name = if name.is_empty() { "without a name" } else { name };
            let _ = match acked >= version {
                true => writeln!(text, "  applied    by the {kind} {name}"),
                false => writeln!(
                    text,
                    "  pending    at the {kind} {name}: it has acknowledged {acked}, {lag} behind the newest"
                ),
            };
        }
        if followers.is_empty() && self.followers.is_some() {
            text += "  followers  none is connected\n";
        }
        text
    }
}

fn source_line(SourceEvent { name, id, at }: &SourceEvent, committed: UnixMillis) -> String {
    let id = id.as_ref().map_or_else(String::new, |id| format!(" {id}"));
    let at = at.map_or_else(String::new, |at| {
        format!("  happened {}, {} ms before the commit", utc(at), i128::from(committed.0) - i128::from(at.0))
    });
    format!("source       {name}{id}{at}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(name: &str, replica: bool, acked: u64) -> FollowerStatus {
        let status = json!({
            "name": name, "replica": replica, "acked": acked, "position": null, "lag": 9 - acked, "since": 1,
            "last_ping": null, "stage": "live",
        });
        serde_json::from_value(status).unwrap()
    }

    #[test]
    fn the_text_tells_where_a_version_is_from_and_who_has_it() {
        let row = r#"{"version":7,"at":1030,"changes":[{"key":"t:1"}],"source":{"name":"redis:changes","id":"5-0","at":1000}}"#;
        let way = VersionAtBroker {
            row: serde_json::from_str(row).unwrap(),
            followers: Some(vec![follower("ams", true, 9), follower("", false, 6)]),
        };
        let expected =
            "source       redis:changes 5-0  happened 1970-01-01T00:00:01.000Z, 30 ms before the commit
version      7  committed 1970-01-01T00:00:01.030Z by the broker's clock
  published  {\"key\":\"t:1\"}
  applied    by the replica ams
  pending    at the follower without a name: it has acknowledged 6, 3 behind the newest
";
        assert_eq!(way.as_text(), expected);
        let json = way.as_json();
        assert_eq!((&json["source"]["id"], &json["followers"][0]["name"]), (&json!("5-0"), &json!("ams")));
    }
}
