//! Giving a connection to the pod's own proxy: a waypoint or a gateway takes it on its loopback and learns from a header whose
//! it is and where it was going. No key of the mesh is needed for that.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ambit_intercept::HANDOVER_PORT;
use ambit_intercept::sockets::prepare_local_leg;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::context::Pod;
use super::dial::dial;
use super::refusal::{Reason, Refused};
use crate::api::{Handover, Transport, WorkloadDescriptor};
use crate::proxy_protocol::Header;
use crate::telemetry::connection_security_policy;

/// Types of the header's values. Stock peers know the first; the others are of the range for applications of one's own.
mod kind {
    pub const IDENTITY: u8 = 0xD0;
    pub const WORKLOAD_UID: u8 = 0xE0;
    pub const CANONICAL_NAME: u8 = 0xE1;
    pub const CANONICAL_REVISION: u8 = 0xE2;
    pub const NAMESPACE: u8 = 0xE3;
    pub const WORKLOAD_NAME: u8 = 0xE4;
    pub const CLUSTER: u8 = 0xE5;
    pub const SERVICE_ACCOUNT: u8 = 0xE6;
    pub const LABELS: u8 = 0xE7;
    pub const SECURITY: u8 = 0xE8;
    pub const APP: u8 = 0xE9;
    pub const VERSION: u8 = 0xEA;
}

/// Longest SPIFFE ID, by its specification.
const LONGEST_IDENTITY: usize = 2048;
/// Longer ones are left out: they inform, and nothing that a name is compared with is that long.
const LONGEST_NAME: usize = 512;

/// What the proxy is told of a connection.
pub struct Client<'a> {
    pub address: SocketAddr,
    pub identity: &'a str,
    pub transport: Transport,
    pub workload: Option<&'a WorkloadDescriptor>,
}

