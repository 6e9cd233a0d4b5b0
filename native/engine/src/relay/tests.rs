use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::time::timeout;

use super::*;
use crate::tls::testing::Authority;
use crate::tls::{Credentials, IdentityStore};

const LIMIT: Duration = Duration::from_secs(10);

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .expect("runtime");
    runtime.block_on(async { timeout(LIMIT, test).await.expect("in time") })
}

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address");
    let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
    (near.expect("connect"), far.expect("accept").0)
}

/// A client and a server with a relay between them, which runs until the flow ends.
async fn relayed() -> (
    TcpStream,
    TcpStream,
    tokio::task::JoinHandle<Result<(), RelayError>>,
) {
    let (client, relay_client) = pair().await;
    let (server, relay_server) = pair().await;
    let relay = tokio::task::spawn_local(async move {
        Relay::new(tcp_leg(relay_client), tcp_leg(relay_server))
            .run(|_| {}, |_| {})
            .await
    });
    (client, server, relay)
}

#[test]
fn bytes_go_both_ways_and_an_end_leaves_the_other_direction_open() {
    run(async {
        let (mut client, mut server, relay) = relayed().await;
        client.write_all(b"question").await.expect("write");
        client.shutdown().await.expect("shutdown");
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.expect("read");
        server.write_all(b"answer").await.expect("write");
        drop(server);
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("read");
        assert_eq!((&*question, &*answer), (&b"question"[..], &b"answer"[..]));
        assert!(relay.await.expect("joined").is_ok());
    });
}

#[test]
fn a_reset_of_the_client_reaches_the_server_as_reset() {
    run(async {
        let (client, mut server, relay) = relayed().await;
        reset(&client);
        drop(client);
        let error = server.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(
            relay.await.expect("joined"),
            Err(RelayError::Client(LegError::Reset))
        ));
    });
}

#[test]
fn a_reset_of_the_server_reaches_the_client_as_reset() {
    run(async {
        let (mut client, server, _relay) = relayed().await;
        reset(&server);
        drop(server);
        assert_eq!(
            client.read_u8().await.expect_err("reset").kind(),
            io::ErrorKind::ConnectionReset
        );
    });
}

#[test]
fn a_reset_after_a_half_close_is_noticed_while_nothing_flows() {
    run(async {
        let (mut client, mut server, _relay) = relayed().await;
        client.shutdown().await.expect("shutdown");
        assert_eq!(server.read(&mut [0]).await.expect("end"), 0);
        reset(&client);
        drop(client);
        assert!(
            server
                .ready(Interest::ERROR)
                .await
                .expect("ready")
                .is_error()
        );
    });
}

#[test]
fn a_slow_reader_stops_the_writer_and_loses_nothing() {
    run(async {
        let (client, mut server, _relay) = relayed().await;
        let written = write_until_stuck(&client).await;
        assert!(written < 64 << 20, "{written} bytes went into nowhere");
        drop(client);
        let mut received = 0;
        let mut buffer = vec![0; 1 << 20];
        loop {
            let read = server.read(&mut buffer).await.expect("read");
            if read == 0 {
                break;
            }
            received += read;
        }
        assert_eq!(received, written);
    });
}

