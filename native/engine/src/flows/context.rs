//! What flows are given: the engine's shared parts, the pod that they belong to, their thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ambit_intercept::sockets::PortRing;
use ambit_intercept::{GUARDED_PORTS, Netns};

use super::admissions::Admissions;
use super::capacity::{Capacity, Place};
use super::gate::{Gate, Pass};
use super::handshakes::{Handshake, Handshakes};
use super::refusal::{Reason, RefusalCounters, Refused};
use crate::api::{PodSpec, WorkloadDescriptor};
use crate::decisions::Decisions;
use crate::directory::Directory;
use crate::dns::{DnsMetrics, NameTable};
use crate::drain::{Drain, Phase};
use crate::hbone::PORT;
use crate::hbone::pool::Pool;
use crate::telemetry::{FlowDescription, Telemetry};
use crate::tls::IdentityStore;

/// Handshakes under way at one pod's HBONE listeners.
const MAX_HANDSHAKES: usize = 512;

/// Parts of the engine that every thread uses.
pub struct Shared {
    pub identities: IdentityStore,
    pub decisions: Arc<Decisions>,
    pub directory: Arc<Directory>,
    pub names: NameTable,
    pub dns: DnsMetrics,
    pub telemetry: Arc<Telemetry>,
    pub refusals: RefusalCounters,
    pub connect_timeout: Duration,
    pub capacity: Arc<Capacity>,
}

impl Shared {
    /// Counts and logs a flow that was not let through.
    pub fn refuse(&self, description: &FlowDescription, refused: &Refused) {
        self.refusals.count(refused.reason);
        self.telemetry.reject(description, &refused.end());
    }

    pub fn workload(&self, uid: Option<&Arc<str>>) -> Option<Arc<WorkloadDescriptor>> {
        uid.and_then(|uid| self.directory.workload(uid))
    }
}

/// An enrolled pod, the same for all threads.
pub struct Pod {
    spec: RwLock<Arc<PodSpec>>,
    pub netns: Arc<Netns>,
    pub mark: u32,
    pub listener_ports: Vec<u16>,
    pub ports: PortRing,
    pub drain: Arc<Drain>,
    capacity: Arc<Capacity>,
    handshakes: Arc<Handshakes>,
    unsettled: Arc<Gate>,
}

impl Pod {
    pub fn new(
        spec: PodSpec,
        netns: Arc<Netns>,
        mark: u32,
        listener_ports: Vec<u16>,
        drain: Arc<Drain>,
        capacity: Arc<Capacity>,
    ) -> Arc<Self> {
        Arc::new(Pod {
            spec: RwLock::new(Arc::new(spec)),
            netns,
            mark,
            listener_ports,
            ports: PortRing::default(),
            drain,
            capacity,
            handshakes: Handshakes::new(MAX_HANDSHAKES),
            unsettled: Gate::for_unsettled(),
        })
    }

    pub fn spec(&self) -> Arc<PodSpec> {
        self.spec
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub fn update(&self, spec: PodSpec) {
        *self.spec.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(spec);
    }

    /// Ports that nobody may have us dial: our own listeners, and what only the engine may speak to.
    pub fn is_own_port(&self, port: u16) -> bool {
        let guarded = GUARDED_PORTS.contains(&port) && self.spec().handover;
        guarded || port == PORT || self.listener_ports.contains(&port)
    }

    /// Whether a peer with an identity may ask this pod for `target`; who may enter is for policy to say.
    pub fn may_be_asked_for(&self, target: SocketAddr) -> Result<(), Refused> {
        if self.has_address(target.ip()) {
            return self.refuse_own_port(target);
        }
        // What a proxy is asked for is never dialled from here; but no proxy stands before these.
        let nobody =
            target.ip().is_loopback() || target.ip().is_unspecified() || target.ip().is_multicast();
        if self.spec().handover && !nobody {
            return Ok(());
        }
        Err(Refused::foreign_address(target))
    }

    pub fn refuse_own_port(&self, target: SocketAddr) -> Result<(), Refused> {
        if !self.is_own_port(target.port()) {
            return Ok(());
        }
        let message = format!("{target} is a port of the mesh itself");
        Err(Refused::new(Reason::SelfCall, message))
    }

    /// The pod's address of the family of `like`.
    pub fn address_like(&self, like: IpAddr) -> Option<IpAddr> {
        self.spec()
            .addresses
            .iter()
            .copied()
            .find(|address| address.is_ipv4() == like.is_ipv4())
    }

    pub fn has_address(&self, address: IpAddr) -> bool {
        self.spec().addresses.contains(&address)
    }

    /// A place for one more flow or tunnel, where there is one.
    pub fn admit(&self) -> Option<Place> {
        self.capacity.admit(&self.drain)
    }

    /// Does `work`, unless the pod's flows are cut meanwhile: one that is still finding its way must not outlive them.
    pub async fn while_here<T, E: From<Refused>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        tokio::select! {
            biased;
            () = self.drain.reached(Phase::Closed) => {
                Err(Refused::new(Reason::PodGone, "the pod was removed meanwhile").into())
            }
            done = work => done,
        }
    }

    pub fn begin_handshake(&self, source: IpAddr) -> Handshake {
        self.handshakes.enter(source)
    }

    /// A place for a flow that looks for its way.
    pub fn begin_flow(&self) -> Result<Pass, Refused> {
        self.unsettled.enter().ok_or_else(|| {
            let message = "too many connections of this pod are not established yet";
            Refused::new(Reason::TooManyUnsettled, message)
        })
    }
}

/// What belongs to one engine thread.
pub struct ThreadContext {
    pub shared: Arc<Shared>,
    pub admissions: Arc<Admissions>,
    pub pool: Rc<Pool>,
    pub pods: RefCell<HashMap<Arc<str>, Arc<Pod>>>,
}

impl ThreadContext {
    pub fn new(shared: Arc<Shared>, admissions: Arc<Admissions>) -> Rc<Self> {
        Rc::new(ThreadContext {
            shared,
            admissions,
            pool: Pool::new(),
            pods: RefCell::default(),
        })
    }

    pub fn pod(&self, uid: &str) -> Option<Arc<Pod>> {
        self.pods.borrow().get(uid).cloned()
    }

    pub fn count(&self, reason: Reason) {
        self.shared.refusals.count(reason);
    }
}

/// The socket's idea of an address, with IPv4 written as such: a dual-stack listener hands out v4-mapped ones.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
