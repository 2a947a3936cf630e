//! ministack and its stacks.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tests::{Api, Options, eventually, python_from};

use crate::bootstraps;

/// A running ministack. It ends with this process, however that ends, and so do its functions.
#[derive(Debug)]
pub(crate) struct Emulator {
    endpoint: String,
    programs: PathBuf,
    code: PathBuf,
    scratch: PathBuf,
    process: Child,
}

/// A deployed stack.
#[derive(Debug)]
pub(crate) struct Deployed {
    pub(crate) name: String,
    pub(crate) rest_url: String,
    pub(crate) websocket_url: String,
}

/// The folder of the scripts.
fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deployed")
}

/// A free port: ministack cannot choose one and report it.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("an address").port()
}

impl Emulator {
    pub(crate) async fn start() -> Self {
        let programs = python_from("ministack", &scripts().join("requirements.txt"));
        let code = bootstraps::ready();
        let endpoint = format!("http://127.0.0.1:{}", free_port());
        let port = endpoint.rsplit(':').next().expect("a port");
        let scratch = Options::binaries().target.join("tests").join(format!("ministack-{port}"));
        std::fs::create_dir_all(&scratch).expect("a folder can be created");
        let log = File::create(scratch.with_extension("log")).expect("a file can be created");
        let process = Command::new(programs.join("python"))
            .arg(scripts().join("serve.py"))
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs([("HOME", &scratch), ("TMPDIR", &scratch)])
            .env("BIND_HOST", "127.0.0.1")
            .env("GATEWAY_PORT", port)
            .env("LAMBDA_EXECUTOR", "local")
            .env("AUTH", "true")
            // The functions inherit these. They are not frozen, and a process may get an event during work after the response.
            .envs([("AWS_ENDPOINT_URL", endpoint.as_str()), ("AFTER_RESPONSE", "detached")])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("python runs");
        let health = format!("{endpoint}/_ministack/health");
        eventually("ministack responds", async || reqwest::get(&health).await.is_ok()).await;
        Self { endpoint, programs, code, scratch, process }
    }

    /// The environment that makes the SDK use the emulator, as the root user of its account.
    pub(crate) fn variables(&self) -> [(&'static str, &str); 4] {
        [
            ("AWS_ENDPOINT_URL", &self.endpoint),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "000000000000"),
            ("AWS_SECRET_ACCESS_KEY", "root"),
        ]
    }

    /// Deploys the project's template, without some actions in the policies of functions: `function/action`.
    pub(crate) async fn deploy(&self, name: &str, without: &[&str]) -> Deployed {
        let template = Options::binaries().workspace.join("template.yaml");
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
        let mut deploy = self.script("deploy.py");
        deploy.arg("--template").arg(template).arg("--code").arg(&self.code).args(["--stack", name]);
        deploy.args(["--parameter", &format!("Architecture={architecture}")]);
        deploy.args(without.iter().flat_map(|action| ["--without", action]));
        let outputs = json(deploy).await;
        let output = |key: &str| outputs[key].as_str().expect("the template has this output").to_owned();
        Deployed { name: name.to_owned(), rest_url: output("RestUrl"), websocket_url: output("WebSocketUrl") }
    }

    /// The clients' view of a stack.
    pub(crate) fn api(&self, stack: &Deployed) -> Api {
        Api::of_stack(&stack.name, &stack.rest_url, &stack.websocket_url, &self.variables())
    }

    /// The actions that the policies of a stack's functions lack, and those never used.
    pub(crate) async fn policies(&self, stack: &Deployed) -> Value {
        let mut policies = self.script("policies.py");
        policies.args(["--stack", &stack.name, "--decisions"]).arg(self.scratch.join("decisions"));
        json(policies).await
    }

    /// A script of this folder, on this emulator.
    fn script(&self, name: &str) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(self.programs.join("python"));
        command.arg(scripts().join(name)).args(["--endpoint", &self.endpoint]);
        command
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // It runs until its stdin ends.
        drop(self.process.stdin.take());
        self.process.wait().expect("a child can be waited for");
    }
}

/// Runs a script; returns its JSON output.
async fn json(mut script: tokio::process::Command) -> Value {
    let output = tokio::time::timeout(Duration::from_secs(180), script.kill_on_drop(true).output()).await;
    let output = output.expect("it ends").expect("it runs");
    assert!(output.status.success(), "{script:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}