/// Connects to the proxy and tells it of the client, who asked for `target`. What is sent next are the client's bytes.
pub async fn hand_over(
    pod: &Pod,
    handover: Handover,
    client: &Client<'_>,
    target: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Refused> {
    let proxy = proxy_address(pod, handover)?;
    let header = header(client, target)?;
    let mut stream = dial(pod, proxy, limit).await?;
    prepare_local_leg(&stream);
    let telling = timeout(limit, stream.write_all(header.bytes()));
    let told = telling
        .await
        .unwrap_or(Err(std::io::ErrorKind::TimedOut.into()));
    told.map_err(|error| {
        let message = format!("the pod's proxy at {proxy} does not take the connection: {error}");
        Refused::new(Reason::ConnectFailed, message)
    })?;
    Ok(stream)
}

/// Only where nobody else can connect to: what the proxy is told there it believes.
fn proxy_address(pod: &Pod, handover: Handover) -> Result<SocketAddr, Refused> {
    let port = handover.port;
    if pod.spec().handover && port == HANDOVER_PORT {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    let message = format!(
        "port {port} of this pod is not guarded for a hand-over, so its proxy cannot take over"
    );
    Err(Refused::new(Reason::Unguarded, message))
}

/// A client without its identity would be nobody to the proxy's policies, so it is not handed over at all.
fn header(client: &Client<'_>, target: SocketAddr) -> Result<Header, Refused> {
    let mut header = Header::new(client.address, target);
    let identity = client.identity;
    if identity.len() > LONGEST_IDENTITY || !header.add(kind::IDENTITY, identity.as_bytes()) {
        let message = "the client's identity is too long to be told to the pod's proxy";
        return Err(Refused::new(Reason::NoIdentity, message));
    }
    for (kind, value) in names(client) {
        if !value.is_empty() && value.len() <= LONGEST_NAME {
            // Fits: ten names and an identity at their longest.
            let _ = header.add(kind, value.as_bytes());
        }
    }
    Ok(header)
}

fn names<'a>(client: &Client<'a>) -> Vec<(u8, Cow<'a, str>)> {
    let (namespace, service_account) = parts(client.identity);
    let mut names = vec![
        (kind::NAMESPACE, namespace.into()),
        (kind::SERVICE_ACCOUNT, service_account.into()),
        (
            kind::SECURITY,
            connection_security_policy(client.transport).into(),
        ),
    ];
    if let Some(workload) = client.workload {
        names.extend([
            (kind::WORKLOAD_UID, (&*workload.uid).into()),
            (kind::CANONICAL_NAME, (&*workload.canonical_service).into()),
            (
                kind::CANONICAL_REVISION,
                (&*workload.canonical_revision).into(),
            ),
            (kind::WORKLOAD_NAME, (&*workload.workload).into()),
            (kind::CLUSTER, (&*workload.cluster).into()),
            (kind::LABELS, labels(workload).into()),
            (kind::APP, (&*workload.app).into()),
            (kind::VERSION, (&*workload.version).into()),
        ]);
    }
    names
}

/// Namespace and service account of `spiffe://DOMAIN/ns/NAMESPACE/sa/ACCOUNT`.
fn parts(identity: &str) -> (&str, &str) {
    let mut parts = identity.split('/').skip(4).step_by(2);
    (
        parts.next().unwrap_or_default(),
        parts.next().unwrap_or_default(),
    )
}

/// Labels as `key=value,key=value`. One whose value would read as another label is left out.
fn labels(workload: &WorkloadDescriptor) -> String {
    let labels = [
        ("app", &workload.app),
        ("version", &workload.version),
        (
            "service.istio.io/canonical-name",
            &workload.canonical_service,
        ),
        (
            "service.istio.io/canonical-revision",
            &workload.canonical_revision,
        ),
    ];
    let readable = labels
        .iter()
        .filter(|(_, value)| !value.is_empty() && !value.contains([',', '=']));
    let written: Vec<_> = readable
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    written.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = "spiffe://cluster.local/ns/shop/sa/web";

    fn workload() -> WorkloadDescriptor {
        WorkloadDescriptor {
            uid: "Kubernetes//Pod/shop/web-1".into(),
            workload: "web".into(),
            canonical_service: "web".into(),
            canonical_revision: "v2".into(),
            app: "web".into(),
            version: "v2,admin=yes".into(),
            cluster: "Kubernetes".into(),
            ..WorkloadDescriptor::default()
        }
    }

    fn told(identity: &str, workload: Option<&WorkloadDescriptor>) -> Result<Vec<u8>, Refused> {
        let client = Client {
            address: "10.0.0.1:40000".parse().expect("an address"),
            identity,
            transport: Transport::MutualTls,
            workload,
        };
        let target = "10.96.0.1:80".parse().expect("an address");
        header(&client, target).map(|header| header.bytes().to_vec())
    }

    fn value(kind: u8, text: &str) -> Vec<u8> {
        let length = u16::try_from(text.len()).expect("short");
        [&[kind][..], &length.to_be_bytes(), text.as_bytes()].concat()
    }

    #[test]
    fn the_proxy_is_told_who_the_client_is() {
        let bytes = told(IDENTITY, Some(&workload())).expect("a header");
        let expected = [
            value(0xD0, IDENTITY),
            value(0xE3, "shop"),
            value(0xE6, "web"),
            value(0xE8, "mutual_tls"),
            value(0xE0, "Kubernetes//Pod/shop/web-1"),
            value(0xE1, "web"),
            value(0xE2, "v2"),
            value(0xE4, "web"),
            value(0xE5, "Kubernetes"),
            value(
                0xE7,
                "app=web,service.istio.io/canonical-name=web,service.istio.io/canonical-revision=v2",
            ),
            value(0xE9, "web"),
            value(0xEA, "v2,admin=yes"),
        ];
        assert_eq!(bytes[28..], expected.concat());
    }

    #[test]
    fn of_an_unknown_workload_the_identity_is_told() {
        let bytes = told(IDENTITY, None).expect("a header");
        let expected = [
            value(0xD0, IDENTITY),
            value(0xE3, "shop"),
            value(0xE6, "web"),
            value(0xE8, "mutual_tls"),
        ];
        assert_eq!(bytes[28..], expected.concat());
    }

    #[test]
    fn a_name_that_is_too_long_is_left_out() {
        let mut workload = workload();
        workload.workload = "w".repeat(LONGEST_NAME + 1).into();
        let bytes = told(IDENTITY, Some(&workload)).expect("a header");
        assert!(!bytes.windows(3).any(|window| window == [0xE4, 2, 1]));
        assert!(bytes.ends_with(&value(0xEA, "v2,admin=yes")));
    }

    #[test]
    fn an_identity_that_is_too_long_is_refused() {
        let identity = format!("spiffe://td/ns/a/sa/{}", "b".repeat(LONGEST_IDENTITY));
        let refused = told(&identity, None).expect_err("refused");
        assert_eq!(refused.reason, Reason::NoIdentity);
    }

    #[test]
    fn the_longest_of_everything_fits() {
        let identity = format!("spiffe://td/ns/a/sa/{}", "b".repeat(LONGEST_IDENTITY - 20));
        let long: std::sync::Arc<str> = "w".repeat(LONGEST_NAME).into();
        let workload = WorkloadDescriptor {
            uid: long.clone(),
            workload: long.clone(),
            canonical_service: long.clone(),
            canonical_revision: long.clone(),
            cluster: long.clone(),
            app: long.clone(),
            version: long,
            ..WorkloadDescriptor::default()
        };
        let bytes = told(&identity, Some(&workload)).expect("a header");
        assert!(bytes.ends_with(b"www"));
        assert_eq!(
            bytes.iter().filter(|byte| **byte == b'w').count(),
            7 * LONGEST_NAME
        );
    }
}
