//! A stub of a model provider.

use axum::{Router, routing::MethodRouter};

/// Serves `POST /v1/chat/completions` on its own thread, since a test's runtime ends with the test; returns the base URL.
#[must_use]
pub fn serve_model(complete: MethodRouter) -> String {
    let (address, listens_at) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            address.send(listener.local_addr().expect("an address")).expect("the test waits");
            axum::serve(listener, Router::new().route("/v1/chat/completions", complete)).await.expect("it serves");
        });
    });
    format!("http://{}/v1", listens_at.recv().expect("it listens"))
}
