//! Work after the response.
//!
//! Lambda delivers a function's response as soon as the runtime posts it. It ends the invocation and freezes the process
//! only when the runtime asks for the next event (AWS Compute Blog, "Running code after returning a response from an AWS
//! Lambda function"). Between the two a function may go on working. A handler starts such work with [`spawn`];
//! [`AfterResponse`], the outermost layer of the runtime, waits for it there.
//!
//! The wait ends shortly before the function's deadline, because Lambda kills a process that reaches it. Work that is still
//! running then is dropped: frozen, it would go on in the middle of some later invocation. Work belongs to the invocation
//! that spawned it: other invocations in the same process neither wait for it nor are waited for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use lambda_runtime::LambdaInvocation;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Layer, Service};

use crate::runtime::config::RuntimeConfig;

/// How long before the function's deadline the wait for work ends.
const WAIT_MARGIN: Duration = Duration::from_millis(500);

/// How long before the function's deadline work is asked to finish: time enough to store a result and post it.
const FINISH_MARGIN: Duration = Duration::from_secs(5);

tokio::task_local! {
    static WORK: BackgroundWork;
}

/// The work of one invocation.
#[derive(Clone, Debug, Default)]
struct BackgroundWork {
    tasks: TaskTracker,
    cut_off: CancellationToken,
    deadline: Option<SystemTime>,
}

/// Starts work that goes on after the response. The wait covers what the work spawns in turn.
///
/// Outside an invocation, as in a unit test, the work just runs.
pub fn spawn<F>(work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    match WORK.try_with(BackgroundWork::clone) {
        Ok(current) => {
            let cut_off = current.cut_off.clone();
            let tasks = current.tasks.clone();
            tasks.spawn(WORK.scope(current, async move { cut_off.run_until_cancelled(work).await }));
        }
        Err(_) => drop(tokio::spawn(work)),
    }
}

/// Waits until the function's deadline is 5 s away, when work must finish or is cut off.
///
/// Never returns outside an invocation or without a deadline.
pub async fn deadline_near() {
    let deadline = WORK.try_with(|work| work.deadline).ok().flatten();
    match deadline.map(time_until) {
        Some(left) => tokio::time::sleep(left.saturating_sub(FINISH_MARGIN)).await,
        None => std::future::pending().await,
    }
}

fn time_until(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default()
}

/// The layer that waits for [`spawn`]ed work between a function's response and its next event, also when the handler
/// failed or panicked.
#[derive(Clone, Copy, Debug)]
pub struct AfterResponse {
    detached: bool,
}

impl AfterResponse {
    /// Waits, unless the configuration says that this process is never frozen.
    #[must_use]
    pub fn new(config: &RuntimeConfig) -> Self {
        Self { detached: config.detaches_after_response() }
    }
}

impl<S> Layer<S> for AfterResponse {
    type Service = AfterResponseService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AfterResponseService { inner, detached: self.detached }
    }
}

/// A service that completes when the work after its response is done.
#[derive(Clone, Debug)]
pub struct AfterResponseService<S> {
    inner: S,
    detached: bool,
}

impl<S> Service<LambdaInvocation> for AfterResponseService<S>
where
    S: Service<LambdaInvocation, Response = ()>,
    S::Future: 'static,
{
    type Response = ();
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), S::Error>>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        // The emulator sends a deadline in 1970, which means none.
        let deadline = Some(invocation.context.deadline()).filter(|deadline| *deadline > SystemTime::now());
        let work = BackgroundWork { deadline, ..BackgroundWork::default() };
        // A handler may spawn before its future is first polled.
        let response = WORK.sync_scope(work.clone(), || self.inner.call(invocation));
        let detached = self.detached;
        Box::pin(async move {
            let result = WORK.scope(work.clone(), response).await;
            if !detached {
                work.finish().await;
            }
            result
        })
    }
}

impl BackgroundWork {
    /// Waits until all work is done; cuts it off shortly before the deadline.
    async fn finish(&self) {
        self.tasks.close();
        let Some(deadline) = self.deadline else { return self.tasks.wait().await };
        if tokio::time::timeout(time_until(deadline).saturating_sub(WAIT_MARGIN), self.tasks.wait()).await.is_err() {
            tracing::error!(tasks = self.tasks.len(), "after-response work aborted at the deadline");
            self.cut_off.cancel();
            self.tasks.wait().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use tower::service_fn;

    use super::*;

    fn invocation(deadline: SystemTime) -> LambdaInvocation {
        let mut context = lambda_runtime::Context::default();
        context.deadline =
            u64::try_from(deadline.duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_millis())
                .expect("a sane year");
        LambdaInvocation { parts: http::Response::new(()).into_parts().0, body: Vec::new().into(), context }
    }

    fn nested_work(done: Arc<AtomicUsize>) {
        spawn(async move {
            tokio::time::sleep(Duration::from_secs(60)).await;
            done.fetch_add(1, Ordering::SeqCst);
            spawn(async move {
                tokio::time::sleep(Duration::from_secs(60)).await;
                done.fetch_add(1, Ordering::SeqCst);
            });
        });
    }

    async fn run(detached: bool, deadline: SystemTime, result: Result<(), &'static str>) -> (usize, bool) {
        let done = Arc::new(AtomicUsize::new(0));
        run_counting(detached, deadline, result, done).await
    }

    async fn run_counting(
        detached: bool,
        deadline: SystemTime,
        result: Result<(), &'static str>,
        done: Arc<AtomicUsize>,
    ) -> (usize, bool) {
        let handler = service_fn({
            let done = done.clone();
            move |_: LambdaInvocation| {
                nested_work(done.clone());
                async move { result }
            }
        });
        let mut service = AfterResponse { detached }.layer(handler);
        let response = service.call(invocation(deadline)).await;
        (done.load(Ordering::SeqCst), response.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn nested_work_is_awaited_also_when_the_handler_failed() {
        let later = SystemTime::now() + Duration::from_secs(900);
        assert_eq!(run(false, later, Ok(())).await, (2, true));
        assert_eq!(run(false, later, Err("failed")).await, (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn missing_deadline_does_not_cut_work_off() {
        let emulated = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        assert_eq!(run(false, emulated, Ok(())).await, (2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn work_is_cut_off_before_the_deadline() {
        let soon = SystemTime::now() + Duration::from_secs(90);
        let done = Arc::new(AtomicUsize::new(0));
        assert_eq!(run_counting(false, soon, Ok(()), done.clone()).await, (1, true));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(done.load(Ordering::SeqCst), 1, "work that was cut off never resumes");
    }

    #[tokio::test(start_paused = true)]
    async fn detached_process_does_not_wait() {
        let later = SystemTime::now() + Duration::from_secs(900);
        assert_eq!(run(true, later, Ok(())).await, (0, true));
    }
}
