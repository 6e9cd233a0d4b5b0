//! The client's end of tunnels: TLS and HTTP/2 on a connected socket, and CONNECT streams on those.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Connection, SendRequest};
use h2::{RecvStream, SendStream};
use http::{Request, StatusCode};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::keepalive::{has_answered, until_dead};
use super::settings;
use super::socket::TunnelSocket;
use crate::tls::Credentials;

/// Why no stream came about. Cheap to clone, since one failed connect answers every flow that waited for it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TunnelError {
    #[error("connecting to {0} failed: {1}")]
    Connect(std::net::SocketAddr, Arc<std::io::Error>),
    #[error(
        "no connection to {0} within the limit of time; does a network policy block port 15008?"
    )]
    ConnectTimeout(std::net::SocketAddr),
    #[error("the TLS handshake failed: {0}")]
    Tls(Arc<std::io::Error>),
    #[error("the HTTP/2 handshake failed: {0}")]
    Http2(Arc<h2::Error>),
    #[error("the peer ended the tunnel as it began; does it accept our certificate?")]
    EndedEarly,
    #[error("the tunnel broke: {0}")]
    Stream(Arc<h2::Error>),
    #[error("the peer refused the connection with status {}", .0.as_u16())]
    Status(StatusCode),
    #[error("the peer did not answer within the limit of time")]
    AnswerTimeout,
    #[error("the certificate for {0} has not been issued yet")]
    NoIdentity(Arc<str>),
    #[error("the request cannot be expressed: {0}")]
    Request(Arc<http::Error>),
}

impl TunnelError {
    /// The peer has not looked at the request, so that asking again elsewhere is safe.
    pub fn is_unprocessed(&self) -> bool {
        match self {
            TunnelError::Stream(error) => {
                error.reason() == Some(h2::Reason::REFUSED_STREAM)
                    || (error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR))
            }
            _ => false,
        }
    }
}

/// TLS, then HTTP/2, on a connected socket. The caller bounds the time.
pub async fn handshake(
    socket: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<
    (
        SendRequest<Bytes>,
        Connection<TlsStream<TunnelSocket>, Bytes>,
    ),
    TunnelError,
> {
    let connecting = TlsConnector::from(config).connect_with(
        Credentials::server_name(),
        TunnelSocket::new(socket),
        |tls| tls.set_buffer_limit(Some(settings::TLS_BATCH)),
    );
    let stream = connecting
        .await
        .map_err(|error| TunnelError::Tls(Arc::new(error)))?;
    settings::client()
        .handshake(stream)
        .await
        .map_err(|error| TunnelError::Http2(Arc::new(error)))
}

/// Drives a tunnel until it ends, the peer stops answering, or `released` resolves. `settled` is called once the peer's
/// limits are known.
pub async fn drive(
    mut connection: Connection<impl AsyncRead + AsyncWrite + Unpin, Bytes>,
    settled: impl FnOnce(),
    released: impl Future<Output = ()>,
) {
    let mut ping_pong = connection.ping_pong();
    let dead = async {
        if let Some(ping_pong) = &mut ping_pong
            && !has_answered(ping_pong).await
        {
            return;
        }
        settled();
        until_dead(ping_pong).await;
    };
    tokio::select! {
        // An error has gone to every stream already.
        _ = &mut connection => {}
        () = dead => {}
        () = released => {}
    }
}

/// Asks for a stream; resolves once the peer said 200.
pub async fn open(
    sender: &SendRequest<Bytes>,
    request: Request<()>,
    limit: Duration,
) -> Result<(SendStream<Bytes>, RecvStream), TunnelError> {
    let stream_error = |error| TunnelError::Stream(Arc::new(error));
    let exchange = async {
        let mut sender = sender.clone().ready().await.map_err(stream_error)?;
        let (response, mut send) = sender.send_request(request, false).map_err(stream_error)?;
        let response = response.await.map_err(stream_error)?;
        if response.status() != StatusCode::OK {
            send.send_reset(h2::Reason::CANCEL);
            return Err(TunnelError::Status(response.status()));
        }
        Ok((send, response.into_body()))
    };
    timeout(limit, exchange)
        .await
        .unwrap_or(Err(TunnelError::AnswerTimeout))
}
