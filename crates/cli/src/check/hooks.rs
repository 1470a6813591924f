//! The hooks of a deployment, their mappings, their secrets, and the queue that they wait in.

use newsreel_core::access::hooks::{Hook, Hooks};
use newsreel_core::variables::{DEAD_QUEUE_SUFFIX, HOOK_QUEUE, HOOKS, SECRETS, VARIABLES};
use newsreel_hooks::mapping_of;
use serde_json::{Map, Value};

use super::file::DeploymentFile;

/// The most bytes that Cloudflare takes as one variable.
const MAX_VARIABLE_BYTES: usize = 5 << 10;

/// What is wrong with the hooks or their queue.
#[derive(Debug, Default)]
pub(super) struct HookFindings {
    /// Errors: the deployment does not run like this, or loses messages.
    pub(super) complaints: Vec<String>,
    /// Suspicions.
    pub(super) warnings: Vec<String>,
}

impl HookFindings {
    fn complain(&mut self, text: impl Into<String>) {
        self.complaints.push(text.into());
    }
}

/// Checks the hooks, and the queue if there is one.
pub(super) fn check(deployment: &DeploymentFile) -> HookFindings {
    let mut findings = HookFindings::default();
    let bytes = deployment.vars.get(HOOKS.name).map_or(0, |given| given.to_string().len());
    if bytes > MAX_VARIABLE_BYTES {
        findings.complain(format!(
            "HOOKS has {bytes} bytes as JSON, and Cloudflare takes {MAX_VARIABLE_BYTES} of a variable: write shorter rules, or \
             deploy some of the hooks apart"
        ));
    }
    match Hooks::read(deployment.vars.get(HOOKS.name)) {
        Ok(hooks) => hooks.iter().for_each(|hook| check_hook(deployment, hook, &mut findings)),
        Err(error) => error.0.into_iter().for_each(|mistake| findings.complain(mistake)),
    }
    check_queue(deployment, &mut findings);
    findings
}

fn check_hook(deployment: &DeploymentFile, hook: &Hook, findings: &mut HookFindings) {
    if let Err(why) = mapping_of(hook) {
        findings.complain(why.to_string());
    }
    for name in &hook.secrets {
        let place = format!("HOOKS.{}.secret", hook.name);
        if deployment.vars.contains_key(name) {
            findings.complain(format!(
                "{place}: {name} in [{}] is a secret that everybody who has the file can read: remove it, and run `wrangler secret put {name}`",
                deployment.table("vars")
            ));
        }
        let known = SECRETS.iter().chain(VARIABLES).any(|variable| variable.name() == name);
        if known {
            findings.complain(format!(
                "{place}: {name} is Newsreel's own; give the hook a secret of another name"
            ));
        }
    }
}

/// Checks that what is sent to the queue is consumed, and that no message is given up unheard.
fn check_queue(deployment: &DeploymentFile, findings: &mut HookFindings) {
    let producers = deployment.queues("producers");
    let bound = producers.iter().find(|producer| text(producer, "binding") == Some(HOOK_QUEUE.name));
    let Some(queue) = bound.and_then(|producer| text(producer, "queue")) else { return };
    let table = deployment.table("queues.consumers");
    let consumers = deployment.queues("consumers");
    let consumer_of = |queue: &str| consumers.iter().find(|consumer| text(consumer, "queue") == Some(queue));
    let Some(consumer) = consumer_of(queue) else {
        findings.complain(format!(
            "nothing consumes the queue of {}: write [[{table}]] queue = {queue:?}, max_concurrency = 1, \
             max_retries = 20, dead_letter_queue = \"{queue}{DEAD_QUEUE_SUFFIX}\"",
            HOOK_QUEUE.name
        ));
        return;
    };
    match text(consumer, "dead_letter_queue") {
        None => findings.complain(format!(
            "the queue {queue} drops what it gives up: write dead_letter_queue = \"{queue}{DEAD_QUEUE_SUFFIX}\" in its [[{table}]]"
        )),
        Some(dead) if !dead.ends_with(DEAD_QUEUE_SUFFIX) => findings.complain(format!(
            "the dead_letter_queue {dead} of {queue} has a name that does not end with {DEAD_QUEUE_SUFFIX}, by which the Worker tells it"
        )),
        Some(dead) if consumer_of(dead).is_none() => findings.complain(format!(
            "nothing consumes the queue {dead}, so `newsreel hooks dead` does not list it: write [[{table}]] queue = {dead:?}"
        )),
        Some(_) => {}
    }
    if queue.ends_with(DEAD_QUEUE_SUFFIX) {
        findings.complain(format!(
            "the queue {queue} of {} has a name that ends with {DEAD_QUEUE_SUFFIX}, as only that of the dead letters does",
            HOOK_QUEUE.name
        ));
    }
    if consumer.get("max_concurrency").and_then(Value::as_u64) != Some(1) {
        findings.warnings.push(format!(
            "the queue {queue} may be consumed by several at once: write max_concurrency = 1 for the order of its batches"
        ));
    }
}

