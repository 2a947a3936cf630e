//! The commands of `docs/BILLING.md`, run as they are written.

use std::{collections::BTreeSet, fs, process::Stdio, time::Duration};

use shared::{
    domain::{
        budget::TokenQuota,
        day::Day,
        generation::{GenerationRequest, Outcome},
        id::{ChatId, MessageId},
        message::{FinishReason, Status, Usage},
        time::Timestamp,
    },
    storage::{AppendResult, ChatPosition, FinishResult, NewMessage},
};
use tests::{Document, FaultProxy, Options, Stack, Tenant, new_message};
use tokio::process::Command;

const JQ_VERSION: &str = "1.13.0";

/// `cargo chat` on the local tables, and `jq` with its package for Python.
const COMMANDS: &str = r#"
set -eu
cargo() { shift; "$CHAT" "$@" --dynamodb-endpoint "$DYNAMODB"; }
jq() { "$PYTHON" -c '
import jq, sys
*options, program = sys.argv[1:]
results = jq.compile(program).input_text(sys.stdin.read()).all()
print(*results if "-r" in options else map(str, results), sep="\n")
sys.exit("-e" in options and not results[-1])
' "$@"; }
"#;

/// Completes a generation with this model at this time.
async fn generate(tenant: &Tenant, model: &str, usage: Usage, at: Timestamp) {
    let stack = Stack::shared();
    let chat = ChatId::parse(&tenant.chat("u").await).expect("an id");
    let generation = GenerationRequest { model, input_tokens: 0, reservation: None };
    let new = NewMessage { generation, ..new_message("Hello") };
    let appended = stack.messages().append(&tenant.id, &chat, ChatPosition::default(), new, at).await;
    let AppendResult::Stored(exchange) = appended.expect("DynamoDB responds") else { panic!("not stored") };
    let lease = stack.generations().lease(&tenant.id, &chat, &exchange.generation);
    let outcome = Outcome {
        content: "Hi".to_owned(),
        status: Status::Complete,
        finish_reason: FinishReason::Stop,
        usage,
        first_token_ms: None,
    };
    assert_eq!(lease.finish(&outcome, at).await.expect("DynamoDB responds"), FinishResult::Stored);
    let removed = lease.remove_record(usage, at).await.expect("DynamoDB responds");
    lease.count_usage(&removed.expect("the generation runs")).await.expect("DynamoDB responds");
}

#[tokio::test]
async fn commands_of_the_billing_page_work_as_written() {
    let stack = Stack::shared();
    let name = format!("Acme {}", MessageId::generate());
    let tenant = stack.tenant(&name).await;
    // No other test uses these days.
    let at = Timestamp::now().minus(Duration::from_secs(300 * 86_400));
    generate(&tenant, "gpt-4.1-nano", Usage::reported(1_000_000, 500_000), at).await;
    generate(&tenant, "gpt-5-mini", Usage::reported(2_000, 7_000), at).await;
    let day = Day::of(at).to_string();

    let page = Document::read("docs/BILLING.md");
    let [prices] = &page.blocks("json")[..] else { panic!("one block has the prices") };
    let [show, export, check, quotas] = &page.blocks("sh")[..] else { panic!("a block for each step, and the quotas") };
    let folder = Options::binaries().target.join("tests").join(&name);
    fs::create_dir_all(&folder).expect("a folder can be created");
    fs::write(folder.join("prices.json"), prices).expect("written");
    // Records what the command asks DynamoDB.
    let proxy = FaultProxy::start(stack.dynamodb_endpoint()).await;
    let python = tests::python_with("jq", JQ_VERSION).join("python");
    let run = async |script: &str| {
        let script = script.replace("2026-11-01", &day).replace("2026-11-30", &day);
        let script = format!("{COMMANDS}{}", script.replace(" Acme ", &format!(" '{name}' ")));
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(&folder)
            .env("CHAT", Options::binaries().target.join("debug/chat"))
            .env("DYNAMODB", &proxy.url)
            .env("PYTHON", &python)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(Duration::from_secs(60), output).await.expect("it ends").expect("it runs");
        let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
        stdout.into_owned()
    };
    let file = |name: &str| fs::read_to_string(folder.join(name)).expect("it is written");

    let shown = run(show).await;
    let [example] = &page.blocks("")[..] else { panic!("one block shows a table") };
    let titles = example.lines().nth(2).expect("a line of titles").split_whitespace();
    assert!(shown.lines().any(|line| line.split_whitespace().eq(titles.clone())), "{shown}");
    assert!(shown.lines().any(|line| line.starts_with("Total") && line.ends_with("0.3145")), "{shown}");

    run(export).await;
    let row = format!("\"{}\",\"{name}\",1002000,507000,0.3145", tenant.id);
    assert!(file("tenants.csv").lines().any(|line| line == row), "{}", file("tenants.csv"));
    let models = file("models.csv");
    let models: Vec<&str> = models.lines().filter(|line| line.contains(&name)).collect();
    let expected = [
        format!("\"{name}\",\"gpt-4.1-nano\",1000000,500000,0.3"),
        format!("\"{name}\",\"gpt-5-mini\",2000,7000,0.0145"),
    ];
    assert_eq!(models, expected);
    assert_eq!(run(check).await.trim(), "True");

    // What docs/OPERATIONS.md permits it; an id would be found with `GetItem`.
    let calls: BTreeSet<String> = proxy.take_calls().into_iter().collect();
    assert_eq!(calls, BTreeSet::from(["Query".to_owned(), "Scan".to_owned()]));

    run(quotas).await;
    let limits = stack.budgets().status(&tenant.id, Timestamp::now()).await.expect("DynamoDB responds").limits;
    let quota = |quota: Option<TokenQuota>| quota.expect("its own quota").limit();
    assert_eq!((quota(limits.tokens_per_day), quota(limits.tokens_per_month)), (None, Some(20_000_000)));
    fs::remove_dir_all(folder).expect("the folder can be removed");
}
