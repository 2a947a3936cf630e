//! schemathesis generates valid and invalid requests from `docs/openapi.json` and checks every response against it.

mod black_box {
    use std::{collections::BTreeMap, fs, path::Path, time::Duration};

    use serde_json::Value;
    use shared::domain::limits::Limits;
    use tests::{Api, Options};

    const VERSION: &str = "4.32.5";

    /// Examples of each operation; about 15 s in total.
    const EXAMPLES: &str = "20";

    const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,\
                      response_headers_conformance";

    /// The success of each operation. The test must reach all of them.
    const SUCCESSES: [(&str, &str, u64); 7] = [
        ("POST", "/api/v1/chats/", 201),
        ("GET", "/api/v1/chats/user/{user_id}", 200),
        ("GET", "/api/v1/chats/{chat_id}", 200),
        ("PATCH", "/api/v1/chats/{chat_id}", 200),
        ("DELETE", "/api/v1/chats/{chat_id}", 204),
        ("GET", "/api/v1/chats/{chat_id}/messages", 200),
        ("POST", "/api/v1/chats/{chat_id}/tickets", 201),
    ];

    #[tokio::test(flavor = "multi_thread")]
    #[expect(clippy::print_stdout, reason = "the counts are printed")]
    async fn generated_requests_get_described_responses() {
        let api = Api::shared();
        let limits = Limits { rest_per_minute: 1_000_000, tickets_per_minute: 1_000_000, ..Limits::default() };
        let tenant = api.tenant_with("schemathesis", limits).await;
        let folder = Options::binaries().target.join("tests");
        fs::create_dir_all(&folder).expect("a folder can be created");
        let har = folder.join(format!("schemathesis-{}.har", std::process::id()));
        let openapi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");

        let output = tokio::process::Command::new(tests::python_with("schemathesis", VERSION).join("st"))
            .args(["run", "--url", api.rest_url(), "--header", &format!("X-API-Key: {}", tenant.key)])
            .args(["--checks", CHECKS, "--max-examples", EXAMPLES, "--workers", "1", "--no-color"])
            .args(["--seed", "1", "--generation-deterministic"])
            .args(["--suppress-health-check", "all", "--warnings", "off"])
            .arg("--report-har-path")
            .arg(&har)
            .arg(&openapi)
            .current_dir(&folder)
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(300), output).await.expect("it ends").expect("it runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{stdout}{stderr}");

        let seen = response_counts(&har, api.rest_url());
        println!("schemathesis:");
        for ((method, path, status), count) in &seen {
            println!("{count:6} {method} {path} {status}");
        }
        for (method, path, status) in SUCCESSES {
            assert!(
                seen.contains_key(&(method.to_owned(), path.to_owned(), status)),
                "{method} {path} never got {status}"
            );
        }
        fs::remove_file(har).expect("the report can be removed");
    }

    /// The number of responses by operation and status in the recorded traffic.
    fn response_counts(har: &Path, base: &str) -> BTreeMap<(String, String, u64), u32> {
        let text = fs::read_to_string(har).expect("a report");
        let recorded: Value = serde_json::from_str(&text).expect("JSON");
        let mut counts = BTreeMap::new();
        for entry in recorded["log"]["entries"].as_array().expect("entries") {
            let url = entry["request"]["url"].as_str().expect("an address");
            let path = url.strip_prefix(base).unwrap_or_default().split('?').next().unwrap_or_default();
            let method = entry["request"]["method"].as_str().expect("a method").to_owned();
            let status = entry["response"]["status"].as_u64().expect("a status");
            *counts.entry((method, template(path), status)).or_default() += 1;
        }
        counts
    }

    /// The path in the document.
    fn template(path: &str) -> String {
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            ["", "api", "v1", "chats", ""] => "/api/v1/chats/",
            ["", "api", "v1", "chats", "user", _] => "/api/v1/chats/user/{user_id}",
            ["", "api", "v1", "chats", _] => "/api/v1/chats/{chat_id}",
            ["", "api", "v1", "chats", _, "messages"] => "/api/v1/chats/{chat_id}/messages",
            ["", "api", "v1", "chats", _, "tickets"] => "/api/v1/chats/{chat_id}/tickets",
            _ => "other",
        }
        .to_owned()
    }
}
