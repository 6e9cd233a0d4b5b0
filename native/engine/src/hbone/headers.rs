//! What travels with a CONNECT, and how it is read.

use std::fmt::Write;
use std::net::SocketAddr;

use http::header::{FORWARDED, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use crate::api::WorkloadDescriptor;

const BAGGAGE: HeaderName = HeaderName::from_static("baggage");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What the far side is told about a flow. Only `destination` decides anything there.
pub struct ConnectRequest<'a> {
    pub destination: SocketAddr,
    pub client: SocketAddr,
    pub service_hostname: Option<&'a str>,
    pub source: Option<&'a WorkloadDescriptor>,
}

impl ConnectRequest<'_> {
    pub fn build(&self) -> Result<Request<()>, http::Error> {
        let uri = Uri::builder()
            .authority(self.destination.to_string())
            .build()?;
        let mut request = Request::builder()
            .method(Method::CONNECT)
            .uri(uri)
            .body(())?;
        let headers = request.headers_mut();
        insert(headers, FORWARDED, &self.forwarded());
        insert(headers, TRACEPARENT, &traceparent());
        if let Some(source) = self.source {
            insert(headers, BAGGAGE, &baggage(source));
        }
        Ok(request)
    }

    fn forwarded(&self) -> String {
        match self.service_hostname {
            Some(host) => format!("for=\"{}\";host={host}", self.client),
            None => format!("for=\"{}\"", self.client),
        }
    }
}

/// Left out where the value cannot be sent: these headers inform, they decide nothing.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_str(value)) {
        headers.insert(name, value);
    }
}

/// Headers of a 200: who answers.
pub fn response_headers(headers: &mut HeaderMap, destination: Option<&WorkloadDescriptor>) {
    if let Some(destination) = destination {
        insert(headers, BAGGAGE, &baggage(destination));
    }
}

/// W3C baggage of a workload; members without a value are left out.
fn baggage(workload: &WorkloadDescriptor) -> String {
    let name_key = format!("k8s.{}.name", workload_kind(&workload.workload_type));
    let members = [
        ("k8s.cluster.name", &workload.cluster),
        ("k8s.namespace.name", &workload.namespace),
        (name_key.as_str(), &workload.workload),
        ("service.name", &workload.canonical_service),
        ("service.version", &workload.canonical_revision),
        ("cloud.region", &workload.region),
        ("cloud.availability_zone", &workload.zone),
    ];
    let filled = members.iter().filter(|(_, value)| !value.is_empty());
    filled.fold(String::with_capacity(160), |mut text, (key, value)| {
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{key}={value}");
        text
    })
}

fn workload_kind(kind: &str) -> &str {
    match kind {
        "deployment" | "cronjob" | "job" => kind,
        _ => "pod",
    }
}

/// A fresh trace context, not sampled: it serves to find one connection in two logs.
fn traceparent() -> String {
    let mut id = [0_u8; 24];
    // Without randomness there is no trace id, and an all-zero one is invalid: the header is then left out.
    if aws_lc_rs::rand::fill(&mut id).is_err() {
        return String::new();
    }
    let hex = id.iter().fold(String::with_capacity(48), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    });
    format!("00-{}-{}-00", &hex[..32], &hex[32..])
}

/// Why a CONNECT's target cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// Not `ip:port` nor `host:port`.
    Malformed,
    /// A name, which we do not resolve.
    Hostname,
}

/// The address that a CONNECT asks for.
pub fn target(request: &Request<impl Sized>) -> Result<SocketAddr, TargetError> {
    let authority = request.uri().authority().ok_or(TargetError::Malformed)?;
    if let Ok(address) = authority.as_str().parse::<SocketAddr>() {
        return Ok(address);
    }
    let named = authority.port_u16().is_some() && !authority.host().starts_with('[');
    Err(if named {
        TargetError::Hostname
    } else {
        TargetError::Malformed
    })
}

/// The client's own port, where a `forwarded` header names one. The address in it is not believed, only the port is used,
/// as a hint for the port to dial from.
pub fn forwarded_port(headers: &HeaderMap) -> Option<u16> {
    let value = headers.get(FORWARDED)?.to_str().ok()?;
    let node = value
        .split(';')
        .find_map(|pair| pair.trim().strip_prefix("for="))?;
    let address: SocketAddr = node.trim_matches('"').parse().ok()?;
    (address.port() >= 1024).then_some(address.port())
}
