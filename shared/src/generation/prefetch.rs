//! Asking the agent ahead of time.

use std::panic::resume_unwind;

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::runtime::telemetry;

/// How much of a stream is taken before anyone asks for it.
const ROOM: usize = 64;

/// Begins to take from a stream at once, while its reader is still at something else. Dropping the result drops the
/// stream; a panic in it comes to whoever reads.
pub fn prefetch<T: Send + 'static>(mut inner: BoxStream<'static, T>) -> BoxStream<'static, T> {
    let (sender, receiver) = mpsc::channel(ROOM);
    let taking = AbortOnDropHandle::new(tokio::spawn(telemetry::in_current_scope(async move {
        while let Some(item) = inner.next().await {
            if sender.send(item).await.is_err() {
                break;
            }
        }
    })));
    let taken = stream::unfold((receiver, taking), async |(mut receiver, taking)| match receiver.recv().await {
        Some(item) => Some((item, (receiver, taking))),
        None => match taking.await {
            Err(failure) if failure.is_panic() => resume_unwind(failure.into_panic()),
            _ => None,
        },
    });
    taken.boxed()
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
    async fn it_is_taken_before_anyone_asks() {
        let taken = Arc::new(AtomicBool::new(false));
        let flag = taken.clone();
        let begun = prefetch(stream::once(async move { flag.store(true, Ordering::SeqCst) }).boxed());
        while !taken.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        assert_eq!(begun.count().await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_it_drops_what_is_inside() {
        struct Flag(Arc<AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let dropped = Arc::new(AtomicBool::new(false));
        let flag = Flag(dropped.clone());
        let endless = stream::pending::<()>().map(move |()| flag.0.load(Ordering::SeqCst));
        let begun = prefetch(endless.boxed());
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!dropped.load(Ordering::SeqCst));
        drop(begun);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(dropped.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_panic_comes_to_the_reader() {
        let broken = stream::iter([1, 2]).map(|number| if number == 2 { panic!("two") } else { number });
        let mut begun = prefetch(broken.boxed());
        assert_eq!(begun.next().await, Some(1));
        assert!(AssertUnwindSafe(begun.next()).catch_unwind().await.is_err());
    }
}
