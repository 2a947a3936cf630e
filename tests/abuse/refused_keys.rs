//! Attack: requests with an expired key of the behaving tenant, whose access its live key needs too.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use shared::domain::{api_key::ApiKey, id::MessageId, tenant::NewKey, time::Timestamp};
use tokio::time::Instant;

use super::experiment::{ENVIRONMENTS, Experiment, Length};

/// Simultaneous requests.
const CLIENTS: usize = 4;

/// The pause of a client after each response.
const PAUSE: Duration = Duration::from_millis(20);

/// Calls of DynamoDB for a refused request: the tenant's access, beside a small read that a live key would need. Another
/// one finds the key's tenant every 5 s.
const CALLS: f64 = 3.0;

async fn attack(length: Length) {
    let mut experiment = Experiment::new("an expired key", length).await;
    let expired = format!("key-{}", MessageId::generate());
    experiment.attack_with_key(&expired);
    let (hash, now) = (ApiKey::new(&expired).hash(), Timestamp::now());
    let new = NewKey { key: &hash, expires_at: Some(now.minus(Duration::from_secs(60))) };
    let added = experiment.stack.tenants().add_key(&experiment.attacker.id, new, now).await;
    assert!(added.expect("DynamoDB responds").is_some(), "the key is new");
    let (requests, usage) = experiment.run(request).await;
    let allowed = CALLS * (requests + ENVIRONMENTS) as f64;
    assert!(usage.calls <= allowed, "{} calls for {requests} requests", usage.calls);
    // Reads are strongly consistent: one unit each. What else was called wrote, or tried to.
    let writes = usage.calls - usage.read_units;
    assert!(writes <= ENVIRONMENTS as f64, "{writes} writes for {requests} requests");
}

async fn request(experiment: &Experiment, end: Instant) -> (usize, Vec<String>) {
    let flood = async |_| {
        let mut requests = 0;
        while Instant::now() < end {
            let refused = experiment.attacker.get("/api/v1/chats/user/u").await;
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{}", refused.body);
            requests += 1;
            tokio::time::sleep(PAUSE).await;
        }
        requests
    };
    let requests: usize = join_all((0..CLIENTS).map(flood)).await.into_iter().sum();
    (requests, Vec::new())
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_key_does_not_write_to_the_access_of_its_tenant() {
    attack(Length::SHORT).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "it takes a minute; .ci/full runs it"]
async fn expired_key_for_a_minute() {
    attack(Length::long()).await;
}
