//! Maintenance: finishing what those left who died over it, and what nobody comes for.
//!
//! - `chats`: deleted chats that are not purged yet, and answers whose streamers died in chats that nobody opens;
//! - `sockets`: leases that are lost, and sockets that a suspension or a revocation missed and that stay silent;
//! - `retention`: chats that their tenant does not want to keep any longer.
//!
//! Each looks at what is due and at nothing else, see [`store::due`](crate::storage::MaintenanceQueue). Each step is one that may break
//! off, be made again, and be made by two at once, and the mark of what is due goes last; so a run may end anywhere, and the
//! next one goes on. What fails is logged, put off, and holds up nothing else.

mod chats;
mod connections;
mod report;
mod retention;
mod sweep;

use crate::{
    domain::time::Timestamp,
    generation::ChatConnections,
    storage::{ChatRepository, GenerationRepository, StorageError, TenantRepository},
};

pub use report::Report;
use report::ReportCounter;
pub use sweep::StopTime;

/// Whoever keeps house.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// Tenants, and how long their chats are kept.
    pub tenants: TenantRepository,
    /// Chats and their messages.
    pub chats: ChatRepository,
    /// Generations whose owners may be gone.
    pub generations: GenerationRepository,
    /// Open sockets.
    pub sockets: ChatConnections,
}

/// One run.
struct Run<'a> {
    house: &'a Maintenance,
    tally: &'a ReportCounter,
    now: Timestamp,
    until: StopTime,
    request_id: &'a str,
}

impl Maintenance {
    /// Does what is due by `now`, until it is done or time is up. What was done is told also of a run that failed.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when it could not be found out what is due.
    pub async fn run(&self, now: Timestamp, until: StopTime, request_id: &str) -> (Report, Result<(), StorageError>) {
        let tally = ReportCounter::default();
        let run = Run { house: self, tally: &tally, now, until, request_id };
        // At once, so that none of them waits for a long one.
        let (chats, sockets, retention) =
            tokio::join!(Box::pin(run.chats()), Box::pin(run.sockets()), Box::pin(run.retention()));
        (tally.done(), chats.and(sockets).and(retention))
    }
}
