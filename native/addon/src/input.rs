//! What JavaScript gives, in the engine's types. The words are those of `src/native/binding.ts`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ambit_engine::api::{
    AccessLogFilter, Answer, AnswerMask, Direction, Endpoint, EndpointSet, EndpointSetReference,
    EngineOptions, Handover, IdentityCertificate, InboundVerdict, LogFormat, NameRecord,
    OutboundAction, OutboundVerdict, PodSpec, Protocol, Relay, ServiceDescriptor, Verdict,
    WantedOutcome, WorkloadDescriptor,
};

use crate::read::{Fields, Read, Value, small};

#[derive(Clone, Copy)]
enum OutboundWord {
    Passthrough,
    Connect,
    Deny,
    Relay,
}

pub(crate) fn engine_options(value: Value<'_>) -> Read<EngineOptions> {
    let fields = value.object()?;
    let formats = [("json", LogFormat::Json), ("plain", LogFormat::Plain)];
    Ok(EngineOptions {
        node: fields.string("node")?,
        bpffs: fields.string("bpffs").map(PathBuf::from)?,
        cgroup_root: fields.string("cgroupRoot").map(PathBuf::from)?,
        pods_cgroup: fields
            .optional("podsCgroup", |value| value.string())?
            .map(PathBuf::from),
        node_netns: fields
            .optional("nodeNetns", |value| value.string())?
            .map(PathBuf::from),
        host_proc: fields.string("hostProc").map(PathBuf::from)?,
        threads: fields.small::<u8>("threads")?.into(),
        trust_domains: fields.get("trustDomains", |value| value.list(|it| it.string()))?,
        access_log: fields.string("accessLog")?,
        access_log_format: fields.get("accessLogFormat", |value| value.word(&formats))?,
        question_timeout: milliseconds(&fields, "questionTimeout")?,
        connect_timeout: milliseconds(&fields, "connectTimeout")?,
        version: fields.string("version")?,
        cluster_id: fields.string("clusterId")?,
    })
}

pub(crate) fn access_log_filter(value: Value<'_>) -> Read<AccessLogFilter> {
    let outcomes = [
        ("any", WantedOutcome::Any),
        ("errors", WantedOutcome::Errors),
        ("denied", WantedOutcome::Denied),
    ];
    let directions = [
        ("inbound", Direction::Inbound),
        ("outbound", Direction::Outbound),
    ];
    let fields = value.object()?;
    Ok(AccessLogFilter {
        sampling: fields.small("sampling")?,
        outcome: fields.get("outcome", |value| value.word(&outcomes))?,
        directions: fields.get("directions", |value| value.list(|it| it.word(&directions)))?,
        namespaces: fields.get("namespaces", |value| value.list(|it| it.text()))?,
    })
}

fn milliseconds(fields: &Fields<'_>, name: &str) -> Read<Duration> {
    fields
        .small::<u32>(name)
        .map(u64::from)
        .map(Duration::from_millis)
}

pub(crate) fn pod_spec(value: Value<'_>) -> Read<PodSpec> {
    let fields = value.object()?;
    Ok(PodSpec {
        uid: fields.text("uid")?,
        netns: fields.string("netns").map(PathBuf::from)?,
        addresses: fields.get("addresses", |value| value.list(|it| it.address()))?,
        identity: fields.text("identity")?,
        workload: fields.text("workload")?,
        probe_ports: fields.get("probePorts", |value| value.list(small))?,
        handover: fields.boolean("handover")?,
        dns_capture: fields.boolean("dnsCapture")?,
        bypass_inbound: fields.boolean("bypassInbound")?,
    })
}

pub(crate) fn name_record(value: Value<'_>) -> Read<NameRecord> {
    let fields = value.object()?;
    Ok(NameRecord {
        key: fields.text("key")?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
        public: fields.boolean("public")?,
        canonical: fields.boolean("canonical")?,
        addresses: fields.get("addresses", |value| value.list(|it| it.address()))?,
        ttl: fields.small("ttl")?,
    })
}

pub(crate) fn identity_certificate(value: Value<'_>) -> Read<IdentityCertificate> {
    let fields = value.object()?;
    Ok(IdentityCertificate {
        spiffe_id: fields.text("spiffeId")?,
        certificate_chain: fields.string("certificateChain")?,
        private_key: fields.string("privateKey")?,
        roots: fields.string("roots")?,
    })
}

pub(crate) fn workload_descriptor(value: Value<'_>) -> Read<WorkloadDescriptor> {
    let fields = value.object()?;
    Ok(WorkloadDescriptor {
        uid: fields.text("uid")?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
        workload: fields.text("workload")?,
        canonical_service: fields.text("canonicalService")?,
        canonical_revision: fields.text("canonicalRevision")?,
        principal: fields.text("principal")?,
        app: fields.text("app")?,
        version: fields.text("version")?,
        cluster: fields.text("cluster")?,
        region: fields.text("region")?,
        zone: fields.text("zone")?,
        workload_type: fields.text("workloadType")?,
    })
}

