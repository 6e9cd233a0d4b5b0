//! A client and a server over real sockets, TLS and HTTP/2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode};
use rustls::ClientConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::hbone::client::{TunnelError, drive as drive_client, handshake, open};
use crate::hbone::headers::{ConnectRequest, TargetError, forwarded_port, target};
use crate::hbone::server::{AcceptError, Incoming, accept, drive};
use crate::hbone::settings;
use crate::relay::{Relay, reset, stream_leg, tcp_leg};
use crate::tls::testing::Authority;
use crate::tls::{Credentials, IdentityStore};

const CLIENT: &str = "spiffe://cluster.local/ns/a/sa/client";
const SERVER: &str = "spiffe://cluster.local/ns/b/sa/server";
const LIMIT: Duration = Duration::from_secs(10);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("runtime");
    runtime.block_on(async { timeout(LIMIT, test).await.expect("in time") })
}

fn store() -> IdentityStore {
    let (store, authority) = (
        IdentityStore::new(&["cluster.local".to_owned()]),
        Authority::new(),
    );
    store.set(&authority.issue(CLIENT)).expect("client");
    store.set(&authority.issue(SERVER)).expect("server");
    store
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connect"), far.expect("accept").0)
}

/// A tunnel whose server gives each stream to `on_stream`; `drain` starts its GOAWAY.
async fn tunnel(
    on_stream: impl FnMut(Incoming) + 'static,
    drain: Arc<Notify>,
) -> SendRequest<Bytes> {
    let store = store();
    let (near, far) = pair().await;
    let server = store.get(SERVER).expect("server").server();
    tokio::task::spawn_local(async move {
        let (connection, identity) = accept(far, server).await.expect("accepted");
        assert_eq!(&*identity.identity, CLIENT);
        let _ = drive(
            connection,
            on_stream,
            drain.notified(),
            std::future::pending(),
        )
        .await;
    });
    let expected: Arc<[Arc<str>]> = Arc::from([Arc::from(SERVER)]);
    let config = store.get(CLIENT).expect("client").client(expected);
    let (sender, connection) = handshake(near, config).await.expect("handshake");
    tokio::task::spawn_local(drive_client(connection, || (), std::future::pending()));
    sender
}

fn connect_request() -> Request<()> {
    let request = ConnectRequest {
        destination: "10.0.0.1:80".parse().expect("address"),
        client: "10.0.0.2:40000".parse().expect("address"),
        service_hostname: Some("web.a.svc.cluster.local"),
        source: None,
    };
    request.build().expect("request")
}

/// An application's socket on each side of one stream: client application, server application.
async fn applications() -> (TcpStream, TcpStream) {
    let (server_application, server_near) = pair().await;
    let mut socket = Some(server_near);
    let on_stream = move |incoming: Incoming| {
        let socket = socket.take().expect("one stream");
        tokio::task::spawn_local(async move {
            let (send, receive) = incoming.accept(HeaderMap::new()).expect("accept");
            let _ = Relay::new(stream_leg(send, receive, ()), tcp_leg(socket))
                .run(|_| {}, |_| {})
                .await;
        });
    };
    let sender = tunnel(on_stream, Arc::default()).await;
    let (send, receive) = open(&sender, connect_request(), LIMIT)
        .await
        .expect("stream");
    let (client_application, client_near) = pair().await;
    tokio::task::spawn_local(async move {
        let _ = Relay::new(tcp_leg(client_near), stream_leg(send, receive, sender))
            .run(|_| {}, |_| {})
            .await;
    });
    (client_application, server_application)
}

#[test]
fn a_stream_carries_bytes_and_ends_each_way() {
    run(async {
        let (mut client, mut server) = applications().await;
        client.write_all(b"question").await.expect("write");
        client.shutdown().await.expect("shutdown");
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.expect("read");
        server.write_all(b"answer").await.expect("write");
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("read");
        assert_eq!((&*question, &*answer), (&b"question"[..], &b"answer"[..]));
    });
}

