//! What one request, or one piece of work after its answer, is about and has used so far.
//!
//! It travels with the task, not with the process: several requests may run in one. What is spawned takes it along by
//! [`carried`].

use std::{
    future::Future,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Instant,
};

use super::{line::Line, trace::Trace};
use crate::domain::id::TenantId;

tokio::task_local! {
    static CURRENT: Arc<Activity>;
}

#[derive(Debug)]
pub(super) struct Activity {
    begun: Instant,
    request_id: String,
    trace: Option<Trace>,
    tenant: OnceLock<TenantId>,
    used: Mutex<Used>,
}

/// What was used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Used {
    /// What was asked of DynamoDB.
    pub(super) operations: u64,
    /// How often it was called for that: the SDK tries again.
    pub(super) calls: u64,
    /// Calls that DynamoDB refused since they were too many.
    pub(super) throttles: u64,
    pub(super) read_units: f64,
    pub(super) write_units: f64,
    /// Posts that arrived at a socket.
    pub(super) frames: u64,
    pub(super) posted_bytes: u64,
    /// Posts that had to be sent again.
    pub(super) posts_retried: u64,
}

impl Activity {
    pub(super) fn new(request_id: String, trace: Option<Trace>) -> Arc<Self> {
        let (tenant, used) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { begun: Instant::now(), request_id, trace, tenant, used })
    }

    /// What goes on after this one's answer: about the same request, but counted apart.
    pub(super) fn after(&self) -> Arc<Self> {
        let after = Self::new(self.request_id.clone(), self.trace.clone());
        if let Some(tenant) = self.tenant.get() {
            after.note_tenant(tenant);
        }
        after
    }

    /// Counts all that `future` does as part of this.
    pub(super) fn scope<F: Future>(self: &Arc<Self>, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    pub(super) fn note_tenant(&self, tenant: &TenantId) {
        // A request is of one tenant.
        let _ = self.tenant.set(tenant.clone());
    }

    pub(super) fn elapsed_ms(&self) -> f64 {
        (self.begun.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds whose it is.
    pub(super) fn name(&self, line: Line) -> Line {
        line.with("request_id", self.request_id.clone())
            .with_some("trace_id", self.trace.as_ref().map(|trace| trace.id().to_owned()))
            .with_some("tenant_id", self.tenant.get().map(|tenant| tenant.as_str().to_owned()))
    }

    /// Adds what it used.
    pub(super) fn bill(&self, line: Line) -> Line {
        let used = *self.used();
        line.with("dynamodb.calls", used.calls)
            .with("dynamodb.read_units", used.read_units)
            .with("dynamodb.write_units", used.write_units)
            .with_any("dynamodb.retries", used.calls.saturating_sub(used.operations))
            .with_any("dynamodb.throttles", used.throttles)
            .with_any("frames", used.frames)
            .with_any("posted_bytes", used.posted_bytes)
            .with_any("posts_retried", used.posts_retried)
    }
}

/// What is going on in this task, if it is an activity.
pub(super) fn current() -> Option<Arc<Activity>> {
    CURRENT.try_with(Arc::clone).ok()
}

pub(super) fn count(add: impl FnOnce(&mut Used)) {
    let _ = CURRENT.try_with(|activity| add(&mut activity.used()));
}

/// A post that arrived.
pub(crate) fn count_frame(bytes: usize) {
    count(|used| {
        used.frames += 1;
        used.posted_bytes += bytes as u64;
    });
}

/// A post that is sent again.
pub(crate) fn count_retried_post() {
    count(|used| used.posts_retried += 1);
}

/// Says whose request this is, once it is known: the log names the tenant from then on.
pub fn note_tenant(tenant: &TenantId) {
    let _ = CURRENT.try_with(|activity| activity.note_tenant(tenant));
}

/// What is spawned with this goes on as part of the present activity.
pub fn in_current_scope<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let current = current();
    async move {
        match current {
            Some(activity) => activity.scope(future).await,
            None => future.await,
        }
    }
}

/// Work after the answer of the present request. It has a line of its own, `worked`, also when it is cut off.
pub fn background_task<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> + use<F> {
    struct Tell(&'static str, Arc<Activity>);
    impl Drop for Tell {
        fn drop(&mut self) {
            let Self(name, activity) = self;
            let line = activity.name(Line::new("worked")).with("work", *name);
            activity.bill(line.with("duration_ms", activity.elapsed_ms())).write();
        }
    }
    let before = current();
    async move {
        let Some(before) = before else { return future.await };
        let activity = before.after();
        let _tell = Tell(name, activity.clone());
        activity.scope(future).await
    }
}
