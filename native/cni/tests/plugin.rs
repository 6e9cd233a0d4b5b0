//! The program as a whole: environment and standard input in, result and exit status out, a fake agent at its socket.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs,
    os::unix::{fs::MetadataExt, net::UnixListener},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{Folder, agent, configuration, finish, previous_result, run, start};

/// Far longer than the program may take for what it does without waiting; far shorter than its limits are together.
const MOMENT: Duration = Duration::from_millis(900);

fn enrolled() -> Option<Value> {
    Some(json!({ "result": "enrolled" }))
}

#[test]
fn add_hands_the_previous_result_on_once_the_pod_is_enrolled() {
    let folder = Folder::new();
    let agent = agent(&folder.socket(), &[enrolled()]);
    let outcome = run("ADD", "shop", &configuration(&folder.socket(), json!({})));
    assert!(outcome.success, "{}", outcome.output);
    assert_eq!(outcome.output, previous_result());

    let netns = fs::metadata("/proc/self/ns/net").unwrap();
    let mut request = agent.join().unwrap().remove(0);
    let limit = request["limitMilliseconds"].take().as_u64().unwrap();
    assert!((1..=1000).contains(&limit), "{limit}");
    assert_eq!(
        request,
        json!({
            "version": 1,
            "command": "add",
            "pod": { "namespace": "shop", "name": "web", "uid": "u-1" },
            "containerId": "c-1",
            "interface": "eth0",
            "netns": { "path": "/proc/self/ns/net", "device": netns.dev(), "inode": netns.ino() },
            "addresses": ["10.244.1.5", "fd00::5"],
            "limitMilliseconds": null,
        })
    );
}

#[test]
fn add_lets_a_pod_start_that_is_not_in_the_mesh() {
    let folder = Folder::new();
    let agent = agent(&folder.socket(), &[Some(json!({ "result": "notInMesh" }))]);
    assert!(run("ADD", "shop", &configuration(&folder.socket(), json!({}))).success);
    agent.join().unwrap();
}

#[test]
fn add_fails_with_the_agents_reason_when_it_refuses() {
    let folder = Folder::new();
    let answer = json!({ "result": "refused", "code": "pod.identity_mismatch", "message": "another pod's netns" });
    // A system namespace too: it is an answer, not silence.
    for namespace in ["shop", "kube-system"] {
        let socket = folder.0.join(namespace);
        let agent = agent(&socket, &[Some(answer.clone())]);
        let outcome = run("ADD", namespace, &configuration(&socket, json!({})));
        assert!(!outcome.success);
        assert_eq!(outcome.output["code"], 100);
        assert_eq!(outcome.output["cniVersion"], "1.0.0");
        let message = outcome.output["msg"].as_str().unwrap();
        assert!(
            message.contains("another pod's netns (pod.identity_mismatch)"),
            "{message}"
        );
        agent.join().unwrap();
    }
}

#[test]
fn add_is_to_be_tried_again_when_the_agent_says_later() {
    let folder = Folder::new();
    let agent = agent(
        &folder.socket(),
        &[Some(
            json!({ "result": "later", "message": "not told yet" }),
        )],
    );
    let outcome = run("ADD", "shop", &configuration(&folder.socket(), json!({})));
    assert_eq!(
        (outcome.success, &outcome.output["code"]),
        (false, &json!(11))
    );
    agent.join().unwrap();
}

#[test]
fn add_is_closed_when_nobody_listens() {
    let folder = Folder::new();
    let begun = Instant::now();
    let outcome = run("ADD", "shop", &configuration(&folder.socket(), json!({})));
    assert_eq!(
        (outcome.success, &outcome.output["code"]),
        (false, &json!(11))
    );
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "it waits for the agent to come back"
    );
    let message = outcome.output["msg"].as_str().unwrap();
    assert!(message.contains("No such file or directory"), "{message}");
}

#[test]
fn add_is_closed_when_the_agent_listens_and_never_answers() {
    let folder = Folder::new();
    let _deaf = UnixListener::bind(folder.socket()).unwrap();
    let outcome = run("ADD", "shop", &configuration(&folder.socket(), json!({})));
    assert_eq!(
        (outcome.success, &outcome.output["code"]),
        (false, &json!(11))
    );
}

#[test]
fn add_asks_anew_when_the_agent_goes_away_over_it() {
    let folder = Folder::new();
    let agent = agent(&folder.socket(), &[None, enrolled()]);
    assert!(
        run(
            "ADD",
            "shop",
            &configuration(&folder.socket(), json!({ "limitSeconds": 30 }))
        )
        .success
    );
    assert_eq!(agent.join().unwrap().len(), 2);
}

