//! Cancel and resume, as the owner of a generation handles them. Other invocations leave these commands in storage, because
//! only the owner posts to sockets about its generation.

use super::{owned_generation::OwnedGeneration, socket_writer::JoinAt};
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
    pub(super) async fn resume(&mut self, owned: &OwnedGeneration, command: ResumeCommand) -> Result<(), StorageError> {
        if !self.0.contains(&command) {
            if let Some(connection) = owned.find_connection(&command.connection_id).await? {
                owned.fan_out.add(connection, JoinAt::Offset(command.offset));
            }
            self.0.push(command.clone());
        }
        owned.lease.acknowledge(&command).await
    }
}

/// Makes sure that the socket that cancelled gets the end, also if it never got the text.
pub(super) async fn ensure_writer_for(owned: &OwnedGeneration, canceller: &ConnectionId) {
    if !owned.fan_out.has_writer(canceller)
        && let Ok(Some(connection)) = owned.find_connection(canceller).await
    {
        owned.fan_out.add(connection, JoinAt::End);
    }
}
