//! The examples of `docs/API.md`, run as they are written.

mod black_box {
    use std::{ffi::OsStr, process::Stdio, time::Duration};

    use tests::{Api, Customer, Document};
    use tokio::process::Command;

    /// The page's blocks in a language, with the addresses and the key of this stack and tenant.
    fn blocks(language: &str, api: &Api, tenant: &Customer) -> Vec<String> {
        let blocks = Document::read("docs/API.md").blocks(language);
        let blocks = blocks.into_iter().map(|block| {
            let block = block.replace("ws://localhost:8000/ws/chat", api.websocket_url());
            block.replace("http://localhost:8000", api.rest_url()).replace("your-tenant-api-key", &tenant.key)
        });
        blocks.collect()
    }

    /// Runs a script; returns its output.
    async fn output(
        program: impl AsRef<OsStr>,
        arguments: &[&str],
        script: &str,
        variables: &[(&str, &str)],
    ) -> String {
        let mut command = Command::new(program);
        command.args(arguments).arg(script).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = ended.expect("it ends").expect("it runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    async fn node(script: &str, variables: &[(&str, &str)]) -> String {
        output(tests::node(), &["--experimental-websocket", "--no-warnings", "-e"], script, variables).await
    }

    #[tokio::test]
    async fn rest_examples_work_as_written() {
        let api = Api::shared();
        let tenant = api.tenant("api page").await;
        let blocks = blocks("sh", api, &tenant);
        assert_eq!(blocks.len(), 9, "the variables, and one block for each operation");
        let script = format!("set -eu\ncurl() {{ command curl --fail-with-body \"$@\"; }}\n{}", blocks.join("\n"));
        let printed = output("sh", &["-c"], &script, &[]).await;
        assert!(printed.trim_end().ends_with("204"), "the last one deletes the chat: {printed}");
    }

    #[tokio::test]
    async fn websocket_examples_work_as_written() {
        let api = Api::shared();
        let tenant = api.tenant("api page sockets").await;
        let chat = tenant.chat("user123").await;
        let blocks = blocks("js", api, &tenant);
        let [with_ticket, with_key, client, message, cancel, resume, regenerate, ping] = &blocks[..] else {
            panic!("one block for each way to connect, a client, and one for each frame: {blocks:#?}")
        };

        let response = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &serde_json::json!({})).await;
        let url = response.body["url"].as_str().expect("an address");
        let answer = "You said: Hello, I need help with my account";
        let script = format!("const url = process.env.TICKET_URL;\n{with_ticket}\n{client}");
        assert_eq!(node(&script, &[("TICKET_URL", url)]).await, answer);

        let other = tenant.chat("user123").await;
        let script = format!("{with_key}\n{client}");
        assert_eq!(node(&script, &[("CHAT", &other)]).await, answer);

        // Each frame of the page, after the end of the previous answer. Offset 0 replays the whole answer.
        let script = format!(
            r#"{with_key}
            let answerId, nextOffset = 0;
            const next = [() => {{ {resume} }}, () => {{ {cancel} }}, () => {{ {regenerate} }}, () => {{ {ping} }}];
            ws.onopen = () => {{ {message} }};
            ws.onmessage = ({{ data }}) => {{
              const event = JSON.parse(data);
              if (event.type === "error") throw new Error(data);
              if (event.replaces) console.log(event.replaces === answerId ? "replaced" : data);
              if (event.type === "message_stream_ended") {{ answerId = event.message_id; next.shift()(); }}
              if (event.type === "pong") {{ console.log("all"); ws.close(); }}
            }};"#,
        );
        assert_eq!(node(&script, &[("CHAT", &other)]).await.trim_end(), "replaced\nall");
    }
}
