//! Reading from the agent before the message is stored, so that its first token comes sooner.

use std::panic::resume_unwind;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::telemetry;

/// How many items are read before the reader polls.
const PREFETCHED_ITEMS: usize = 64;

/// Starts to read a stream at once, in a task of its own. Dropping the result drops the stream; its panics resume in the
/// reader.
pub fn prefetch<T: Send + 'static>(mut inner: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::channel(PREFETCHED_ITEMS);
    let task = AbortOnDropHandle::new(tokio::spawn(telemetry::in_current_scope(async move {
        while let Some(item) = inner.next().await {
            if sender.send(item).await.is_err() {
                break;
            }
        }
    })));
    let prefetched = stream::unfold((receiver, task), async |(mut receiver, task)| match receiver.recv().await {
        Some(item) => Some((item, (receiver, task))),
        None => match task.await {
            Err(failure) if failure.is_panic() => resume_unwind(failure.into_panic()),
            _ => None,
        },
    });
    prefetched.boxed()
}

#[cfg(test)]
mod tests {
    use std::{
        panic::AssertUnwindSafe,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn stream_is_read_before_it_is_polled() {
        let read = Arc::new(AtomicBool::new(false));
        let flag = read.clone();
        let prefetched = prefetch(stream::once(async move { flag.store(true, Ordering::SeqCst) }).boxed());
        while !read.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert_eq!(prefetched.count().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_it_drops_the_stream() {
        struct Flag(Arc<AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Flag(dropped.clone());
        let endless = stream::pending::<()>().map(move |()| flag.0.load(Ordering::SeqCst));
        let prefetched = prefetch(endless.boxed());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!dropped.load(Ordering::SeqCst));
        drop(prefetched);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn panic_resumes_in_the_reader() {
        let broken = stream::iter([1, 2]).map(|number| if number == 2 { panic!("two") } else { number });
        let mut prefetched = prefetch(broken.boxed());
        assert_eq!(prefetched.next().await, Some(1));
        assert!(AssertUnwindSafe(prefetched.next()).catch_unwind().await.is_err());
    }
}
