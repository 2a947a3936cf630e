//! What a panic leaves in the log. In a process of its own, since how panics are told is one setting for all of it.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use shared::{
    domain::error::Code,
    runtime::{panics::catch_panic, telemetry},
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(text)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_panic_leaves_its_place_and_not_its_text() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt().json().flatten_event(true).with_writer(move || writer.clone()).init();
    telemetry::log_panics();

    let content = "what the user said";
    let error = catch_panic::<()>(async { panic!("cannot handle {content:?}") }).await.expect_err("it panicked");
    assert_eq!(error.code(), Code::Internal);
    telemetry::log_cause(&error, "r-1");

    let logged = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let logged = String::from_utf8(logged).expect("logs are text");
    assert!(logged.contains("shared/tests/panics.rs:") && logged.contains("the handler panicked"), "{logged}");
    assert!(!logged.contains(content), "{logged}");
}
