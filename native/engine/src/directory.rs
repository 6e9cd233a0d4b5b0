//! What answers name by id: endpoint sets, workloads and services. Sent once each, not inside every answer.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::api::{Endpoint, EndpointSet, ServiceDescriptor, WorkloadDescriptor};

/// Versions of one endpoint set that are kept: flows decided a moment ago still name the one before.
const KEPT_VERSIONS: usize = 4;

#[derive(Default)]
struct Tables {
    workloads: HashMap<Arc<str>, Arc<WorkloadDescriptor>>,
    services: HashMap<Arc<str>, Arc<ServiceDescriptor>>,
    endpoint_sets: HashMap<Arc<str>, VecDeque<Arc<EndpointSet>>>,
}

/// Read by every engine thread, written by the control thread.
#[derive(Default)]
pub struct Directory {
    tables: RwLock<Tables>,
}

impl Directory {
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    pub fn set_workloads(&self, descriptors: Vec<WorkloadDescriptor>) {
        let mut tables = self.write();
        for descriptor in descriptors {
            tables
                .workloads
                .insert(descriptor.uid.clone(), Arc::new(descriptor));
        }
    }

    pub fn remove_workloads(&self, uids: &[Arc<str>]) {
        let mut tables = self.write();
        for uid in uids {
            tables.workloads.remove(uid);
        }
    }

    #[must_use]
    pub fn workload(&self, uid: &str) -> Option<Arc<WorkloadDescriptor>> {
        self.read().workloads.get(uid).cloned()
    }

    pub fn set_services(&self, descriptors: Vec<ServiceDescriptor>) {
        let mut tables = self.write();
        for descriptor in descriptors {
            tables
                .services
                .insert(descriptor.key.clone(), Arc::new(descriptor));
        }
    }

    pub fn remove_services(&self, keys: &[Arc<str>]) {
        let mut tables = self.write();
        for key in keys {
            tables.services.remove(key);
        }
    }

    #[must_use]
    pub fn service(&self, key: &str) -> Option<Arc<ServiceDescriptor>> {
        self.read().services.get(key).cloned()
    }

    /// Adds a version of a set; a repeated version replaces the one held.
    pub fn set_endpoint_set(&self, set: EndpointSet) {
        let mut tables = self.write();
        let versions = tables.endpoint_sets.entry(set.id.clone()).or_default();
        versions.retain(|held| held.version != set.version);
        versions.push_back(Arc::new(set));
        if versions.len() > KEPT_VERSIONS {
            versions.pop_front();
        }
    }

    pub fn remove_endpoint_set(&self, id: &str) {
        self.write().endpoint_sets.remove(id);
    }

    /// Exactly the version that an answer named; none means that the flow is to be refused.
    #[must_use]
    pub fn endpoint_set(&self, id: &str, version: u64) -> Option<Arc<EndpointSet>> {
        let tables = self.read();
        let versions = tables.endpoint_sets.get(id)?;
        versions
            .iter()
            .rev()
            .find(|held| held.version == version)
            .cloned()
    }

    fn read(&self) -> RwLockReadGuard<'_, Tables> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Tables> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One endpoint at random, in proportion to the weights; none where the set is empty.
#[must_use]
pub fn pick(set: &EndpointSet) -> Option<&Endpoint> {
    pick_by(set, next_random())
}

/// As [`pick`], with the draw given: equal draws pick equal endpoints.
#[must_use]
pub fn pick_by(set: &EndpointSet, draw: u64) -> Option<&Endpoint> {
    let total: u64 = set.endpoints.iter().map(weight).sum();
    let mut rest = draw.checked_rem(total)?;
    set.endpoints
        .iter()
        .find(|endpoint| match rest.checked_sub(weight(endpoint)) {
            Some(left) => {
                rest = left;
                false
            }
            None => true,
        })
}

fn weight(endpoint: &Endpoint) -> u64 {
    u64::from(endpoint.weight.max(1))
}

/// SplitMix64 per thread: spreading load needs no secrecy, and a system call for each connection would cost more than the pick.
fn next_random() -> u64 {
    thread_local! {
        static STATE: Cell<u64> = Cell::new(RandomState::new().hash_one(std::thread::current().id()));
    }
    STATE.with(|state| {
        let next = state.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        state.set(next);
        let mixed = (next ^ (next >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    })
}
