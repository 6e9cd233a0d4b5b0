//! The labels of the traffic families, in ztunnel's order.

use std::sync::Arc;

use super::flow::{FlowDescription, Reporter, ResponseFlags};
use super::text::write_label;
use crate::api::{ServiceDescriptor, Transport, WorkloadDescriptor};

const UNKNOWN: &str = "unknown";
const OTHER: &str = "other";

/// One value for each label; `None` is written as `unknown`.
pub(super) fn write_labels(
    out: &mut String,
    flow: &FlowDescription,
    reporter: Reporter,
    flags: ResponseFlags,
) {
    let source = flow.source_workload.as_deref();
    let destination = flow.destination_workload.as_deref();
    write_label(out, "reporter", reporter.label());
    let principal = principal(flow.source_identity.as_ref(), source, flow.transport);
    write_workload(out, &SOURCE, source, principal);
    write_service(out, flow.service.as_deref());
    let principal = self::principal(
        flow.destination_identity.as_ref(),
        destination,
        flow.transport,
    );
    write_workload(out, &DESTINATION, destination, principal);
    write_label(out, "request_protocol", "tcp");
    write_label(out, "response_flags", flags.label());
    write_label(
        out,
        "connection_security_policy",
        connection_security_policy(flow.transport),
    );
    write_locality(out, ["source_region", "source_zone"], source);
    write_locality(out, ["destination_region", "destination_zone"], destination);
}

/// The series that takes what is beyond the bound: only the reporter is told apart.
pub(super) fn write_other_labels(out: &mut String, reporter: Reporter) {
    write_label(out, "reporter", reporter.label());
    for name in SOURCE {
        write_label(out, name, OTHER);
    }
    for name in SERVICE {
        write_label(out, name, OTHER);
    }
    for name in DESTINATION {
        write_label(out, name, OTHER);
    }
    write_label(out, "request_protocol", "tcp");
    write_label(out, "response_flags", OTHER);
    write_label(out, "connection_security_policy", OTHER);
    for name in [
        "source_region",
        "source_zone",
        "destination_region",
        "destination_zone",
    ] {
        write_label(out, name, OTHER);
    }
}

const SOURCE: [&str; 8] = [
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
];

const DESTINATION: [&str; 8] = [
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
];

const SERVICE: [&str; 3] = [
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
];

fn write_workload(
    out: &mut String,
    names: &[&str; 8],
    workload: Option<&WorkloadDescriptor>,
    principal: Option<&str>,
) {
    let of = |field: fn(&WorkloadDescriptor) -> &Arc<str>| workload.map(|it| &**field(it));
    let values = [
        of(|it| &it.workload),
        of(|it| &it.canonical_service),
        of(|it| &it.canonical_revision),
        of(|it| &it.namespace),
        principal,
        of(|it| &it.app),
        of(|it| &it.version),
        of(|it| &it.cluster),
    ];
    for (name, value) in names.iter().zip(values) {
        write_label(out, name, known(value));
    }
}

fn write_service(out: &mut String, service: Option<&ServiceDescriptor>) {
    let of = |field: fn(&ServiceDescriptor) -> &Arc<str>| service.map(|it| &**field(it));
    let values = [
        of(|it| &it.hostname),
        of(|it| &it.namespace),
        of(|it| &it.name),
    ];
    for (name, value) in SERVICE.iter().zip(values) {
        write_label(out, name, known(value));
    }
}

fn write_locality(out: &mut String, names: [&str; 2], workload: Option<&WorkloadDescriptor>) {
    let of = |field: fn(&WorkloadDescriptor) -> &Arc<str>| workload.map(|it| &**field(it));
    write_label(out, names[0], known(of(|it| &it.region)));
    write_label(out, names[1], known(of(|it| &it.zone)));
}

fn known(value: Option<&str>) -> &str {
    value.filter(|text| !text.is_empty()).unwrap_or(UNKNOWN)
}

/// The verified identity. A workload that plaintext merely claims by its address is not named as a principal.
fn principal<'a>(
    identity: Option<&'a Arc<str>>,
    workload: Option<&'a WorkloadDescriptor>,
    transport: Transport,
) -> Option<&'a str> {
    let from_workload = workload
        .filter(|_| transport != Transport::Plaintext)
        .map(|workload| &*workload.principal);
    identity.map(|identity| &**identity).or(from_workload)
}

/// ztunnel writes `unknown` for plaintext.
pub fn connection_security_policy(transport: Transport) -> &'static str {
    match transport {
        Transport::MutualTls => "mutual_tls",
        Transport::NodeLocal => "node_local",
        Transport::Plaintext => UNKNOWN,
    }
}
