//! The examples of `docs/API.md`, run as they stand there.

mod black_box {
    use std::{process::Stdio, time::Duration};

    use tests::{Api, Customer};
    use tokio::process::Command;

    const PAGE: &str = include_str!("../../docs/API.md");

    /// The page's blocks in a language, for this stack and tenant.
    fn blocks(language: &str, api: &Api, tenant: &Customer) -> Vec<String> {
        let fence = format!("```{language}\n");
        let blocks = PAGE.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
        blocks
            .map(|block| {
                let block = block.replace("ws://localhost:8000/ws/chat", api.websocket_url());
                block.replace("http://localhost:8000", api.rest_url()).replace("your-tenant-api-key", &tenant.key)
            })
            .collect()
    }

    /// Runs a program to its end and returns what it printed.
    async fn output(program: &str, arguments: &[&str], script: &str, variables: &[(&str, &str)]) -> String {
        let mut command = Command::new(program);
        command.args(arguments).arg(script).envs(variables.iter().copied()).stdin(Stdio::null()).kill_on_drop(true);
        let ended = tokio::time::timeout(Duration::from_secs(60), command.output()).await;
        let output = ended.expect("it ends").expect("it runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout.into_owned()
    }

    async fn node(script: &str, variables: &[(&str, &str)]) -> String {
        output("node", &["--experimental-websocket", "--no-warnings", "-e"], script, variables).await
    }

    #[tokio::test]
    async fn every_call_works_as_it_is_written() {
        let api = Api::shared();
        let tenant = api.tenant("api page").await;
        let blocks = blocks("sh", api, &tenant);
        assert_eq!(blocks.len(), 8, "the variables, and one block for each operation");
        let script = format!("set -eu\ncurl() {{ command curl --fail-with-body \"$@\"; }}\n{}", blocks.join("\n"));
        let printed = output("sh", &["-c"], &script, &[]).await;
        assert!(printed.trim_end().ends_with("204"), "the last one deletes the chat: {printed}");
    }

    #[tokio::test]
    async fn every_way_to_connect_and_every_frame_works_as_it_is_written() {
        let api = Api::shared();
        let tenant = api.tenant("api page sockets").await;
        let chat = tenant.chat("user123").await;
        let blocks = blocks("js", api, &tenant);
        let [with_ticket, with_key, client, message, cancel, resume, regenerate, ping] = &blocks[..] else {
            panic!("there is one block for each way to connect, a client, and each type of frame: {blocks:#?}")
        };

        let answer = tenant.post(&format!("/api/v1/chats/{chat}/tickets"), &serde_json::json!({})).await;
        let url = answer.body["url"].as_str().expect("an address");
        let answered = "You said: Hello, I need help with my account";
        let script = format!("const url = process.env.TICKET_URL;\n{with_ticket}\n{client}");
        assert_eq!(node(&script, &[("TICKET_URL", url)]).await, answered);

        let other = tenant.chat("user123").await;
        let script = format!("{with_key}\n{client}");
        assert_eq!(node(&script, &[("CHAT", &other)]).await, answered);

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
