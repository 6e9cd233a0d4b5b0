//! Runs the plugin as a container runtime does, beside a socket that plays the agent.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread::{self, JoinHandle},
};

use serde_json::{Value, json};

/// A folder of one test, gone with it.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ambit-cni-test-{}-{number}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn socket(&self) -> PathBuf {
        self.0.join("cni.sock")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Answers each connection in turn with the next answer; `None` closes without one. Ends with the requests it was sent.
pub fn agent(socket: &Path, answers: &[Option<Value>]) -> JoinHandle<Vec<Value>> {
    let listener = UnixListener::bind(socket).unwrap();
    let answers = answers.to_vec();
    thread::spawn(move || {
        answers
            .iter()
            .map(|answer| serve(&listener, answer.as_ref()))
            .collect()
    })
}

fn serve(listener: &UnixListener, answer: Option<&Value>) -> Value {
    let (stream, _) = listener.accept().unwrap();
    let request = read_request(&stream);
    if let Some(answer) = answer {
        writeln!(&stream, "{answer}").unwrap();
    }
    request
}

fn read_request(stream: &UnixStream) -> Value {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    assert!(line.ends_with('\n'), "a request is a whole line: {line:?}");
    serde_json::from_str(&line).unwrap()
}

/// What the plugins before would have made.
pub fn previous_result() -> Value {
    json!({
        "cniVersion": "1.0.0",
        "interfaces": [{ "name": "eth0", "sandbox": "/proc/self/ns/net" }],
        "ips": [{ "address": "10.244.1.5/24", "gateway": "10.244.1.1" }, { "address": "fd00::5/64" }],
        "unknownToUs": { "kept": true },
    })
}

pub fn configuration(socket: &Path, change: Value) -> Value {
    let mut whole = json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "type": "ambit-cni",
        "socket": socket,
        "limitSeconds": 1,
        "systemNamespaces": ["kube-system"],
        "prevResult": previous_result(),
    });
    for (key, value) in change.as_object().unwrap() {
        whole[key] = value.clone();
    }
    whole
}

pub struct Outcome {
    pub success: bool,
    /// `Null` when nothing was written.
    pub output: Value,
}

pub fn start(command: &str, namespace: &str, configuration: &Value) -> Child {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ambit-cni"))
        .env_clear()
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", "c-1")
        .env("CNI_IFNAME", "eth0")
        .env("CNI_NETNS", "/proc/self/ns/net")
        .env(
            "CNI_ARGS",
            format!(
                "IgnoreUnknown=1;K8S_POD_NAMESPACE={namespace};K8S_POD_NAME=web;K8S_POD_UID=u-1"
            ),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropping the pipe is the end of the input.
    child
        .stdin
        .take()
        .unwrap()
        .write_all(configuration.to_string().as_bytes())
        .unwrap();
    child
}

pub fn finish(child: Child) -> Outcome {
    let output = child.wait_with_output().unwrap();
    Outcome {
        success: output.status.success(),
        output: if output.stdout.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&output.stdout).unwrap()
        },
    }
}

pub fn run(command: &str, namespace: &str, configuration: &Value) -> Outcome {
    finish(start(command, namespace, configuration))
}
