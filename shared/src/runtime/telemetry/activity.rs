//! What a request or a background task is about, and what it has used so far.
//!
//! An activity belongs to a task, not to the process, which may serve several requests at once. Spawned tasks inherit it
//! through [`in_current_scope`].

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
    started: Instant,
    request_id: String,
    trace: Option<Trace>,
    tenant: OnceLock<TenantId>,
    usage: Mutex<ResourceUsage>,
}

/// What an activity has used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct ResourceUsage {
    /// Operations on DynamoDB.
    pub(super) operations: u64,
    /// Attempts of these operations: the SDK retries.
    pub(super) calls: u64,
    /// Attempts that DynamoDB throttled.
    pub(super) throttles: u64,
    pub(super) read_units: f64,
    pub(super) write_units: f64,
    /// Posts that a connection received.
    pub(super) frames: u64,
    pub(super) posted_bytes: u64,
    /// Posts that were retried.
    pub(super) posts_retried: u64,
    /// Posts that API Gateway refused because there were too many.
    pub(super) posts_refused: u64,
    /// Entries of the maintenance queue that failed.
    pub(super) maintenance_failures: u64,
}

impl Activity {
    pub(super) fn new(request_id: String, trace: Option<Trace>) -> Arc<Self> {
        let (tenant, usage) = (OnceLock::new(), Mutex::default());
        Arc::new(Self { started: Instant::now(), request_id, trace, tenant, usage })
    }

    /// A background task of the same request, with a usage of its own.
    pub(super) fn background(&self) -> Arc<Self> {
        let background = Self::new(self.request_id.clone(), self.trace.clone());
        if let Some(tenant) = self.tenant.get() {
            background.note_tenant(tenant);
        }
        background
    }

    /// Runs `future` as part of this activity.
    pub(super) fn scope<F: Future>(self: &Arc<Self>, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }

    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    pub(super) fn note_tenant(&self, tenant: &TenantId) {
        // A request belongs to one tenant, so a second call changes nothing.
        let _ = self.tenant.set(tenant.clone());
    }

    pub(super) fn elapsed_ms(&self) -> f64 {
        (self.started.elapsed().as_secs_f64() * 1e6).round() / 1e3
    }

    fn usage(&self) -> MutexGuard<'_, ResourceUsage> {
        self.usage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the ids of request, trace and tenant.
    pub(super) fn add_ids(&self, line: Line) -> Line {
        line.with("request_id", self.request_id.clone())
            .with_some("trace_id", self.trace.as_ref().map(|trace| trace.id().to_owned()))
            .with_some("tenant_id", self.tenant.get().map(|tenant| tenant.as_str().to_owned()))
    }

    /// Adds the resources used.
    pub(super) fn add_usage(&self, line: Line) -> Line {
        let used = *self.usage();
        line.with("dynamodb.calls", used.calls)
            .with("dynamodb.read_units", used.read_units)
            .with("dynamodb.write_units", used.write_units)
            .with_nonzero("dynamodb.retries", used.calls.saturating_sub(used.operations))
            .with_nonzero("dynamodb.throttles", used.throttles)
            .with_nonzero("frames", used.frames)
            .with_nonzero("posted_bytes", used.posted_bytes)
            .with_nonzero("posts_retried", used.posts_retried)
            .with_nonzero("posts_refused", used.posts_refused)
            .with_nonzero("maintenance_failures", used.maintenance_failures)
    }
}

/// The activity of the current task.
pub(super) fn current() -> Option<Arc<Activity>> {
    CURRENT.try_with(Arc::clone).ok()
}

pub(super) fn count(add: impl FnOnce(&mut ResourceUsage)) {
    let _ = CURRENT.try_with(|activity| add(&mut activity.usage()));
}

/// Counts a post that a connection received.
pub(crate) fn count_frame(bytes: usize) {
    count(|used| {
        used.frames += 1;
        used.posted_bytes += bytes as u64;
    });
}

/// Counts a post that is retried.
pub(crate) fn count_retried_post() {
    count(|used| used.posts_retried += 1);
}

/// Counts a post that API Gateway refused because there are too many.
pub(crate) fn count_refused_post() {
    count(|used| used.posts_refused += 1);
}

/// Counts an entry of the maintenance queue that failed.
pub(crate) fn count_maintenance_failure() {
    count(|used| used.maintenance_failures += 1);
}

/// Sets the tenant of the current activity, for its log line.
pub fn note_tenant(tenant: &TenantId) {
    let _ = CURRENT.try_with(|activity| activity.note_tenant(tenant));
}

/// Makes a future that is about to be spawned part of the current activity.
pub fn in_current_scope<F: Future>(future: F) -> impl Future<Output = F::Output> + use<F> {
    let current = current();
    async move {
        match current {
            Some(activity) => activity.scope(future).await,
            None => future.await,
        }
    }
}

/// Runs a background task of the current request. It writes a log line of its own, also when it is aborted.
pub fn background_task<F: Future>(name: &'static str, future: F) -> impl Future<Output = F::Output> + use<F> {
    struct LogOnDrop(&'static str, Arc<Activity>);
    impl Drop for LogOnDrop {
        fn drop(&mut self) {
            let Self(name, activity) = self;
            let line = activity.add_ids(Line::new("after-response work ended")).with("task", *name);
            activity.add_usage(line.with("duration_ms", activity.elapsed_ms())).write();
        }
    }
    let request = current();
    async move {
        let Some(request) = request else { return future.await };
        let activity = request.background();
        let _log = LogOnDrop(name, activity.clone());
        activity.scope(future).await
    }
}
