//! Invokes functions on their schedules, as EventBridge does: the first time after one interval.
//! <https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-rule-schedule.html>

use jiff::{Timestamp, Unit};
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{
    request_context::{ACCOUNT_ID, generate_id},
    template::Schedule,
};

/// Calls `invoke` with an event at each interval. Unlike on AWS, invocations never overlap: a slow one delays the next.
pub(crate) async fn run<F>(schedule: &Schedule, invoke: impl Fn(Value) -> F)
where
    F: Future<Output = ()>,
{
    let mut ticks = interval_at(Instant::now() + schedule.interval, schedule.interval);
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
        "id": generate_id(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT_ID,
        "time": time.to_string(),
        "region": "us-east-1",
        "resources": [format!("arn:aws:events:us-east-1:{}:rule/{rule}", ACCOUNT_ID)],
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
    async fn schedule_invokes_its_function_at_each_interval() {
        let template = Template::parse(TEMPLATE, &BTreeMap::new()).unwrap();
        let [schedule] = template.schedules().unwrap().try_into().unwrap();
        let (started, invocations) = (Instant::now(), RefCell::new(Vec::new()));
        let invoke = |event: Value| {
            assert_eq!(event["detail-type"], "Scheduled Event");
            invocations.borrow_mut().push(started.elapsed().as_secs());
            tokio::time::sleep(Duration::from_secs(60))
        };
        let limit = Duration::from_secs(16 * 60);
        assert!(tokio::time::timeout(limit, run(&schedule, invoke)).await.is_err());
        assert_eq!(*invocations.borrow(), [300, 600, 900]);
    }
}
