//! The times of a follower, as a caller of the package may set them.

use std::time::Duration;

use newsreel_core::follow::follower::FollowerConfig;
use serde::Deserialize;

/// The times that a caller sets, in milliseconds; absent fields keep the default.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Timing {
    connect_timeout_ms: Option<u32>,
    ping_every_ms: Option<u32>,
    pong_timeout_ms: Option<u32>,
    behind_grace_ms: Option<u32>,
    page_timeout_ms: Option<u32>,
    ack_every_ms: Option<u32>,
    backoff_base_ms: Option<u32>,
    backoff_cap_ms: Option<u32>,
}

/// Why a caller's times cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TimingError {
    #[error("timing: {0}")]
    Json(#[from] serde_json::Error),
    #[error("timing: each time is at least 1 ms")]
    Zero,
}

/// Returns the configuration with the times that the JSON of a caller's `timing` sets.
pub(crate) fn config(json: &str, filtered: bool) -> Result<FollowerConfig, TimingError> {
    let timing: Timing = serde_json::from_str(json)?;
    let or = |ms: Option<u32>, default: Duration| match ms {
        Some(0) => Err(TimingError::Zero),
        Some(ms) => Ok(Duration::from_millis(ms.into())),
        None => Ok(default),
    };
    let default = FollowerConfig::default();
    Ok(FollowerConfig {
        connect_timeout: or(timing.connect_timeout_ms, default.connect_timeout)?,
        ping_every: or(timing.ping_every_ms, default.ping_every)?,
        pong_timeout: or(timing.pong_timeout_ms, default.pong_timeout)?,
        behind_grace: or(timing.behind_grace_ms, default.behind_grace)?,
        page_timeout: or(timing.page_timeout_ms, default.page_timeout)?,
        ack_every: or(timing.ack_every_ms, default.ack_every)?,
        backoff_base: or(timing.backoff_base_ms, default.backoff_base)?,
        backoff_cap: or(timing.backoff_cap_ms, default.backoff_cap)?,
        filtered,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[test]
    fn a_caller_changes_only_what_it_names() {
        let config = config(r#"{"pingEveryMs":40}"#, true).unwrap();
        let ping_every = Duration::from_millis(40);
        assert_eq!(config, FollowerConfig { ping_every, filtered: true, ..FollowerConfig::default() });
    }

    #[test]
    fn what_is_no_time_is_refused_by_name() {
        for (json, says) in [
            (r#"{"pingEvery":40}"#, "unknown field `pingEvery`"),
            (r#"{"pingEveryMs":"40"}"#, "invalid type"),
            (r#"{"pingEveryMs":-1}"#, "invalid value"),
            (r#"{"pingEveryMs":0}"#, "at least 1 ms"),
        ] {
            let error = config(json, false).unwrap_err().to_string();
            assert!(error.starts_with("timing: ") && error.contains(says), "{error}");
        }
    }
}