#[test]
fn a_reset_crosses_the_tunnel_towards_the_server() {
    run(async {
        let (client, mut server) = applications().await;
        reset(&client);
        drop(client);
        assert_eq!(
            server.read_u8().await.expect_err("reset").kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_reset_crosses_the_tunnel_towards_the_client() {
    run(async {
        let (mut client, server) = applications().await;
        reset(&server);
        drop(server);
        assert_eq!(
            client.read_u8().await.expect_err("reset").kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_reset_after_the_servers_end_crosses_the_tunnel() {
    run(async {
        let (mut client, mut server) = applications().await;
        server.shutdown().await.expect("shutdown");
        assert_eq!(client.read(&mut [0]).await.expect("end"), 0);
        reset(&client);
        drop(client);
        assert_eq!(
            server.read_u8().await.expect_err("reset").kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_slow_reader_stops_the_writer_across_the_tunnel() {
    run(async {
        let (client, mut server) = applications().await;
        let chunk = vec![7; 1 << 16];
        let mut written = 0;
        while let Ok(ready) = timeout(Duration::from_millis(300), client.writable()).await {
            ready.expect("writable");
            written += client.try_write(&chunk).unwrap_or(0);
        }
        // The stream's window, and what the sockets at both ends take.
        assert!(written < 64 << 20, "{written} bytes went into nowhere");
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.expect("read");
        assert_eq!(received.len(), written);
    });
}

#[test]
fn a_refusal_reaches_the_client_with_its_status() {
    run(async {
        let sender = tunnel(
            |incoming| incoming.refuse(StatusCode::UNAUTHORIZED),
            Arc::default(),
        )
        .await;
        let error = open(&sender, connect_request(), LIMIT)
            .await
            .expect_err("refused");
        assert!(matches!(
            error,
            TunnelError::Status(StatusCode::UNAUTHORIZED)
        ));
    });
}

#[test]
fn a_peer_that_never_answers_costs_a_bounded_time() {
    run(async {
        let mut kept = Vec::new();
        let sender = tunnel(move |incoming| kept.push(incoming), Arc::default()).await;
        let error = open(&sender, connect_request(), Duration::from_millis(50))
            .await
            .expect_err("no answer");
        assert!(matches!(error, TunnelError::AnswerTimeout));
    });
}

#[test]
fn a_drained_server_refuses_new_streams_so_that_they_may_be_asked_elsewhere() {
    run(async {
        let drain = Arc::new(Notify::new());
        let sender = tunnel(|incoming| incoming.refuse(StatusCode::OK), drain.clone()).await;
        drain.notify_one();
        let refused = loop {
            match open(&sender, connect_request(), LIMIT).await {
                Err(error) => break error,
                Ok(_) => tokio::task::yield_now().await,
            }
        };
        assert!(matches!(refused, TunnelError::Stream(_)), "{refused}");
    });
}

#[test]
fn bytes_that_are_no_tls_are_refused() {
    run(async {
        let (mut near, far) = pair().await;
        near.write_all(b"GET / HTTP/1.1\r\n\r\n")
            .await
            .expect("write");
        let refused = accept(far, store().get(SERVER).expect("server").server()).await;
        assert!(matches!(refused, Err(AcceptError::Tls(_))));
    });
}

/// A TLS connection to an HBONE server, and what became of the server's HTTP/2.
async fn speak(bytes: &[u8]) -> Result<(), String> {
    let store = store();
    let (near, far) = pair().await;
    let server = store.get(SERVER).expect("server").server();
    let served = tokio::task::spawn_local(async move {
        let (connection, _) = accept(far, server)
            .await
            .map_err(|error| error.to_string())?;
        let ended = drive(
            connection,
            drop,
            std::future::pending(),
            std::future::pending(),
        )
        .await;
        ended.map_err(|error| error.to_string())
    });
    let config = store
        .get(CLIENT)
        .expect("client")
        .client(Arc::from([Arc::from(SERVER)]));
    let mut stream = TlsConnector::from(config)
        .connect(Credentials::server_name(), near)
        .await
        .expect("TLS");
    let _: &ClientConnection = stream.get_ref().1;
    stream.write_all(bytes).await.expect("write");
    let _ = stream.read_to_end(&mut Vec::new()).await;
    served.await.expect("joined")
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

fn after_preface(frames: &[u8]) -> Vec<u8> {
    [PREFACE, EMPTY_SETTINGS, frames].concat()
}

#[test]
fn bytes_that_are_no_http2_are_refused() {
    assert!(run(speak(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")).is_err());
}

#[test]
fn a_frame_beyond_the_limit_is_refused() {
    let oversized = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    assert!(run(speak(&after_preface(&oversized))).is_err());
}

#[test]
fn data_on_a_stream_that_was_never_opened_is_refused() {
    let data = [0, 0, 1, 0, 0, 0, 0, 0, 1, 42];
    assert!(run(speak(&after_preface(&data))).is_err());
}

#[test]
fn broken_header_compression_is_refused() {
    let headers = [0, 0, 3, 1, 4, 0, 0, 0, 1, 0xff, 0xff, 0xff];
    assert!(run(speak(&after_preface(&headers))).is_err());
}

#[test]
fn a_flood_of_resets_is_refused() {
    let mut frames = Vec::new();
    // CONNECT with an authority, literal names without indexing, then RST_STREAM on the same stream at once.
    let block = [&[0x02, 7][..], b"CONNECT", &[0x01, 4], b"a:80"].concat();
    for stream in (1..=2 * (settings::SERVER_PENDING_RESETS as u32 + 300)).step_by(2) {
        let id = stream.to_be_bytes();
        frames.extend([0, 0, block.len() as u8, 1, 4, id[0], id[1], id[2], id[3]]);
        frames.extend(&block);
        frames.extend([0, 0, 4, 3, 0, id[0], id[1], id[2], id[3], 0, 0, 0, 8]);
    }
    assert!(run(speak(&after_preface(&frames))).is_err());
}

#[test]
fn a_request_says_who_asks_and_for_what() {
    let request = connect_request();
    assert_eq!(
        target(&request),
        Ok("10.0.0.1:80".parse().expect("address"))
    );
    let forwarded = request.headers()["forwarded"].to_str().expect("text");
    assert_eq!(
        forwarded,
        "for=\"10.0.0.2:40000\";host=web.a.svc.cluster.local"
    );
    assert_eq!(request.headers()["traceparent"].len(), 55);
    assert_eq!(forwarded_port(request.headers()), Some(40000));
}

#[test]
fn only_addresses_are_targets() {
    let of = |authority: &str| {
        target(
            &Request::builder()
                .method("CONNECT")
                .uri(authority)
                .body(())
                .expect("request"),
        )
    };
    assert_eq!(
        of("[2001:db8::1]:443"),
        Ok("[2001:db8::1]:443".parse().expect("address"))
    );
    assert_eq!(of("web.a.svc:80"), Err(TargetError::Hostname));
    assert_eq!(of("10.0.0.1"), Err(TargetError::Malformed));
}
