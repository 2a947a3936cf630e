//! The handler of the schedule.

use shared::{
    domain::{error::ApiError, time::Timestamp},
    maintenance::Maintenance,
    schedule::ScheduledRun,
};

/// What the function works with.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) house: Maintenance,
}

/// Does what is due, and says what was done. Fails when it cannot be found out what is; what fails by itself is in the
/// log, counted, and tried again.
pub(crate) async fn handle(app: App, occasion: ScheduledRun) -> Result<(), ApiError> {
    let ScheduledRun { request_id, until } = occasion;
    let (done, result) = app.house.run(Timestamp::now(), until, &request_id).await;
    done.log(&request_id);
    Ok(result?)
}
