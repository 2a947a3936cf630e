//! Cancel and resume, as the owner of a generation handles them. Other invocations leave these commands in storage, because
//! only the owner posts to sockets about its generation.

use super::{run::Run, socket_writer::JoinAt};
use crate::{
    domain::id::ConnectionId,
    storage::{ResumeCommand, StorageError},
};

/// The resume commands that have their writer. A command stays in storage until it is acknowledged, and an eventually
/// consistent read may show it even later: it must not start a second writer.
#[derive(Debug, Default)]
pub(super) struct ResumedSockets(Vec<ResumeCommand>);

impl ResumedSockets {
    /// Starts a writer at the client's offset, then removes the command. If the removal fails, the next poll repeats it.
    pub(super) async fn resume(&mut self, run: &Run, command: ResumeCommand) -> Result<(), StorageError> {
        if !self.0.contains(&command) {
            if let Some(connection) = run.find_connection(&command.connection_id).await? {
                run.fan_out.add(connection, JoinAt::Offset(command.offset));
            }
            self.0.push(command.clone());
        }
        run.lease.acknowledge(&command).await
    }
}

/// Makes sure that the socket that cancelled gets the end, also if it never got the text.
pub(super) async fn announce_end_to(run: &Run, canceller: &ConnectionId) {
    if !run.fan_out.has_writer(canceller)
        && let Ok(Some(connection)) = run.find_connection(canceller).await
    {
        run.fan_out.add(connection, JoinAt::End);
    }
}