/// Writes until the socket has taken nothing for a while.
async fn write_until_stuck(stream: &TcpStream) -> usize {
    let chunk = vec![7; 1 << 16];
    let mut written = 0;
    while let Ok(ready) = timeout(Duration::from_millis(200), stream.writable()).await {
        ready.expect("writable");
        match stream.try_write(&chunk) {
            Ok(count) => written += count,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    written
}

#[test]
fn every_byte_is_counted_in_its_direction() {
    run(async {
        let (mut client, near) = pair().await;
        let (mut server, far) = pair().await;
        let counts = Rc::new((std::cell::Cell::new(0), std::cell::Cell::new(0)));
        let counted = counts.clone();
        let relay = tokio::task::spawn_local(async move {
            let add = |cell: &std::cell::Cell<u64>, bytes| cell.set(cell.get() + bytes);
            let mut relay = Relay::new(tcp_leg(near), tcp_leg(far));
            relay
                .run(
                    |bytes| add(&counted.0, bytes),
                    |bytes| add(&counted.1, bytes),
                )
                .await
        });
        client.write_all(&[1; 300]).await.expect("write");
        server.write_all(&[2; 70]).await.expect("write");
        server.read_exact(&mut [0; 300]).await.expect("read");
        client.read_exact(&mut [0; 70]).await.expect("read");
        drop((client, server));
        relay.await.expect("joined").expect("clean");
        assert_eq!((counts.0.get(), counts.1.get()), (300, 70));
    });
}

#[test]
fn a_relay_that_waits_is_small() {
    run(async {
        let (_client, near) = pair().await;
        let (_server, far) = pair().await;
        let mut relay = Relay::new(tcp_leg(near), tcp_leg(far));
        let size = size_of_val(&relay) + size_of_val(&relay.run(|_| {}, |_| {}));
        assert!(size <= 512, "{size} bytes");
    });
}

/// As `relayed`, with TLS between the relay and the server.
async fn relayed_over_tls() -> (
    TcpStream,
    tokio_rustls::server::TlsStream<TcpStream>,
    tokio::task::JoinHandle<Result<(), RelayError>>,
) {
    const IDENTITY: &str = "spiffe://cluster.local/ns/a/sa/a";
    let store = IdentityStore::new(&["cluster.local".to_owned()]);
    let certificate = Authority::new().issue(IDENTITY);
    store.set(&certificate).expect("usable");
    let credentials = store.get(IDENTITY).expect("stored");
    let (client, relay_client) = pair().await;
    let (server, relay_server) = pair().await;
    let connector = tokio_rustls::TlsConnector::from(credentials.client([IDENTITY.into()].into()));
    let acceptor = tokio_rustls::TlsAcceptor::from(credentials.server());
    let (near, far) = tokio::join!(
        connector.connect(Credentials::server_name(), relay_server),
        acceptor.accept(server)
    );
    let (near, far) = (near.expect("client"), far.expect("server"));
    let relay = tokio::task::spawn_local(async move {
        Relay::new(tcp_leg(relay_client), tls_leg(near))
            .run(|_| {}, |_| {})
            .await
    });
    (client, far, relay)
}

#[test]
fn over_tls_bytes_go_both_ways_and_an_end_leaves_the_other_direction_open() {
    run(async {
        let (mut client, mut server, relay) = relayed_over_tls().await;
        client.write_all(b"question").await.expect("write");
        client.shutdown().await.expect("shutdown");
        let mut question = Vec::new();
        server.read_to_end(&mut question).await.expect("read");
        let answer = vec![3; 3 << 20];
        let writing = async {
            server.write_all(&answer).await.expect("write");
            server.shutdown().await.expect("shutdown");
        };
        let mut read = Vec::new();
        let (_, length) = tokio::join!(writing, client.read_to_end(&mut read));
        assert_eq!(
            (&*question, length.expect("read")),
            (&b"question"[..], answer.len())
        );
        assert!(read == answer);
        assert!(relay.await.expect("joined").is_ok());
    });
}

#[test]
fn over_tls_a_slow_reader_stops_the_writer_and_loses_nothing() {
    run(async {
        let (client, mut server, _relay) = relayed_over_tls().await;
        let written = write_until_stuck(&client).await;
        assert!(written < 64 << 20, "{written} bytes went into nowhere");
        drop(client);
        let mut received = Vec::new();
        server.read_to_end(&mut received).await.expect("read");
        assert!(received.len() == written && received.iter().all(|byte| *byte == 7));
    });
}

#[test]
fn over_tls_a_server_that_closes_without_a_word_is_a_reset() {
    run(async {
        let (mut client, server, relay) = relayed_over_tls().await;
        drop(server);
        let error = client.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
        assert!(matches!(
            relay.await.expect("joined"),
            Err(RelayError::Server(LegError::Reset))
        ));
    });
}

#[test]
fn over_tls_a_reset_of_the_client_reaches_the_server_as_reset() {
    run(async {
        let (client, mut server, _relay) = relayed_over_tls().await;
        reset(&client);
        drop(client);
        let error = server.read_u8().await.expect_err("reset");
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    });
}
