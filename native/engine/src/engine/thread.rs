//! One engine thread: a runtime of its own, its listeners in every pod, its own tunnels.

use std::io;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use ambit_intercept::ThreadListeners;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::dns::{self, Captured, Captures};
use crate::flows::{Admissions, Pod, PodListeners, Shared, ThreadContext, Withdrawal, serve};

/// What the control side asks of a thread. Unbounded, since only the control side sends, one at a time.
enum Command {
    Take {
        pod: Arc<Pod>,
        listeners: ThreadListeners,
        taken: mpsc::Sender<io::Result<()>>,
    },
    /// The pod's name queries, until the sender is dropped.
    AnswerDns {
        pod: Arc<Pod>,
        first: Captured,
        captures: Box<dyn Captures>,
        released: oneshot::Receiver<()>,
    },
    /// The pod is no neighbour any more; its flows go on.
    Withdraw(Arc<Pod>),
    /// Leave to enter is taken back from flows of this thread.
    TakeBack(Withdrawal, Arc<str>),
    /// Its tunnels end too.
    Forget(Arc<str>),
    Stop,
}

pub struct EngineThread {
    commands: UnboundedSender<Command>,
    admissions: Arc<Admissions>,
    handle: JoinHandle<()>,
}

impl EngineThread {
    pub fn start(
        index: usize,
        shared: Arc<Shared>,
        admissions: Arc<Admissions>,
    ) -> io::Result<Self> {
        let listing = admissions.clone();
        let (commands, inbox) = unbounded_channel();
        let (started, outcome) = mpsc::channel();
        let handle = std::thread::Builder::new()
            .name(format!("ambit-engine-{index}"))
            .spawn(move || {
                match Builder::new_current_thread()
                    .enable_all()
                    .build_local(LocalOptions::default())
                {
                    Ok(runtime) => {
                        let _ = started.send(Ok(()));
                        runtime.block_on(obey(ThreadContext::new(shared, listing), inbox));
                    }
                    Err(error) => {
                        let _ = started.send(Err(error));
                    }
                }
            })?;
        outcome
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("an engine thread ended as it began")))?;
        Ok(EngineThread {
            commands,
            admissions,
            handle,
        })
    }

    /// Blocks until the thread accepts for the pod.
    pub fn take(&self, pod: Arc<Pod>, listeners: ThreadListeners) -> io::Result<()> {
        let (taken, outcome) = mpsc::channel();
        self.send(Command::Take {
            pod,
            listeners,
            taken,
        });
        outcome
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("an engine thread has ended")))
    }

    /// Answers the pod's name queries until the other end of `released` is dropped.
    pub fn answer_dns(
        &self,
        pod: Arc<Pod>,
        first: Captured,
        captures: Box<dyn Captures>,
        released: oneshot::Receiver<()>,
    ) {
        self.send(Command::AnswerDns {
            pod,
            first,
            captures,
            released,
        });
    }

    /// The flows of this thread that need leave to enter a pod.
    pub fn admissions(&self) -> &Admissions {
        &self.admissions
    }

    /// Ends flows into a pod, by the ids of what they ask. How many were told to end.
    pub fn close_inbound_flows(&self, pod: &str, groups: &[u64], reason: &Arc<str>) -> usize {
        let withdrawal = self.admissions.take_back(pod, groups);
        let count = withdrawal.count();
        if count > 0 {
            self.send(Command::TakeBack(withdrawal, reason.clone()));
        }
        count
    }

    pub fn withdraw(&self, pod: Arc<Pod>) {
        self.send(Command::Withdraw(pod));
    }

    pub fn forget(&self, uid: Arc<str>) {
        self.send(Command::Forget(uid));
    }

    /// Ends the thread with everything on it.
    pub fn stop(self) {
        self.send(Command::Stop);
        // A panic of the thread has been printed; there is nothing left to end.
        let _ = self.handle.join();
    }

    /// A thread that has ended has nothing left to obey with.
    fn send(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

async fn obey(context: Rc<ThreadContext>, mut inbox: UnboundedReceiver<Command>) {
    while let Some(command) = inbox.recv().await {
        match command {
            Command::Take {
                pod,
                listeners,
                taken,
            } => {
                let _ = taken.send(take(&context, pod, listeners));
            }
            Command::AnswerDns {
                pod,
                first,
                captures,
                released,
            } => {
                let serving = dns::serve(context.clone(), pod, first, captures, released);
                tokio::task::spawn_local(serving);
            }
            Command::Withdraw(pod) => withdraw(&context, &pod),
            Command::TakeBack(withdrawal, reason) => {
                // A task of its own: commands must not wait until the last of many has ended.
                tokio::task::spawn_local(withdrawal.enforce(reason));
            }
            Command::Forget(uid) => context.pool.forget(&uid),
            Command::Stop => return,
        }
    }
}

fn take(context: &Rc<ThreadContext>, pod: Arc<Pod>, listeners: ThreadListeners) -> io::Result<()> {
    let listeners = PodListeners::register(listeners)?;
    context
        .pods
        .borrow_mut()
        .insert(pod.spec().uid.clone(), pod.clone());
    serve(context, &pod, listeners);
    Ok(())
}

/// A pod that was enrolled anew under its uid stays.
fn withdraw(context: &ThreadContext, pod: &Arc<Pod>) {
    let mut pods = context.pods.borrow_mut();
    let uid = pod.spec().uid.clone();
    if pods.get(&uid).is_some_and(|held| Arc::ptr_eq(held, pod)) {
        pods.remove(&uid);
    }
}
