//! What the runtime says through environment variables.

use crate::error::{Code, Failure};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    Add,
    Delete,
    Check,
    GarbageCollect,
    Status,
    Version,
}

/// A pod as `CNI_ARGS` names it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Pod {
    pub namespace: String,
    pub name: String,
    pub uid: Option<String>,
}

/// One attachment: a container and its interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub container_id: String,
    pub interface: String,
    /// Empty on DEL when the namespace is gone already.
    pub netns: String,
    pub pod: Pod,
}

/// Looks a variable up; a parameter so that tests need not touch the process's own environment.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

/// # Errors
/// `InvalidEnvironment` for a missing or unknown `CNI_COMMAND`.
pub fn command(variables: Variables) -> Result<Command, Failure> {
    match required(variables, "CNI_COMMAND")?.as_str() {
        "ADD" => Ok(Command::Add),
        "DEL" => Ok(Command::Delete),
        "CHECK" => Ok(Command::Check),
        "GC" => Ok(Command::GarbageCollect),
        "STATUS" => Ok(Command::Status),
        "VERSION" => Ok(Command::Version),
        other => Err(invalid(
            format!("CNI_COMMAND is {other:?}"),
            "this plugin does not know that command",
        )),
    }
}

/// # Errors
/// `InvalidEnvironment` naming the variable that is missing.
pub fn attachment(variables: Variables) -> Result<Attachment, Failure> {
    Ok(Attachment {
        container_id: required(variables, "CNI_CONTAINERID")?,
        interface: required(variables, "CNI_IFNAME")?,
        netns: variables("CNI_NETNS").unwrap_or_default(),
        pod: pod(&variables("CNI_ARGS").unwrap_or_default())?,
    })
}

/// `CNI_ARGS` is a list such as `IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web`.
fn pod(arguments: &str) -> Result<Pod, Failure> {
    let value = |key: &str| {
        arguments
            .split(';')
            .filter_map(|pair| pair.split_once('='))
            .find(|(name, value)| *name == key && !value.is_empty())
            .map(|(_, value)| value.to_owned())
    };
    let needed = |key: &str| {
        value(key).ok_or_else(|| {
            invalid(
                format!("CNI_ARGS holds no {key}"),
                "only pods of Kubernetes may use this network configuration",
            )
        })
    };
    Ok(Pod {
        namespace: needed("K8S_POD_NAMESPACE")?,
        name: needed("K8S_POD_NAME")?,
        uid: value("K8S_POD_UID"),
    })
}

fn required(variables: Variables, name: &str) -> Result<String, Failure> {
    variables(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| {
            invalid(
                format!("{name} is not set"),
                "the container runtime has to set it",
            )
        })
}

fn invalid(message: String, details: &str) -> Failure {
    Failure::new(Code::InvalidEnvironment, message, details)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn variables(
        pairs: &'static [(&'static str, &'static str)],
    ) -> impl Fn(&str) -> Option<String> {
        |name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }
    }

    #[test]
    fn reads_the_pod_out_of_the_arguments() {
        let pod =
            pod("IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=u-1").unwrap();
        assert_eq!(pod.namespace, "shop");
        assert_eq!(pod.name, "web");
        assert_eq!(pod.uid.as_deref(), Some("u-1"));
    }

    #[test]
    fn a_container_that_is_no_pod_is_an_error() {
        for arguments in [
            "",
            "IgnoreUnknown=1",
            "K8S_POD_NAMESPACE=;K8S_POD_NAME=web",
            "K8S_POD_NAMESPACE=shop",
        ] {
            assert_eq!(
                pod(arguments).unwrap_err().code,
                Code::InvalidEnvironment,
                "{arguments}"
            );
        }
    }

    #[test]
    fn names_the_variable_that_is_missing() {
        let failure = attachment(&variables(&[("CNI_IFNAME", "eth0")])).unwrap_err();
        assert!(
            failure.message.contains("CNI_CONTAINERID"),
            "{}",
            failure.message
        );
    }

    #[test]
    fn knows_every_command_of_the_specification_and_no_other() {
        assert_eq!(
            command(&variables(&[("CNI_COMMAND", "GC")])),
            Ok(Command::GarbageCollect)
        );
        assert!(command(&variables(&[("CNI_COMMAND", "UPDATE")])).is_err());
        assert!(command(&variables(&[])).is_err());
    }
}
