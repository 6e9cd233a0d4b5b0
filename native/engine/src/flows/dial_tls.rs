//! Connections to a server that is no part of the mesh's tunnels, such as the control plane: the engine speaks TLS in the pod's
//! name, so that the pod needs neither key nor token.

use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::context::{Pod, Shared};
use super::refusal::{Reason, Refused};
use crate::api::{Relay, Transport};
use crate::telemetry::FlowDescription;
use crate::tls::{ALPN_H2, Credentials};

/// Connects from the namespace of this process, not of the pod, and shows the pod's certificate.
pub async fn dial_tls(
    shared: &Shared,
    pod: &Pod,
    relay: &Relay,
    description: &mut FlowDescription,
) -> Result<TlsStream<TcpStream>, Refused> {
    let (limit, identity) = (shared.connect_timeout, pod.spec().identity.clone());
    description.transport = Transport::MutualTls;
    description.source_identity = Some(identity.clone());
    let name = ServerName::try_from(relay.server_name.to_string()).map_err(|_| {
        let message = format!("{} is not the name of a server", relay.server_name);
        Refused::new(Reason::TlsFailed, message)
    })?;
    let waiting = shared.identities.wait(&identity, limit).await;
    let credentials = waiting.ok_or_else(|| {
        let message = format!("the certificate for {identity} has not been issued yet");
        Refused::new(Reason::NoIdentity, message)
    })?;
    let stream = connect(relay, limit, description).await?;
    shake_hands(stream, name, &credentials, limit).await
}

/// Names are resolved and their addresses tried one by one.
async fn connect(
    relay: &Relay,
    limit: Duration,
    description: &mut FlowDescription,
) -> Result<TcpStream, Refused> {
    let Relay { address, port, .. } = relay;
    let connecting = timeout(limit, TcpStream::connect((&**address, *port))).await;
    let stream = match connecting {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let message = format!("connecting to {address} port {port} failed: {error}");
            return Err(Refused::new(Reason::ConnectFailed, message));
        }
        Err(_) => {
            let message = format!("no connection to {address} port {port} in time");
            return Err(Refused::new(Reason::ConnectTimeout, message));
        }
    };
    let socket = |error: std::io::Error| Refused::new(Reason::Socket, error.to_string());
    ambit_intercept::sockets::prepare_accepted(&stream).map_err(socket)?;
    description.destination = stream.peer_addr().map_err(socket)?;
    Ok(stream)
}

/// The bytes that follow are HTTP/2, so a server that did not agree on it would only be confused by them.
async fn shake_hands(
    stream: TcpStream,
    name: ServerName<'static>,
    credentials: &Credentials,
    limit: Duration,
) -> Result<TlsStream<TcpStream>, Refused> {
    let failed = |why| {
        Refused::new(
            Reason::TlsFailed,
            format!("the TLS handshake failed: {why}"),
        )
    };
    let connector = TlsConnector::from(credentials.client_by_name());
    let stream = timeout(limit, connector.connect(name, stream))
        .await
        .map_err(|_| {
            Refused::new(
                Reason::HandshakeTimeout,
                "the server did not answer in time",
            )
        })?
        .map_err(|error| failed(error.to_string()))?;
    if stream.get_ref().1.alpn_protocol() != Some(ALPN_H2) {
        return Err(failed("the server does not speak HTTP/2".to_owned()));
    }
    Ok(stream)
}
