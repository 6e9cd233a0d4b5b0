//! The server's end of tunnels: takes a connection through TLS and HTTP/2, and hands out its CONNECT streams.

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response, StatusCode};
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::keepalive::until_dead;
use super::settings;
use super::socket::TunnelSocket;
use crate::tls::{peer_identity, remaining_validity};

/// Why a connection did not become a tunnel.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    #[error("the HTTP/2 handshake failed: {0}")]
    Http2(h2::Error),
}

pub type ServerConnection = Connection<TlsStream<TunnelSocket>, Bytes>;

/// Who is at the other end, as verified.
#[derive(Clone)]
pub struct TunnelPeer {
    pub identity: Arc<str>,
    /// How long its certificate still holds.
    pub valid_for: Duration,
}

/// TLS, then HTTP/2; with the verified client. The caller bounds the time.
pub async fn accept(
    socket: TcpStream,
    config: Arc<ServerConfig>,
) -> Result<(ServerConnection, TunnelPeer), AcceptError> {
    let accepting = TlsAcceptor::from(config).accept_with(TunnelSocket::new(socket), |tls| {
        tls.set_buffer_limit(Some(settings::TLS_BATCH))
    });
    let stream = accepting.await.map_err(AcceptError::Tls)?;
    let peer = peer_of(&stream).map_err(AcceptError::Tls)?;
    let connection = settings::server()
        .handshake(stream)
        .await
        .map_err(AcceptError::Http2)?;
    Ok((connection, peer))
}

fn peer_of(stream: &TlsStream<TunnelSocket>) -> io::Result<TunnelPeer> {
    let refuse = |why: String| io::Error::new(io::ErrorKind::InvalidData, why);
    let leaf = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(<[_]>::first);
    let leaf = leaf.ok_or_else(|| refuse("the client showed no certificate".to_owned()))?;
    let identity = peer_identity(leaf).map_err(|error| refuse(error.to_string()))?;
    Ok(TunnelPeer {
        identity: Arc::from(identity),
        valid_for: remaining_validity(leaf, SystemTime::now()),
    })
}

/// Gives each stream to `on_stream` until the tunnel ends. Once `draining` resolves the peer is told to open no more
/// (GOAWAY), and open streams may end; once `closing` resolves the tunnel is cut.
pub async fn drive(
    mut connection: ServerConnection,
    on_stream: impl FnMut(Incoming),
    draining: impl Future<Output = ()>,
    closing: impl Future<Output = ()>,
) -> Result<(), h2::Error> {
    let dead = until_dead(connection.ping_pong());
    tokio::select! {
        ended = take_streams(&mut connection, on_stream, draining) => ended,
        () = dead => Ok(()),
        () = closing => {
            connection.abrupt_shutdown(Reason::NO_ERROR);
            flush(&mut connection).await;
            Ok(())
        }
    }
}

/// Sends what is queued, as far as the socket takes it at once: whoever closes by force does not wait for the peer.
async fn flush(connection: &mut ServerConnection) {
    std::future::poll_fn(|context| {
        let _ = connection.poll_closed(context);
        std::task::Poll::Ready(())
    })
    .await;
}

async fn take_streams(
    connection: &mut ServerConnection,
    mut on_stream: impl FnMut(Incoming),
    draining: impl Future<Output = ()>,
) -> Result<(), h2::Error> {
    let mut draining = std::pin::pin!(draining);
    let mut drained = false;
    loop {
        tokio::select! {
            biased;
            () = &mut draining, if !drained => {
                drained = true;
                connection.graceful_shutdown();
            }
            next = connection.accept() => match next {
                Some(Ok((request, respond))) => on_stream(Incoming { request, respond }),
                Some(Err(error)) => return Err(error),
                None => return Ok(()),
            }
        }
    }
}

/// A request for a stream, not answered yet.
pub struct Incoming {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Incoming {
    /// The request, and what resolves when the client takes it back or its tunnel breaks.
    pub fn parts(&mut self) -> (&Request<RecvStream>, impl Future<Output = ()>) {
        let respond = &mut self.respond;
        let taken_back = std::future::poll_fn(|context| respond.poll_reset(context).map(|_| ()));
        (&self.request, taken_back)
    }

    pub fn refuse(mut self, status: StatusCode) {
        let mut response = Response::new(());
        *response.status_mut() = status;
        // An error means that the client has gone: nobody is left to be told.
        let _ = self.respond.send_response(response, true);
    }

    /// Answers 200.
    pub fn accept(
        mut self,
        headers: HeaderMap,
    ) -> Result<(SendStream<Bytes>, RecvStream), h2::Error> {
        let mut response = Response::new(());
        *response.headers_mut() = headers;
        let send = self.respond.send_response(response, false)?;
        Ok((send, self.request.into_body()))
    }
}
