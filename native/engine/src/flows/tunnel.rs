//! Outbound streams: from a pod and an endpoint to a CONNECT that was answered.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_intercept::Netns;
use ambit_intercept::sockets::{connect, stream_socket};
use bytes::Bytes;
use h2::{RecvStream, SendStream};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::context::{Pod, Shared, ThreadContext};
use crate::api::Endpoint;
use crate::hbone::PORT;
use crate::hbone::client::{TunnelError, drive, handshake, open};
use crate::hbone::headers::ConnectRequest;
use crate::hbone::pool::{Lease, Tunnel, TunnelKey};

/// A stream on a tunnel; the lease keeps its place.
pub struct TunnelStream {
    pub send: SendStream<Bytes>,
    pub receive: RecvStream,
    pub lease: Lease,
}

/// A CONNECT is sent a second time only where the peer has certainly not looked at the first.
/// As often as there may be tunnels that all say so, when the agent at their other end is replaced.
const ATTEMPTS: usize = 4;

pub async fn open_stream(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    endpoint: &Endpoint,
    request: &ConnectRequest<'_>,
) -> Result<TunnelStream, TunnelError> {
    let key = key_of(pod, endpoint);
    let limit = context.shared.connect_timeout;
    let mut attempt = 1;
    loop {
        let lease = context
            .pool
            .lease(&key, || {
                establish(context.shared.clone(), pod.clone(), key.clone())
            })
            .await?;
        let connect = request
            .build()
            .map_err(|error| TunnelError::Request(Arc::new(error)))?;
        match open(lease.sender(), connect, limit).await {
            Ok((send, receive)) => {
                return Ok(TunnelStream {
                    send,
                    receive,
                    lease,
                });
            }
            Err(error) => {
                if matches!(error, TunnelError::Stream(_)) {
                    lease.retire();
                }
                if attempt == ATTEMPTS || !error.is_unprocessed() {
                    return Err(error);
                }
                attempt += 1;
            }
        }
    }
}

fn key_of(pod: &Pod, endpoint: &Endpoint) -> TunnelKey {
    TunnelKey {
        source_pod: pod.spec().uid.clone(),
        source: pod.address_like(endpoint.address),
        destination_pod: endpoint.pod_uid.clone(),
        destination: endpoint.address,
        identities: endpoint.identities.clone(),
    }
}

/// Connect, TLS and HTTP/2 together within the limit of time; the identity may take its own share of waiting before.
async fn establish(
    shared: Arc<Shared>,
    pod: Arc<Pod>,
    key: TunnelKey,
) -> Result<(Rc<Tunnel>, impl Future<Output = ()> + 'static), TunnelError> {
    let limit = shared.connect_timeout;
    let identity = pod.spec().identity.clone();
    let credentials = shared
        .identities
        .wait(&identity, limit)
        .await
        .ok_or(TunnelError::NoIdentity(identity))?;
    let address = SocketAddr::new(key.destination, PORT);
    let connecting = async {
        let socket = connect_from(&pod.netns, address, limit).await?;
        handshake(socket, credentials.client(key.identities.clone())).await
    };
    let connected = timeout(limit, connecting).await;
    let (sender, connection) = connected.unwrap_or(Err(TunnelError::ConnectTimeout(address)))?;
    let tunnel = Tunnel::new(sender);
    let (fresh, released) = (tunnel.clone(), tunnel.clone().until_released());
    let settled = move || fresh.settle();
    Ok((tunnel, drive(connection, settled, released)))
}

async fn connect_from(
    netns: &Netns,
    address: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, TunnelError> {
    let failed = |error| TunnelError::Connect(address, Arc::new(error));
    let connecting = async {
        let socket = stream_socket(netns, address.ip())?;
        connect(&socket, address)?;
        let stream = TcpStream::from_std(std::net::TcpStream::from(socket))?;
        stream.writable().await?;
        stream.take_error()?.map_or(Ok(stream), Err)
    };
    timeout(limit, connecting)
        .await
        .map_err(|_| TunnelError::ConnectTimeout(address))?
        .map_err(failed)
}

/// Where a tunnel to this endpoint goes.
pub fn tunnel_address(address: IpAddr) -> SocketAddr {
    SocketAddr::new(address, PORT)
}
