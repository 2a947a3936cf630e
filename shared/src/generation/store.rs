//! The interface to storage: what the owner of a generation lease reads and writes. Tests keep it in memory.

use std::fmt::Debug;

use futures_util::{FutureExt, future::BoxFuture};

use crate::{
    domain::{generation::Outcome, message::Usage, time::Timestamp},
    storage::{FinishResult, GenerationLease, PendingCommands, RemovedGeneration, ResumeCommand, StorageError},
};

type StorageFuture<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// A generation lease and what it allows.
pub(super) trait GenerationStore: Debug + Send + Sync {
    /// When the lease expires, by this machine's clock. Nothing may be posted after that.
    fn lease_expires_at(&self) -> Timestamp;

    /// Saves the next chunk of text and renews the lease. False when the lease is lost; then nothing is saved.
    fn save<'a>(&'a self, text: &'a str, now: Timestamp) -> StorageFuture<'a, bool>;

    /// Renews the lease. False when it is lost.
    fn renew(&self, now: Timestamp) -> StorageFuture<'_, bool>;

    /// Reads the commands that other sockets left.
    fn poll_commands(&self) -> StorageFuture<'_, PendingCommands>;

    /// Removes a resume command that has been carried out.
    fn acknowledge<'a>(&'a self, resume: &'a ResumeCommand) -> StorageFuture<'a, ()>;

    /// Stores the outcome.
    fn finish<'a>(&'a self, outcome: &'a Outcome, now: Timestamp) -> StorageFuture<'a, FinishResult>;

    /// Settles what the generation has reserved of its tenant's budget.
    fn settle_budget(&self, usage: Usage) -> StorageFuture<'_, ()>;

    /// Removes the chat's record of the generation and returns it.
    fn remove_record(&self, usage: Usage, ended_at: Timestamp) -> StorageFuture<'_, Option<RemovedGeneration>>;

    /// Counts the usage of the generation after its record was removed.
    fn count_usage<'a>(&'a self, removed: &'a RemovedGeneration) -> StorageFuture<'a, ()>;

    /// Deletes the chunks.
    fn delete_chunks(&self) -> StorageFuture<'_, ()>;
}

impl GenerationStore for GenerationLease {
    fn lease_expires_at(&self) -> Timestamp {
        self.expires_at()
    }

    fn save<'a>(&'a self, text: &'a str, now: Timestamp) -> StorageFuture<'a, bool> {
        self.save(text, now).boxed()
    }

    fn renew(&self, now: Timestamp) -> StorageFuture<'_, bool> {
        self.renew(now).boxed()
    }

    fn poll_commands(&self) -> StorageFuture<'_, PendingCommands> {
        self.poll_commands().boxed()
    }

    fn acknowledge<'a>(&'a self, resume: &'a ResumeCommand) -> StorageFuture<'a, ()> {
        self.acknowledge(resume).boxed()
    }

    fn finish<'a>(&'a self, outcome: &'a Outcome, now: Timestamp) -> StorageFuture<'a, FinishResult> {
        self.finish(outcome, now).boxed()
    }

    fn settle_budget(&self, usage: Usage) -> StorageFuture<'_, ()> {
        self.settle_budget(usage).boxed()
    }

    fn remove_record(&self, usage: Usage, ended_at: Timestamp) -> StorageFuture<'_, Option<RemovedGeneration>> {
        self.remove_record(usage, ended_at).boxed()
    }

    fn count_usage<'a>(&'a self, removed: &'a RemovedGeneration) -> StorageFuture<'a, ()> {
        self.count_usage(removed).boxed()
    }

    fn delete_chunks(&self) -> StorageFuture<'_, ()> {
        self.delete_chunks().boxed()
    }
}
