//! Who asked for a flow may be gone before there is an answer: nobody then dials on in its name.

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::refusal::{Reason, Refused};

/// Does `work`, unless the client breaks off meanwhile.
pub async fn while_wanted<T, E: From<Refused>>(
    gone: impl Future<Output = ()>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    tokio::select! {
        done = work => done,
        () = gone => Err(Refused::new(Reason::ClientGone, "the client broke off meanwhile").into()),
    }
}

/// Resolves when the client has reset its connection. The end of its stream says nothing: whoever has no more to send may
/// still wait for what the server says.
pub async fn reset_by_client(socket: &TcpStream) {
    // An error of `ready` itself is that of a runtime which ends, and every task with it.
    let _ = socket.ready(Interest::ERROR).await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::timeout;

    use super::*;
    use crate::relay::reset;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let address = listener.local_addr().expect("address");
        let (near, far) = tokio::join!(TcpStream::connect(address), listener.accept());
        (near.expect("connect"), far.expect("accept").0)
    }

    #[tokio::test]
    async fn a_reset_ends_the_work_for_the_client() {
        let (client, socket) = pair().await;
        reset(&client);
        drop(client);
        let never = std::future::pending::<Result<(), Refused>>();
        let ended = timeout(
            Duration::from_secs(10),
            while_wanted(reset_by_client(&socket), never),
        );
        let refused = ended.await.expect("in time").expect_err("refused");
        assert_eq!(refused.reason, Reason::ClientGone);
    }

    #[tokio::test]
    async fn a_client_that_only_sends_no_more_is_still_served() {
        let (mut client, socket) = pair().await;
        client.shutdown().await.expect("shutdown");
        socket.readable().await.expect("the end has arrived");
        let work = async {
            tokio::task::yield_now().await;
            Ok::<_, Refused>(())
        };
        assert!(while_wanted(reset_by_client(&socket), work).await.is_ok());
    }
}
