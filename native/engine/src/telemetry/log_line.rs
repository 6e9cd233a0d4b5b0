//! A flow's line in the access log: ztunnel's fields, in its two formats.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::flow::{FlowDescription, FlowEnd, Reporter};
use super::time_text::write_time;
use crate::api::{LogFormat, ServiceDescriptor, WorkloadDescriptor};

pub(super) struct LogRecord {
    pub(super) time: SystemTime,
    /// The same for both lines of a node-local join.
    pub(super) flow: u64,
    pub(super) description: Arc<FlowDescription>,
    pub(super) reporter: Reporter,
    pub(super) end: FlowEnd,
    /// Absent for a flow that was refused before it opened.
    pub(super) transfer: Option<Transfer>,
}

#[derive(Clone, Copy)]
pub(super) struct Transfer {
    pub(super) received: u64,
    pub(super) sent: u64,
    pub(super) duration: Duration,
}

impl LogRecord {
    /// Appends the line with its newline.
    pub(super) fn write(&self, out: &mut String, format: LogFormat) {
        let mut line = Line::begin(out, format, self.time, self.level(), self.message());
        self.write_source(&mut line);
        self.write_destination(&mut line);
        line.text("direction", Some(direction(self.reporter)));
        if let Some(transfer) = &self.transfer {
            // From the proxy's own view: what the client sent on is what the proxy sends.
            line.plain("bytes_sent", transfer.received);
            line.plain("bytes_recv", transfer.sent);
            let duration = format!("{}ms", transfer.duration.as_millis());
            line.text("duration", Some(&duration));
        }
        line.text("error", self.end.error.as_deref());
        line.text("policy", self.end.policy.as_deref());
        line.end();
    }

    fn level(&self) -> &'static str {
        match (&self.transfer, &self.end.error) {
            (None, _) => "warn",
            (Some(_), Some(_)) => "error",
            (Some(_), None) => "info",
        }
    }

    fn message(&self) -> &'static str {
        if self.transfer.is_some() {
            "connection complete"
        } else {
            "connection failed"
        }
    }

    fn write_source(&self, line: &mut Line<'_>) {
        let flow = &self.description;
        let workload = flow.source_workload.as_deref();
        line.address("src.addr", Some(flow.source));
        line.text("src.workload", workload.map(name));
        line.text("src.namespace", workload.map(namespace));
        line.text("src.identity", flow.source_identity.as_deref());
        line.text("src.cluster", workload.map(cluster));
    }

    fn write_destination(&self, line: &mut Line<'_>) {
        let flow = &self.description;
        let workload = flow.destination_workload.as_deref();
        line.address("dst.addr", Some(flow.destination));
        line.address("dst.hbone_addr", flow.hbone_address);
        line.text("dst.service", flow.service.as_deref().map(hostname));
        line.text("dst.workload", workload.map(name));
        line.text("dst.namespace", workload.map(namespace));
        line.text("dst.identity", flow.destination_identity.as_deref());
        line.text("dst.cluster", workload.map(cluster));
    }
}

fn name(workload: &WorkloadDescriptor) -> &str {
    &workload.name
}

fn namespace(workload: &WorkloadDescriptor) -> &str {
    &workload.namespace
}

fn cluster(workload: &WorkloadDescriptor) -> &str {
    &workload.cluster
}

fn hostname(service: &ServiceDescriptor) -> &str {
    &service.hostname
}

fn direction(reporter: Reporter) -> &'static str {
    match reporter {
        Reporter::Source => "outbound",
        Reporter::Destination => "inbound",
    }
}

/// JSON writes it as it is: what nearly all values are made of.
fn is_plain_in_json(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

/// Writes one field after the other; absent and empty ones are left out.
struct Line<'a> {
    out: &'a mut String,
    format: LogFormat,
    first: bool,
}

impl<'a> Line<'a> {
    fn begin(
        out: &'a mut String,
        format: LogFormat,
        time: SystemTime,
        level: &str,
        message: &str,
    ) -> Self {
        match format {
            LogFormat::Json => {
                let _ = write!(out, "{{\"level\":\"{level}\",\"time\":\"");
                write_time(out, time);
                let _ = write!(out, "\",\"scope\":\"access\",\"message\":\"{message}\"");
            }
            LogFormat::Plain => {
                write_time(out, time);
                let _ = write!(out, "\t{level}\taccess\t{message}\t");
            }
        }
        let first = true;
        Self { out, format, first }
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        let Some(value) = value.filter(|text| !text.is_empty()) else {
            return;
        };
        self.name(name);
        match self.format {
            LogFormat::Json => self.quote_json(value),
            // Debug escapes quotes and line ends, so that no peer writes a line of its own.
            LogFormat::Plain => drop(write!(self.out, "{value:?}")),
        }
    }

    fn address(&mut self, name: &str, value: Option<std::net::SocketAddr>) {
        let Some(address) = value else {
            return;
        };
        match self.format {
            LogFormat::Json => {
                self.name(name);
                let _ = write!(self.out, "\"{address}\"");
            }
            LogFormat::Plain => self.plain(name, address),
        }
    }

    fn plain(&mut self, name: &str, value: impl Display) {
        self.name(name);
        let _ = write!(self.out, "{value}");
    }

    fn name(&mut self, name: &str) {
        let (before, after) = match self.format {
            LogFormat::Json => (",\"", "\":"),
            LogFormat::Plain if self.first => ("", "="),
            LogFormat::Plain => (" ", "="),
        };
        self.out.push_str(before);
        self.out.push_str(name);
        self.out.push_str(after);
        self.first = false;
    }

    fn quote_json(&mut self, value: &str) {
        if value.bytes().all(is_plain_in_json) {
            self.out.push('"');
            self.out.push_str(value);
            self.out.push('"');
        } else {
            // Serializing a string cannot fail.
            self.out
                .push_str(&serde_json::to_string(value).unwrap_or_default());
        }
    }

    fn end(self) {
        self.out.push_str(match self.format {
            LogFormat::Json => "}\n",
            LogFormat::Plain => "\n",
        });
    }
}
