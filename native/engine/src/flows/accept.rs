//! The accept loops of one pod on one thread.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ambit_intercept::ThreadListeners;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::context::{Pod, ThreadContext};
use super::refusal::Reason;
use super::{inbound_hbone, inbound_plaintext, outbound};
use crate::drain::Phase;
use crate::relay::reset;

/// After a lack of descriptors or memory: accept would fail again at once and keep the thread busy.
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
        |context, pod, socket, peer, watcher| {
            tokio::task::spawn_local(outbound::serve(context, pod, socket, peer, watcher));
        },
    );
    spawn(
        context,
        pod,
        listeners.plaintext,
        |context, pod, socket, peer, watcher| {
            tokio::task::spawn_local(inbound_plaintext::serve(
                context, pod, socket, peer, watcher,
            ));
        },
    );
    spawn(
        context,
        pod,
        listeners.hbone,
        |context, pod, socket, peer, watcher| {
            tokio::task::spawn_local(inbound_hbone::serve(context, pod, socket, peer, watcher));
        },
    );
}

type Start = fn(Rc<ThreadContext>, Arc<Pod>, TcpStream, SocketAddr, crate::drain::Watcher);

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
            Err(error) if is_exhausted(&error) => {
                context.count(Reason::AcceptFailed);
                sleep(BACK_OFF).await;
            }
            // The connection was gone before it was taken.
            Err(_) => context.count(Reason::Socket),
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
        Some(watcher) => start(context.clone(), pod.clone(), socket, peer, watcher),
        None => {
            reset(&socket);
            context.count(Reason::TooManyFlows);
        }
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    )
}
