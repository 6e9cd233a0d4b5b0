//! What each command of the specification does.

use std::{fs, os::unix::fs::MetadataExt, path::PathBuf, time::Duration};

use serde_json::{Value, json};

use crate::{
    agent::{Answer, Enrolment, ExistingAttachment, Netns, Patience, Question, Silence, ask},
    configuration::{Configuration, VERSIONS, addresses},
    environment::{Attachment, Command, Variables, attachment, command},
    error::{Code, Failure},
    membership::is_outside,
};

/// How long a pod that may start without the agent waits for one that listens and does not answer.
const SHORT_LIMIT: Duration = Duration::from_secs(2);

/// How long the end of a pod waits for the agent to take note.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Does what the environment asks for. Returns what belongs on standard output, if anything.
///
/// # Errors
/// A `Failure` for the runtime.
pub fn run(variables: Variables, input: &[u8]) -> Result<Option<Value>, Failure> {
    let command = command(variables)?;
    if command == Command::Version {
        return Ok(Some(
            json!({ "cniVersion": version_of(input), "supportedVersions": VERSIONS }),
        ));
    }
    let configuration = Configuration::parse(input)?;
    match command {
        Command::Add => add(&configuration, &attachment(variables)?).map(Some),
        Command::Check => check(&configuration, &attachment(variables)?).map(|()| None),
        Command::Delete => delete(&configuration, variables).map(|()| None),
        Command::GarbageCollect => collect_garbage(configuration).map(|()| None),
        // A runtime that heard "unavailable" would call the node's network not ready, and the kubelet would never start
        // the agent that makes it available.
        Command::Status | Command::Version => Ok(None),
    }
}

/// The version that an answer to this input is written in.
pub fn version_of(input: &[u8]) -> String {
    let given: Option<Value> = serde_json::from_slice(input).ok();
    let version = given
        .as_ref()
        .and_then(|value| value.get("cniVersion")?.as_str());
    version.unwrap_or("1.0.0").to_owned()
}

fn add(configuration: &Configuration, attachment: &Attachment) -> Result<Value, Failure> {
    let result = configuration.previous_result()?;
    let question = Question::Add(enrolment(attachment, result)?);
    let may_start_alone = may_start_alone(configuration, &attachment.pod.namespace);
    let patience = Patience {
        limit: if may_start_alone {
            SHORT_LIMIT
        } else {
            configuration.limit()
        },
        insistent: !may_start_alone,
    };
    match ask(&configuration.socket, question, patience) {
        Ok(answer) => accept(answer)?,
        Err(_) if may_start_alone => {}
        Err(silence) => return Err(silent(configuration, &silence)),
    }
    Ok(result.clone())
}

fn check(configuration: &Configuration, attachment: &Attachment) -> Result<(), Failure> {
    let question = Question::Check(enrolment(attachment, configuration.previous_result()?)?);
    let patience = Patience {
        limit: SHORT_LIMIT,
        insistent: false,
    };
    // Silence is no finding: what is enrolled stays so while the agent is away.
    ask(&configuration.socket, question, patience).map_or(Ok(()), accept)
}

/// A pod must be deletable without an agent, and without the variables that only `ADD` needs.
fn delete(configuration: &Configuration, variables: Variables) -> Result<(), Failure> {
    if let Ok(Attachment {
        container_id,
        interface,
        pod,
        ..
    }) = attachment(variables)
    {
        say_farewell(
            configuration,
            Question::Delete {
                pod,
                container_id,
                interface,
            },
        );
    }
    Ok(())
}

fn collect_garbage(mut configuration: Configuration) -> Result<(), Failure> {
    let attachments = std::mem::take(&mut configuration.valid_attachments)
        .into_iter()
        .map(|valid| ExistingAttachment {
            container_id: valid.container_id,
            interface: valid.ifname,
        })
        .collect();
    say_farewell(&configuration, Question::Gc { attachments });
    Ok(())
}

fn say_farewell(configuration: &Configuration, question: Question) {
    let patience = Patience {
        limit: FAREWELL_LIMIT,
        insistent: false,
    };
    // The agent also learns of a pod's end from the API server; here it would only have heard of it sooner.
    let _ = ask(&configuration.socket, question, patience);
}

fn may_start_alone(configuration: &Configuration, namespace: &str) -> bool {
    let outside = |file: &PathBuf| is_outside(namespace, file);
    configuration.system_namespaces.contains(namespace)
        || configuration.namespaces_file.as_ref().is_some_and(outside)
}

fn enrolment(attachment: &Attachment, result: &Value) -> Result<Enrolment, Failure> {
    Ok(Enrolment {
        pod: attachment.pod.clone(),
        container_id: attachment.container_id.clone(),
        interface: attachment.interface.clone(),
        netns: netns(&attachment.netns)?,
        addresses: addresses(result),
    })
}

fn netns(path: &str) -> Result<Netns, Failure> {
    let metadata = fs::metadata(path).map_err(|error| {
        Failure::new(
            Code::InvalidEnvironment,
            format!("CNI_NETNS {path:?} cannot be looked at: {error}"),
            "the container runtime has to name the pod's network namespace",
        )
    })?;
    Ok(Netns {
        path: PathBuf::from(path),
        device: metadata.dev(),
        inode: metadata.ino(),
    })
}

fn accept(answer: Answer) -> Result<(), Failure> {
    match answer {
        Answer::Enrolled | Answer::NotInMesh => Ok(()),
        Answer::Refused { code, message } => Err(Failure::new(
            Code::Refused,
            "the agent of this node refuses the pod",
            format!("{message} ({code})"),
        )),
        Answer::Later { message } => Err(Failure::new(
            Code::TryAgainLater,
            "the agent of this node cannot enrol the pod yet",
            message,
        )),
        Answer::Done => Err(Failure::new(
            Code::TryAgainLater,
            "the agent of this node answered another question than was asked",
            "is its version that of the plugin?",
        )),
    }
}

fn silent(configuration: &Configuration, Silence(why): &Silence) -> Failure {
    let socket = configuration.socket.display();
    Failure::new(
        Code::TryAgainLater,
        "the agent of this node is silent, and the pod may belong to the mesh",
        format!("{socket}: {why}; see whether the agent's pod on this node is ready"),
    )
}
