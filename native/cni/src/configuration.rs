//! The network configuration that the runtime writes to standard input.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use serde::Deserialize;
use serde_json::Value;

use crate::error::{Code, Failure};

/// The versions of the specification that this plugin speaks; chaining exists since 0.3.0.
pub const VERSIONS: [&str; 5] = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"];

const DEFAULT_LIMIT_SECONDS: u64 = 30;

/// Below the 120 s after which the kubelet gives a sandbox up, with room for the plugins before.
const LONGEST_LIMIT_SECONDS: u64 = 110;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Configuration {
    pub cni_version: String,
    pub socket: PathBuf,
    limit_seconds: Option<u64>,
    /// The agent's list of namespaces outside the mesh.
    pub namespaces_file: Option<PathBuf>,
    #[serde(default)]
    pub system_namespaces: BTreeSet<String>,
    /// What the plugins before have made; handed on as it is.
    pub prev_result: Option<Value>,
    #[serde(rename = "cni.dev/valid-attachments", default)]
    pub valid_attachments: Vec<ValidAttachment>,
}

/// On GC: an attachment that still exists.
#[derive(Debug, Deserialize)]
pub struct ValidAttachment {
    #[serde(rename = "containerID")]
    pub container_id: String,
    pub ifname: String,
}

impl Configuration {
    /// # Errors
    /// `NotDecodable` for what is no JSON of this shape, `InvalidConfiguration` for what makes no sense.
    pub fn parse(text: &[u8]) -> Result<Self, Failure> {
        let configuration: Self = serde_json::from_slice(text).map_err(|error| {
            Failure::new(
                Code::NotDecodable,
                format!("the network configuration cannot be read: {error}"),
                "correct the ambit-cni entry of the node's conflist, or let the agent write it anew",
            )
        })?;
        configuration.validate()?;
        Ok(configuration)
    }

    pub fn limit(&self) -> Duration {
        Duration::from_secs(self.limit_seconds.unwrap_or(DEFAULT_LIMIT_SECONDS))
    }

    /// The result of the plugins before.
    ///
    /// # Errors
    /// `InvalidConfiguration` when there are none: this plugin makes no network.
    pub fn previous_result(&self) -> Result<&Value, Failure> {
        self.prev_result.as_ref().ok_or_else(|| {
            invalid(
                "there is no prevResult",
                "ambit-cni stands behind the plugin that makes the pod's network, never first",
            )
        })
    }

    fn validate(&self) -> Result<(), Failure> {
        if !VERSIONS.contains(&self.cni_version.as_str()) {
            let details = format!("use one of {}", VERSIONS.join(", "));
            return Err(invalid(
                &format!("cniVersion {:?} is not supported", self.cni_version),
                &details,
            ));
        }
        if !self.socket.is_absolute() {
            return Err(invalid(
                "\"socket\" is not an absolute path",
                "name the agent's socket",
            ));
        }
        match self.limit_seconds {
            Some(seconds) if !(1..=LONGEST_LIMIT_SECONDS).contains(&seconds) => Err(invalid(
                &format!("\"limitSeconds\" is {seconds}"),
                &format!("it is a number of 1 to {LONGEST_LIMIT_SECONDS}"),
            )),
            _ => Ok(()),
        }
    }
}

/// The addresses in a result: `ips[].address` with a prefix length, which is left out.
pub fn addresses(result: &Value) -> Vec<IpAddr> {
    let Some(ips) = result.get("ips").and_then(Value::as_array) else {
        return Vec::new();
    };
    ips.iter()
        .filter_map(|ip| ip.get("address")?.as_str()?.split('/').next()?.parse().ok())
        .collect()
}

fn invalid(message: &str, details: &str) -> Failure {
    Failure::new(Code::InvalidConfiguration, message, details)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(change: Value) -> Result<Configuration, Failure> {
        let mut whole = json!({ "cniVersion": "1.0.0", "name": "pods", "type": "ambit-cni", "socket": "/run/a.sock" });
        for (key, value) in change.as_object().unwrap() {
            whole[key] = value.clone();
        }
        Configuration::parse(whole.to_string().as_bytes())
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let configuration = parse(json!({})).unwrap();
        assert_eq!(configuration.limit(), Duration::from_secs(30));
        assert!(configuration.system_namespaces.is_empty());
        assert_eq!(configuration.namespaces_file, None);
    }

    #[test]
    fn a_version_without_chaining_is_refused() {
        assert_eq!(
            parse(json!({ "cniVersion": "0.2.0" })).unwrap_err().code,
            Code::InvalidConfiguration
        );
    }

    #[test]
    fn a_limit_has_bounds() {
        assert_eq!(
            parse(json!({ "limitSeconds": 0 })).unwrap_err().code,
            Code::InvalidConfiguration
        );
        assert_eq!(
            parse(json!({ "limitSeconds": 111 })).unwrap_err().code,
            Code::InvalidConfiguration
        );
        assert_eq!(
            parse(json!({ "limitSeconds": 110 })).unwrap().limit(),
            Duration::from_secs(110)
        );
    }

    #[test]
    fn without_a_result_before_there_is_nothing_to_enrol() {
        assert_eq!(
            parse(json!({}))
                .unwrap()
                .previous_result()
                .unwrap_err()
                .code,
            Code::InvalidConfiguration
        );
    }

    #[test]
    fn addresses_come_without_their_prefix_length() {
        let result = json!({ "ips": [{ "address": "10.0.0.5/24" }, { "address": "fd00::5/64" }, { "address": "?" }] });
        let expected: Vec<IpAddr> = vec!["10.0.0.5".parse().unwrap(), "fd00::5".parse().unwrap()];
        assert_eq!(addresses(&result), expected);
        assert!(addresses(&json!({})).is_empty());
    }

    #[test]
    fn no_json_is_not_decodable() {
        assert_eq!(
            Configuration::parse(b"{").unwrap_err().code,
            Code::NotDecodable
        );
        assert_eq!(
            Configuration::parse(b"{}").unwrap_err().code,
            Code::NotDecodable
        );
    }
}