fn text<'a>(table: &'a Map<String, Value>, field: &str) -> Option<&'a str> {
    table.get(field).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(toml: &str) -> (Vec<String>, Vec<String>) {
        let root: Value = toml::from_str(toml).unwrap();
        let findings = super::check(&DeploymentFile::pick(root, None).unwrap());
        (findings.complaints, findings.warnings)
    }

    const HOOK: &str = r#"
        [vars.HOOKS.netflix]
        scheme = "standard-webhooks"
        secret = "NETFLIX_HOOK"
        [[vars.HOOKS.netflix.map]]
        key = "title:{titleId}"
    "#;
    const QUEUE: &str = r#"
        [[queues.producers]]
        binding = "HOOK_QUEUE"
        queue = "hooks"
        [[queues.consumers]]
        queue = "hooks"
        max_concurrency = 1
        dead_letter_queue = "hooks-dead"
        [[queues.consumers]]
        queue = "hooks-dead"
    "#;

    #[test]
    fn a_hook_and_its_queue_pass() {
        assert_eq!(check(&[QUEUE, HOOK].concat()), (vec![], vec![]));
        assert_eq!(check(HOOK), (vec![], vec![]), "without a queue");
        assert_eq!(check(""), (vec![], vec![]));
    }

    #[test]
    fn mistakes_of_a_hook_are_told_with_their_place() {
        let (complaints, _) = check(&HOOK.replace("{titleId}", "{titleId"));
        assert!(complaints[0].starts_with("HOOKS.netflix.map, table 1, key: "), "{complaints:?}");
        let (complaints, _) = check(&HOOK.replace("scheme", "shceme"));
        assert!(complaints.iter().any(|why| why.starts_with("HOOKS.netflix.shceme: there is no such field")));
        let (complaints, _) = check(&HOOK.replace("NETFLIX_HOOK", "PUBLISH_TOKENS"));
        assert!(complaints[0].contains("Newsreel's own"), "{complaints:?}");
        let (complaints, _) = check(&format!("[vars]\nNETFLIX_HOOK = \"whsec_x\"\n{HOOK}"));
        assert!(complaints[0].contains("wrangler secret put NETFLIX_HOOK"), "{complaints:?}");
        assert!(!complaints[0].contains("whsec_x"));
        let (complaints, _) = check(&HOOK.replace("{titleId}", &"x".repeat(5 << 10)));
        assert!(complaints[0].contains("Cloudflare takes 5120"), "{complaints:?}");
    }

    #[test]
    fn a_queue_that_would_lose_messages_is_told() {
        for (from, to, says) in [
            (
                "[[queues.consumers]]\n        queue = \"hooks\"\n",
                "[[queues.consumers]]\n        queue = \"x\"\n",
                "nothing consumes the queue of HOOK_QUEUE",
            ),
            ("dead_letter_queue = \"hooks-dead\"", "", "drops what it gives up"),
            ("hooks-dead", "hooks-lost", "does not end with -dead"),
            (
                "]]\n        queue = \"hooks-dead\"",
                "]]\n        queue = \"other-dead\"",
                "`newsreel hooks dead` does not list it",
            ),
        ] {
            let (complaints, _) = check(&QUEUE.replace(from, to));
            assert!(complaints.iter().any(|why| why.contains(says)), "{to}: {complaints:?}");
        }
        let (complaints, warnings) = check(&QUEUE.replace("max_concurrency = 1", ""));
        assert!(complaints.is_empty() && warnings[0].contains("max_concurrency = 1"), "{warnings:?}");
    }
}
