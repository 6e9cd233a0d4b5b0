//! The accept loops of one pod on one thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_intercept::ThreadListeners;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::capacity::Place;
use super::context::{Pod, ThreadContext};
use super::refusal::Reason;
use super::{inbound_hbone, inbound_plaintext, outbound};
use crate::drain::Phase;
use crate::relay::reset;

/// After an error that stays: accept would fail again at once and keep the thread busy.
const BACK_OFF: Duration = Duration::from_millis(50);

/// One thread's listeners of a pod, registered with that thread's runtime.
pub struct PodListeners {
    outbound: TcpListener,
    plaintext: TcpListener,
    hbone: TcpListener,
}

impl PodListeners {
    /// Must run on the thread that will accept.
    pub fn register(listeners: ThreadListeners) -> io::Result<Self> {
        Ok(PodListeners {
            outbound: TcpListener::from_std(listeners.outbound)?,
            plaintext: TcpListener::from_std(listeners.plaintext)?,
            hbone: TcpListener::from_std(listeners.hbone)?,
        })
    }
}

/// Accepts until the pod is drained; then the listeners are closed, and nothing new comes in.
pub fn serve(context: &Rc<ThreadContext>, pod: &Arc<Pod>, listeners: PodListeners) {
    spawn(
        context,
        pod,
        listeners.outbound,
        |context, pod, socket, peer, place| {
            tokio::task::spawn_local(outbound::serve(context, pod, socket, peer, place));
        },
    );
    spawn(
        context,
        pod,
        listeners.plaintext,
        |context, pod, socket, peer, place| {
            tokio::task::spawn_local(inbound_plaintext::serve(context, pod, socket, peer, place));
        },
    );
    spawn(
        context,
        pod,
        listeners.hbone,
        |context, pod, socket, peer, place| {
            tokio::task::spawn_local(inbound_hbone::serve(context, pod, socket, peer, place));
        },
    );
}

type Start = fn(Rc<ThreadContext>, Arc<Pod>, TcpStream, SocketAddr, Place);

fn spawn(context: &Rc<ThreadContext>, pod: &Arc<Pod>, listener: TcpListener, start: Start) {
    let (context, pod) = (context.clone(), pod.clone());
    tokio::task::spawn_local(async move {
        let drained = pod.drain.clone();
        tokio::select! {
            biased;
            () = drained.reached(Phase::Draining) => {}
            () = accept_all(&context, &pod, &listener, start) => {}
        }
    });
}

async fn accept_all(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    listener: &TcpListener,
    start: Start,
) {
    loop {
        match listener.accept().await {
            Ok((socket, peer)) => admit(context, pod, socket, peer, start),
            Err(error) if is_of_one_connection(&error) => context.count(Reason::Socket),
            Err(_) => {
                context.count(Reason::AcceptFailed);
                sleep(BACK_OFF).await;
            }
        }
    }
}

fn admit(
    context: &Rc<ThreadContext>,
    pod: &Arc<Pod>,
    socket: TcpStream,
    peer: SocketAddr,
    start: Start,
) {
    match pod.admit() {
        Some(place) => start(context.clone(), pod.clone(), socket, peer, place),
        None => {
            reset(&socket);
            context.count(Reason::TooManyFlows);
        }
    }
}

/// The connection was gone before it was taken (accept(2)). Everything else stays: a lack of descriptors, or a listener that
/// a pod with CAP_NET_ADMIN destroyed (SOCK_DESTROY), on which accept says EINVAL for ever.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
        )
    )
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use socket2::SockRef;

    use super::*;

    #[tokio::test]
    async fn a_listener_that_was_destroyed_is_not_asked_again_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
        SockRef::from(&listener)
            .shutdown(Shutdown::Read)
            .expect("as SOCK_DESTROY leaves it");
        let error = listener.accept().await.expect_err("nothing to accept");
        assert!(!is_of_one_connection(&error), "{error}");
    }

    #[test]
    fn a_connection_that_was_gone_does_not_hold_up_the_next() {
        let error = io::Error::from_raw_os_error(libc::ECONNABORTED);
        assert!(is_of_one_connection(&error));
    }
}
