//! What answers name by id: endpoint sets, workloads and services. Sent once each, not inside every answer.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::api::{
    Endpoint, EndpointSet, OutboundAction, OutboundVerdict, ServiceDescriptor, Verdict,
    WorkloadDescriptor,
};

/// Versions of one endpoint set that are kept: answers given together may name different ones.
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

    /// Puts the endpoint set that a verdict names into it.
    pub fn complete(&self, verdict: &mut Verdict) {
        if let Verdict::Outbound(OutboundVerdict {
            action: OutboundAction::Connect { endpoint_set, .. },
            ..
        }) = verdict
        {
            endpoint_set.held = self.endpoint_set(&endpoint_set.id, endpoint_set.version);
        }
    }

    /// Exactly the version that an answer named; none means that the flow is to be refused.
    fn endpoint_set(&self, id: &str, version: u64) -> Option<Arc<EndpointSet>> {
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::sync::Arc;

    use super::{Directory, pick, pick_by};
    use crate::api::{
        Endpoint, EndpointSet, EndpointSetReference, OutboundAction, OutboundVerdict, Protocol,
        Verdict, WorkloadDescriptor,
    };

    fn endpoint(workload: &str, weight: u32) -> Endpoint {
        Endpoint {
            workload: workload.into(),
            pod_uid: None,
            address: "10.0.0.1".parse().expect("an address"),
            port: 80,
            protocol: Protocol::Tcp,
            identities: Arc::new([]),
            weight,
            local: false,
            authority: None,
        }
    }

    fn set(version: u64, endpoints: Vec<Endpoint>) -> EndpointSet {
        EndpointSet {
            id: "s".into(),
            version,
            endpoints,
        }
    }

    #[test]
    fn picks_in_proportion_to_the_weights() {
        let set = set(
            1,
            vec![endpoint("a", 1), endpoint("b", 3), endpoint("c", 0)],
        );
        let mut counts: HashMap<&str, u32> = HashMap::new();
        for draw in 0..5 {
            let picked = pick_by(&set, draw).expect("an endpoint");
            *counts.entry(&picked.workload).or_default() += 1;
        }
        assert_eq!(counts, HashMap::from([("a", 1), ("b", 3), ("c", 1)]));
    }

    #[test]
    fn draws_reach_every_endpoint() {
        let set = set(1, vec![endpoint("a", 1), endpoint("b", 1)]);
        let picked = |name| {
            (0..1000)
                .filter(|_| pick(&set).is_some_and(|it| &*it.workload == name))
                .count()
        };
        assert!((350..650).contains(&picked("a")));
    }

    #[test]
    fn an_empty_set_gives_nothing() {
        assert!(pick(&set(1, Vec::new())).is_none());
    }

    #[test]
    fn the_last_versions_of_a_set_are_kept() {
        let directory = Directory::new();
        for version in 1..=6 {
            directory.set_endpoint_set(set(version, Vec::new()));
        }
        let held: Vec<_> = (1..=7)
            .filter(|version| directory.endpoint_set("s", *version).is_some())
            .collect();
        assert_eq!(held, [3, 4, 5, 6]);
        directory.remove_endpoint_set("s");
        assert!(directory.endpoint_set("s", 6).is_none());
    }

    #[test]
    fn a_verdict_keeps_its_endpoints_when_the_set_goes() {
        let directory = Directory::new();
        directory.set_endpoint_set(set(1, vec![endpoint("a", 1)]));
        let mut verdict = connect(1);
        directory.complete(&mut verdict);
        directory.remove_endpoint_set("s");
        assert_eq!(held_by(&verdict), Some(1));
    }

    #[test]
    fn a_verdict_that_names_no_set_holds_none() {
        let mut verdict = connect(2);
        Directory::new().complete(&mut verdict);
        assert_eq!(held_by(&verdict), None);
    }

    fn connect(version: u64) -> Verdict {
        Verdict::Outbound(OutboundVerdict {
            action: OutboundAction::Connect {
                endpoint_set: EndpointSetReference {
                    id: "s".into(),
                    version,
                    held: None,
                },
                allow_local: false,
                authority: None,
            },
            service: None,
        })
    }

    /// How many endpoints the verdict has with it.
    fn held_by(verdict: &Verdict) -> Option<usize> {
        match verdict {
            Verdict::Outbound(OutboundVerdict {
                action: OutboundAction::Connect { endpoint_set, .. },
                ..
            }) => endpoint_set.held.as_ref().map(|set| set.endpoints.len()),
            _ => None,
        }
    }

    #[test]
    fn a_workload_is_replaced_and_removed() {
        let directory = Directory::new();
        let named = |name: &str| WorkloadDescriptor {
            uid: "u".into(),
            name: name.into(),
            ..WorkloadDescriptor::default()
        };
        directory.set_workloads(vec![named("old")]);
        directory.set_workloads(vec![named("new")]);
        assert_eq!(
            directory.workload("u").map(|it| it.name.clone()).as_deref(),
            Some("new")
        );
        directory.remove_workloads(&["u".into()]);
        assert!(directory.workload("u").is_none());
    }
}
