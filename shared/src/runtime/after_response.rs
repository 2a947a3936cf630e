//! Work after the answer.
//!
//! Lambda hands a function's answer on as soon as the runtime posts it, but calls the invocation over, and freezes the
//! process, only when the runtime asks for the next event
//! (AWS Compute Blog, "Running code after returning a response from an AWS Lambda function"). Between the two a function
//! may go on working. A handler says what with [`spawn`]; [`AfterResponse`], the outermost layer of the runtime, waits for
//! it there.
//!
//! The wait ends shortly before the function's deadline, since a process that reaches it is killed. What is not done by
//! then is dropped: frozen, it would go on in the middle of some later invocation. Work belongs to the invocation that
//! spawned it: other invocations in the same process neither wait for it nor are waited for.

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

/// How long before its deadline a function stops waiting.
const MARGIN: Duration = Duration::from_millis(500);

/// How long before its deadline work is told to come to an end: enough to store something and to say so.
const CLOSING: Duration = Duration::from_secs(5);

tokio::task_local! {
    static WORK: Work;
}

/// The work of one invocation.
#[derive(Clone, Debug, Default)]
struct Work {
    tasks: TaskTracker,
    cut: CancellationToken,
    deadline: Option<SystemTime>,
}

/// Begins work that goes on after the handler has answered. What it spawns in turn is waited for as well.
///
/// Outside an invocation, as in a unit test, the work just runs.
pub fn spawn<F>(work: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    match WORK.try_with(Work::clone) {
        Ok(current) => {
            let cut = current.cut.clone();
            let tasks = current.tasks.clone();
            tasks.spawn(WORK.scope(current, async move { cut.run_until_cancelled(work).await }));
        }
        Err(_) => drop(tokio::spawn(work)),
    }
}

/// Waits until it is time to come to an end, since the function's own end is near. Work that does not is cut off.
///
/// Endless outside an invocation, and where there is no deadline.
pub async fn deadline_near() {
    let deadline = WORK.try_with(|work| work.deadline).ok().flatten();
    match deadline.map(left_until) {
        Some(left) => tokio::time::sleep(left.saturating_sub(CLOSING)).await,
        None => std::future::pending().await,
    }
}

fn left_until(deadline: SystemTime) -> Duration {
    deadline.duration_since(SystemTime::now()).unwrap_or_default()
}

/// The layer that waits for what was [`spawn`]ed, between a function's answer and its next event. It waits also when
/// the handler failed or panicked.
#[derive(Clone, Copy, Debug)]
pub struct AfterResponse {
    detached: bool,
}

impl AfterResponse {
    /// Waits, unless the configuration says that nothing freezes this process.
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

/// A service that is done only when the work after its answer is.
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
        // A deadline that has passed already is one that nobody set: the emulator sends 1970.
        let deadline = Some(invocation.context.deadline()).filter(|deadline| *deadline > SystemTime::now());
        let work = Work { deadline, ..Work::default() };
        // A handler may spawn before its future is first polled.
        let answered = WORK.sync_scope(work.clone(), || self.inner.call(invocation));
        let detached = self.detached;
        Box::pin(async move {
            let result = WORK.scope(work.clone(), answered).await;
            if !detached {
                work.finish().await;
            }
            result
        })
    }
}

impl Work {
    /// Waits until all is done or time is up.
    async fn finish(&self) {
        self.tasks.close();
        let Some(deadline) = self.deadline else { return self.tasks.wait().await };
        if tokio::time::timeout(left_until(deadline).saturating_sub(MARGIN), self.tasks.wait()).await.is_err() {
            tracing::error!(tasks = self.tasks.len(), "work after the answer was cut off by the function's deadline");
            self.cut.cancel();
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
        let answer = service.call(invocation(deadline)).await;
        (done.load(Ordering::SeqCst), answer.is_ok())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_for_work_and_the_work_of_work_also_when_the_handler_failed() {
        let later = SystemTime::now() + Duration::from_secs(900);
        assert_eq!(run(false, later, Ok(())).await, (2, true));
        assert_eq!(run(false, later, Err("failed")).await, (2, false));
    }

    #[tokio::test(start_paused = true)]
    async fn an_unset_deadline_does_not_cut_the_work() {
        let emulated = SystemTime::UNIX_EPOCH + Duration::from_secs(600);
        assert_eq!(run(false, emulated, Ok(())).await, (2, true));
    }

    #[tokio::test(start_paused = true)]
    async fn stops_waiting_before_the_deadline() {
        let soon = SystemTime::now() + Duration::from_secs(90);
        let done = Arc::new(AtomicUsize::new(0));
        assert_eq!(run_counting(false, soon, Ok(()), done.clone()).await, (1, true));
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        assert_eq!(done.load(Ordering::SeqCst), 1, "what was cut off does not come back later");
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_wait_where_nothing_freezes_the_process() {
        let later = SystemTime::now() + Duration::from_secs(900);
        assert_eq!(run(true, later, Ok(())).await, (0, true));
    }
}
