//! A headless Chromium, driven by the DevTools protocol over a pipe: messages of JSON, each ended by a NUL
//! (chromedevtools.github.io/devtools-protocol). A crate for it would bring the whole protocol as generated code.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::support::script_output;

/// Chromium starts in a second, and is one of many things that this machine does.
const PATIENCE: Duration = Duration::from_secs(120);
/// It talks over descriptors 3 and 4: the shell gives it our pipes as these.
const START: &str = r#"exec "$0" "$@" 3<&0 4>&1 0</dev/null 1>/dev/null"#;

pub(crate) struct Browser {
    _child: Child,
    _profile: TempDir,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
    session: String,
    calls: u64,
}

impl Browser {
    /// A browser that shows this page, loaded to its end.
    pub(crate) async fn open(url: &str) -> Self {
        let chromium = tokio::task::spawn_blocking(|| script_output("chromium.sh", &[])).await.unwrap();
        let profile = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", START, &chromium, "--headless=new", "--remote-debugging-pipe"]);
        // Root has no sandbox, and containers have a small /dev/shm.
        command.args(["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { _child: child, _profile: profile, to, from, session: String::new(), calls: 0 };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"})).await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let attached = browser.call("Target.attachToTarget", attach).await;
        attached["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        browser.call("Page.enable", json!({})).await;
        browser.call("Page.navigate", json!({"url": url})).await;
        browser.until("document.readyState === 'complete'").await;
        browser
    }

    async fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.calls += 1;
        let mut message = json!({"id": self.calls, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).await.expect("the browser has ended");
        let answer = async {
            loop {
                let mut text = Vec::new();
                self.from.read_until(0, &mut text).await.unwrap();
                assert_eq!(text.pop(), Some(0), "the browser has ended");
                let message: Value = serde_json::from_slice(&text).unwrap();
                // All else are events.
                if message["id"] == self.calls {
                    break message;
                }
            }
        };
        let answer = tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{method}: no answer"));
        assert!(answer["error"].is_null(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// The value of an expression in the page.
    pub(crate) async fn evaluate(&mut self, expression: &str) -> Value {
        let call = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", call).await;
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].clone()
    }

    /// Returns when the expression is true.
    pub(crate) async fn until(&mut self, expression: &str) {
        let waits = async {
            while self.evaluate(expression).await != true {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, waits).await.is_ok();
        assert!(reached, "never {expression}: {}", self.evaluate("document.body.innerText").await);
    }

    /// Drags a file over the middle of an element, and drops it there.
    pub(crate) async fn drop_file(&mut self, selector: &str, file: &Path) {
        let place = format!(
            "(({{left, top, width, height}}) => [left + width / 2, top + height / 2])\
             (document.querySelector({selector:?}).getBoundingClientRect())"
        );
        let place = self.evaluate(&place).await;
        let data = json!({"items": [], "files": [file], "dragOperationsMask": 1});
        for step in ["dragEnter", "dragOver", "drop"] {
            let event = json!({"type": step, "x": place[0], "y": place[1], "data": data});
            self.call("Input.dispatchDragEvent", event).await;
        }
    }

    /// Chooses a file in an `<input type=file>`.
    pub(crate) async fn choose_file(&mut self, selector: &str, file: &Path) {
        let document = self.call("DOM.getDocument", json!({})).await;
        let query = json!({"nodeId": document["root"]["nodeId"], "selector": selector});
        let node = self.call("DOM.querySelector", query).await["nodeId"].clone();
        self.call("DOM.setFileInputFiles", json!({"files": [file], "nodeId": node})).await;
    }
}
