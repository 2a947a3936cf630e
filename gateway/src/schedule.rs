//! Runs functions on their schedules, as EventBridge does: the first time when the first interval is over.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html>

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::stamp;
use crate::template::Schedule;

/// Calls `invoke` with an event each time that the schedule says so. A run that takes longer than the interval is waited
/// for, which AWS does not do.
pub(crate) async fn run<F>(schedule: &Schedule, invoke: impl Fn(Value) -> F)
where
    F: Future<Output = ()>,
{
    let mut ticks = interval_at(Instant::now() + schedule.every, schedule.every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        invoke(event(schedule)).await;
    }
}

fn event(schedule: &Schedule) -> Value {
    let time = Timestamp::now().round(Unit::Second).unwrap_or_default();
    let rule = format!("{}{}", schedule.function.logical_id, schedule.name);
    json!({
        "version": "0",
        "id": stamp::id(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": stamp::ACCOUNT_ID,
        "time": time.to_string(),
        "region": "us-east-1",
        "resources": [format!("arn:aws:events:us-east-1:{}:rule/{rule}", stamp::ACCOUNT_ID)],
        "detail": {},
    })
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::template::Template;

    const TEMPLATE: &str = "
Resources:
  Sweeper:
    Type: AWS::Serverless::Function
    Properties:
      Events:
        Often: { Type: Schedule, Properties: { Schedule: rate(5 minutes) } }
        Never: { Type: Schedule, Properties: { Schedule: rate(1 minute), Enabled: false } }
";

    #[tokio::test(start_paused = true)]
    async fn a_function_runs_each_time_that_its_schedule_says_so() {
        let template = Template::parse(TEMPLATE, &BTreeMap::new()).unwrap();
        let [schedule] = template.schedules().unwrap().try_into().unwrap();
        let (begun, runs) = (Instant::now(), RefCell::new(Vec::new()));
        let invoke = |event: Value| {
            assert_eq!(event["detail-type"], "Scheduled Event");
            runs.borrow_mut().push(begun.elapsed().as_secs());
            tokio::time::sleep(Duration::from_secs(60))
        };
        let a_while = Duration::from_secs(16 * 60);
        assert!(tokio::time::timeout(a_while, run(&schedule, invoke)).await.is_err());
        assert_eq!(*runs.borrow(), [300, 600, 900]);
    }
}
