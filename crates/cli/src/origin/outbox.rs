//! The publisher: sends the outbox to the broker, in order, until each publish is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

use super::store::{Outgoing, Store};
use crate::broker::{Broker, CallError, pause};

/// What a broker's answer means for the outbox.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The publish has a version: on to the next.
    Acknowledged,
    /// Send the same again.
    Again(String),
    /// It can never succeed.
    Never(String),
}

/// Sends what waits and what is committed later, for ever.
pub(crate) async fn drain(store: Arc<Store>, broker: Broker, hold: Duration) {
    let mut failures = 0;
    loop {
        let outgoing = match store.next_outgoing() {
            Ok(Some(outgoing)) => outgoing,
            Ok(None) => {
                store.committed.notified().await;
                continue;
            }
            Err(error) => {
                eprintln!("origin: the outbox cannot be read: {error:#}");
                tokio::time::sleep(pause(6)).await;
                continue;
            }
        };
        tokio::time::sleep(hold).await;
        let settled = match send(&broker, &outgoing).await {
            Next::Acknowledged => store.acknowledged(&outgoing),
            Next::Never(why) => {
                let number = outgoing.transaction;
                eprintln!(
                    "origin: publish {number} was refused for good ({why}); publishing that everything changed instead. See table `rejected`."
                );
                store.rejected(&outgoing, &why)
            }
            Next::Again(why) => {
                // Said once per outage and then now and again, so that a log is not only this.
                if failures % 32 == 0 {
                    eprintln!(
                        "origin: publish {} is not acknowledged: {why}; trying again",
                        outgoing.transaction
                    );
                }
                tokio::time::sleep(pause(failures)).await;
                failures += 1;
                continue;
            }
        };
        failures = 0;
        if let Err(error) = settled {
            eprintln!("origin: the outbox cannot be written: {error:#}");
            tokio::time::sleep(pause(6)).await;
        }
    }
}

async fn send(broker: &Broker, outgoing: &Outgoing) -> Next {
    let request = broker
        .request(Method::POST, "/changes")
        .header("Idempotency-Key", &outgoing.key)
        .body(outgoing.body.clone());
    match broker.call(request).await {
        Ok(_) => Next::Acknowledged,
        Err(CallError::Retry(why)) => Next::Again(why),
        // What is wrong with these is the publish itself; everything else a person or time can mend.
        Err(CallError::Refused { status, code, detail }) if matches!(status.as_u16(), 400 | 413 | 422) => {
            Next::Never(format!("{code}: {detail}"))
        }
        Err(CallError::Refused { code, detail, .. }) => Next::Again(format!("{code}: {detail}")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;
    use newsreel_core::wire::Key;

    use super::*;
    use crate::BrokerOptions;
    use crate::origin::store::Write;

    type Heard = Arc<Mutex<Vec<(String, String)>>>;

    /// A broker that answers with these statuses, then 200, and notes key and body of what it hears.
    async fn broker(statuses: &[u16]) -> (Broker, Heard, Arc<tokio::sync::Notify>) {
        let heard = Heard::default();
        let done = Arc::new(tokio::sync::Notify::new());
        let answers = Arc::new(Mutex::new(Vec::from(statuses).into_iter()));
        let (noted, finished) = (Arc::clone(&heard), Arc::clone(&done));
        let answer = move |headers: HeaderMap, body: String| {
            let key = headers["idempotency-key"].to_str().unwrap().to_owned();
            noted.lock().unwrap().push((key, body));
            let status = answers.lock().unwrap().next();
            if status.is_none() {
                finished.notify_one();
            }
            let status = StatusCode::from_u16(status.unwrap_or(200)).unwrap();
            async move { (status, r#"{"code":"test"}"#) }
        };
        let router = Router::new().route("/v1/catalogs/tv/changes", post(answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let options = BrokerOptions {
            broker: url.parse().unwrap(),
            token: Some("t".into()),
            catalog: "tv".parse().unwrap(),
        };
        let _ = rustls::crypto::ring::default_provider().install_default();
        (Broker::new(options).unwrap(), heard, done)
    }

    fn store(folder: &tempfile::TempDir, keys: &[&str]) -> Arc<Store> {
        let store = Store::open(&folder.path().join("origin.sqlite")).unwrap();
        for key in keys {
            store.commit(&[Write { key: Key::new(*key).unwrap(), value: None }]).unwrap();
        }
        Arc::new(store)
    }

    #[tokio::test]
    async fn a_publish_is_sent_again_with_the_same_key_and_bytes_until_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let (broker, heard, done) = broker(&[503, 500, 429, 401]).await;
        let publisher = tokio::spawn(drain(store(&folder, &["a:1"]), broker, Duration::ZERO));
        done.notified().await;
        publisher.abort();
        let heard = heard.lock().unwrap();
        assert_eq!(heard.len(), 5);
        assert!(heard.iter().all(|one| *one == heard[0]), "{heard:?}");
    }

    #[tokio::test]
    async fn publishes_keep_their_order_over_failures() {
        let folder = tempfile::tempdir().unwrap();
        let (broker, heard, done) = broker(&[503, 200, 503]).await;
        let publisher = tokio::spawn(drain(store(&folder, &["a:1", "a:2"]), broker, Duration::ZERO));
        done.notified().await;
        publisher.abort();
        let order: Vec<bool> = heard.lock().unwrap().iter().map(|(_, body)| body.contains("a:1")).collect();
        assert_eq!(order, [true, true, false, false]);
    }

    #[tokio::test]
    async fn a_publish_refused_for_good_does_not_block_those_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let (broker, heard, done) = broker(&[400, 200]).await;
        let publisher = tokio::spawn(drain(store(&folder, &["a:1", "a:2"]), broker, Duration::ZERO));
        done.notified().await;
        publisher.abort();
        let heard = heard.lock().unwrap();
        assert!(heard[1].1.contains("\"all\":true") && heard[2].1.contains("a:2"), "{heard:?}");
    }
}