pub(crate) fn service_descriptor(value: Value<'_>) -> Read<ServiceDescriptor> {
    let fields = value.object()?;
    Ok(ServiceDescriptor {
        key: fields.text("key")?,
        hostname: fields.text("hostname")?,
        name: fields.text("name")?,
        namespace: fields.text("namespace")?,
    })
}

fn endpoint(value: Value<'_>) -> Read<Endpoint> {
    let fields = value.object()?;
    let protocols = [("hbone", Protocol::Hbone), ("tcp", Protocol::Tcp)];
    Ok(Endpoint {
        workload: fields.text("workload")?,
        pod_uid: fields.optional_text("podUid")?,
        address: fields.get("address", |value| value.address())?,
        port: fields.small("port")?,
        protocol: fields.get("protocol", |value| value.word(&protocols))?,
        identities: texts(&fields, "identities")?.into(),
        weight: fields.small("weight")?,
        local: fields.boolean("local")?,
        authority: fields.optional("authority", socket_address)?,
    })
}

pub(crate) fn endpoint_set(value: Value<'_>) -> Read<EndpointSet> {
    let fields = value.object()?;
    Ok(EndpointSet {
        id: fields.text("id")?,
        version: fields.integer("version")?,
        endpoints: fields.get("endpoints", |value| value.list(endpoint))?,
    })
}

fn texts(fields: &Fields<'_>, name: &str) -> Read<Vec<Arc<str>>> {
    fields.get(name, |value| value.list(|it| it.text()))
}

pub(crate) fn answer(value: Value<'_>) -> Read<Answer> {
    let fields = value.object()?;
    let kinds = [
        ("outbound", Direction::Outbound),
        ("inbound", Direction::Inbound),
    ];
    let verdict = match fields.get("kind", |value| value.word(&kinds))? {
        Direction::Outbound => Verdict::Outbound(outbound_verdict(&fields)?),
        Direction::Inbound => Verdict::Inbound(inbound_verdict(&fields)?),
    };
    Ok(Answer {
        id: fields.integer("id")?,
        generation: fields.integer("generation")?,
        keys: texts(&fields, "keys")?,
        mask: fields.get("mask", answer_mask)?,
        verdict,
    })
}

fn answer_mask(value: Value<'_>) -> Read<AnswerMask> {
    let fields = value.object()?;
    Ok(AnswerMask {
        prefix_length: fields.small("prefixLength")?,
        any_port: fields.boolean("anyPort")?,
        any_destination: fields.boolean("anyDestination")?,
    })
}

fn outbound_verdict(fields: &Fields<'_>) -> Read<OutboundVerdict> {
    let words = [
        ("passthrough", OutboundWord::Passthrough),
        ("connect", OutboundWord::Connect),
        ("deny", OutboundWord::Deny),
        ("relay", OutboundWord::Relay),
    ];
    let action = match fields.get("action", |value| value.word(&words))? {
        OutboundWord::Passthrough => OutboundAction::Passthrough {
            workload: fields.optional_text("workload")?,
        },
        OutboundWord::Connect => OutboundAction::Connect {
            endpoint_set: fields.get("endpointSet", endpoint_set_reference)?,
            allow_local: fields.boolean("allowLocal")?,
            authority: fields.optional("authority", socket_address)?,
        },
        OutboundWord::Deny => OutboundAction::Deny {
            reason: fields.text("reason")?,
        },
        OutboundWord::Relay => OutboundAction::Relay(fields.get("relay", relay)?),
    };
    let service = fields.optional_text("service")?;
    Ok(OutboundVerdict { action, service })
}

fn endpoint_set_reference(value: Value<'_>) -> Read<EndpointSetReference> {
    let fields = value.object()?;
    Ok(EndpointSetReference {
        id: fields.text("id")?,
        version: fields.integer("version")?,
        held: None,
    })
}

fn socket_address(value: Value<'_>) -> Read<SocketAddr> {
    let fields = value.object()?;
    let address = fields.get("address", |value| value.address())?;
    Ok(SocketAddr::new(address, fields.small("port")?))
}

fn relay(value: Value<'_>) -> Read<Relay> {
    let fields = value.object()?;
    Ok(Relay {
        address: fields.text("address")?,
        port: fields.small("port")?,
        server_name: fields.text("serverName")?,
    })
}

fn inbound_verdict(fields: &Fields<'_>) -> Read<InboundVerdict> {
    let words = [("allow", true), ("deny", false)];
    Ok(InboundVerdict {
        allow: fields.get("action", |value| value.word(&words))?,
        policy: fields.optional_text("policy")?,
        reason: fields.optional_text("reason")?,
        source_workload: fields.optional_text("sourceWorkload")?,
        service: fields.optional_text("service")?,
        handover: fields.optional("handover", handover)?,
    })
}

fn handover(value: Value<'_>) -> Read<Handover> {
    let port = value.object()?.small("port")?;
    Ok(Handover { port })
}