#[test]
fn add_waits_for_an_agent_that_comes_late() {
    let folder = Folder::new();
    let plugin = start(
        "ADD",
        "shop",
        &configuration(&folder.socket(), json!({ "limitSeconds": 30 })),
    );
    let agent = agent(&folder.socket(), &[enrolled()]);
    assert!(finish(plugin).success);
    agent.join().unwrap();
}

#[test]
fn a_pod_of_a_system_namespace_starts_at_once_when_nobody_listens() {
    let folder = Folder::new();
    let begun = Instant::now();
    let outcome = run(
        "ADD",
        "kube-system",
        &configuration(&folder.socket(), json!({ "limitSeconds": 30 })),
    );
    assert!(outcome.success, "{}", outcome.output);
    assert_eq!(outcome.output, previous_result());
    assert!(begun.elapsed() < MOMENT, "{:?}", begun.elapsed());
}

#[test]
fn a_pod_of_a_system_namespace_starts_soon_when_nobody_answers() {
    let folder = Folder::new();
    let _deaf = UnixListener::bind(folder.socket()).unwrap();
    let begun = Instant::now();
    assert!(
        run(
            "ADD",
            "kube-system",
            &configuration(&folder.socket(), json!({ "limitSeconds": 30 }))
        )
        .success
    );
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_pod_of_a_namespace_outside_the_mesh_starts_when_nobody_listens() {
    let folder = Folder::new();
    let file = folder.0.join("namespaces.json");
    fs::write(&file, r#"{ "version": 1, "notInMesh": ["default"] }"#).unwrap();
    let configuration = configuration(&folder.socket(), json!({ "namespacesFile": file }));
    assert!(run("ADD", "default", &configuration).success);
    assert!(!run("ADD", "shop", &configuration).success);
}

#[test]
fn delete_tells_the_agent_and_needs_none() {
    let folder = Folder::new();
    let configuration = configuration(&folder.socket(), json!({}));
    assert!(run("DEL", "shop", &configuration).success);

    let agent = agent(&folder.socket(), &[Some(json!({ "result": "done" }))]);
    let outcome = run("DEL", "shop", &configuration);
    assert!(outcome.success);
    assert_eq!(outcome.output, Value::Null);
    let request = agent.join().unwrap().remove(0);
    assert_eq!(
        (&request["command"], &request["containerId"]),
        (&json!("delete"), &json!("c-1"))
    );
}

#[test]
fn check_passes_on_silence_and_fails_on_a_finding() {
    let folder = Folder::new();
    let configuration = configuration(&folder.socket(), json!({}));
    assert!(run("CHECK", "shop", &configuration).success);
    let finding =
        json!({ "result": "refused", "code": "pod.not_enrolled", "message": "its hooks are gone" });
    let agent = agent(&folder.socket(), &[Some(finding)]);
    assert!(!run("CHECK", "shop", &configuration).success);
    agent.join().unwrap();
}

#[test]
fn garbage_collection_names_what_still_exists() {
    let folder = Folder::new();
    let agent = agent(&folder.socket(), &[Some(json!({ "result": "done" }))]);
    let valid = json!({
        "cniVersion": "1.1.0",
        "cni.dev/valid-attachments": [{ "containerID": "c-9", "ifname": "eth0" }],
    });
    assert!(run("GC", "", &configuration(&folder.socket(), valid)).success);
    let request = agent.join().unwrap().remove(0);
    assert_eq!(
        request["attachments"],
        json!([{ "containerId": "c-9", "interface": "eth0" }])
    );
}

#[test]
fn status_is_good_without_an_agent() {
    let folder = Folder::new();
    assert!(
        run(
            "STATUS",
            "",
            &configuration(&folder.socket(), json!({ "cniVersion": "1.1.0" }))
        )
        .success
    );
    assert!(
        !run(
            "STATUS",
            "",
            &configuration(&folder.socket(), json!({ "socket": "relative" }))
        )
        .success
    );
}

#[test]
fn version_tells_what_is_spoken() {
    let outcome = run("VERSION", "", &json!({ "cniVersion": "1.1.0" }));
    assert!(outcome.success);
    assert_eq!(
        outcome.output,
        json!({ "cniVersion": "1.1.0", "supportedVersions": ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"] })
    );
}

#[test]
fn standing_first_in_the_chain_is_a_mistake_that_is_told() {
    let folder = Folder::new();
    let mut first = configuration(&folder.socket(), json!({}));
    first.as_object_mut().unwrap().remove("prevResult");
    let outcome = run("ADD", "kube-system", &first);
    assert_eq!(
        (outcome.success, &outcome.output["code"]),
        (false, &json!(7))
    );
}
