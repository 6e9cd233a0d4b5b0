//! Connecting from inside pods' network namespaces.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use ambit_intercept::sockets::{connect, prepare_local_leg, stream_socket, transparent_socket};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::context::Pod;
use super::refusal::{Reason, Refused};

/// Source ports tried before giving up: each costs a few system calls, and a ring that is full stays full.
const PORT_ATTEMPTS: usize = 64;

/// Connects as the pod itself.
pub async fn dial(
    pod: &Pod,
    destination: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Refused> {
    let connecting = async {
        let socket = stream_socket(&pod.netns, destination.ip())?;
        connect(&socket, destination)?;
        established(socket).await
    };
    bounded(destination, limit, connecting).await
}

/// Connects to the pod's own application in the name of `client`. `own_port` is tried first; it must not be given where
/// the client's connection itself ends in this namespace, for then the four-tuple is taken.
pub async fn dial_application(
    pod: &Pod,
    client: SocketAddr,
    own_port: Option<u16>,
    destination: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Refused> {
    if pod.spec().addresses.contains(&client.ip()) {
        return dial_itself(pod, destination, limit).await;
    }
    bounded(
        destination,
        limit,
        dial_as(pod, client, own_port, destination),
    )
    .await
}

/// A pod that reaches itself through a virtual address needs no borrowed address. The socket must not be bound to `lo`
/// either: the answer comes by the interface that bears the address, as the kernel tells it, and would meet a reset.
async fn dial_itself(
    pod: &Pod,
    destination: SocketAddr,
    limit: Duration,
) -> Result<TcpStream, Refused> {
    let stream = dial(pod, destination, limit).await?;
    prepare_local_leg(&stream);
    Ok(stream)
}

async fn dial_as(
    pod: &Pod,
    client: SocketAddr,
    own_port: Option<u16>,
    destination: SocketAddr,
) -> io::Result<TcpStream> {
    let mut last = io::ErrorKind::AddrInUse.into();
    for port in pod.ports.candidates(own_port, PORT_ATTEMPTS) {
        let begun = transparent_socket(&pod.netns, client.ip(), port, pod.mark)
            .and_then(|socket| connect(&socket, destination).map(|_| socket));
        match begun {
            Ok(socket) => {
                let stream = established(socket).await?;
                prepare_local_leg(&stream);
                return Ok(stream);
            }
            Err(error) if is_port_taken(&error) => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

fn is_port_taken(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AddrInUse | io::ErrorKind::AddrNotAvailable
    )
}

/// Waits for a connect that has been started.
async fn established(socket: OwnedFd) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(StdStream::from(socket))?;
    stream.writable().await?;
    match stream.take_error()? {
        Some(error) => Err(error),
        None => Ok(stream),
    }
}

async fn bounded(
    destination: SocketAddr,
    limit: Duration,
    connecting: impl Future<Output = io::Result<TcpStream>>,
) -> Result<TcpStream, Refused> {
    match timeout(limit, connecting).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(Refused::new(
            Reason::ConnectFailed,
            format!("connecting to {destination} failed: {error}"),
        )),
        Err(_) => {
            let message = format!(
                "no connection to {destination} within {} s",
                limit.as_secs_f32()
            );
            Err(Refused::new(Reason::ConnectTimeout, message))
        }
    }
}
