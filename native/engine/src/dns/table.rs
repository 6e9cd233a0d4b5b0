//! The names of the mesh. Whole in memory, so that an answer waits for nobody and an unknown name is known to be unknown.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use super::reverse::is_chosen;
use crate::api::NameRecord;

/// Read by every engine thread, written by the control thread.
#[derive(Default)]
pub struct NameTable {
    tables: RwLock<Tables>,
}

#[derive(Default)]
struct Tables {
    /// Name by key: a record that comes again may have another one.
    names: HashMap<Arc<str>, Arc<str>>,
    /// Canonical ones first, then by key.
    records: HashMap<Arc<str>, Vec<Arc<NameRecord>>>,
    /// Likewise, of hosts at addresses that the mesh has chosen.
    hosts: HashMap<IpAddr, Vec<Arc<NameRecord>>>,
}

impl NameTable {
    /// Adds records, over those of the same key. Addresses at which a client would reach itself are left out.
    pub fn set(&self, records: Vec<NameRecord>) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for mut record in records {
            record.addresses.retain(|address| !leads_home(*address));
            tables.remove(&record.key);
            tables.insert(record);
        }
    }

    pub fn remove(&self, keys: &[Arc<str>]) {
        let mut tables = self.tables.write().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            tables.remove(key);
        }
    }

    /// What `name` stands for, asked by a pod of `namespace`: its own namespace's record comes first, then the canonical one;
    /// the name itself before a wildcard, and of wildcards the longest.
    #[must_use]
    pub fn find(&self, name: &str, namespace: &str) -> Option<Arc<NameRecord>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = name;
        tables.visible(name, namespace).or_else(|| {
            while let Some((_, parent)) = rest.split_once('.') {
                let found = tables.visible(&format!("*.{parent}"), namespace);
                if found.is_some() {
                    return found;
                }
                rest = parent;
            }
            None
        })
    }

    /// The host that an address has been chosen for, as a pod of `namespace` sees it.
    #[must_use]
    pub fn find_host(&self, address: IpAddr, namespace: &str) -> Option<Arc<NameRecord>> {
        let tables = self.tables.read().unwrap_or_else(PoisonError::into_inner);
        seen_from(namespace, tables.hosts.get(&address)?)
    }
}

impl Tables {
    fn insert(&mut self, record: NameRecord) {
        self.names.insert(record.key.clone(), record.name.clone());
        let record = Arc::new(record);
        for address in chosen(&record) {
            add(self.hosts.entry(address).or_default(), &record);
        }
        add(
            self.records.entry(record.name.clone()).or_default(),
            &record,
        );
    }

    fn remove(&mut self, key: &str) {
        let Some(name) = self.names.remove(key) else {
            return;
        };
        let Some(record) = take(&mut self.records, &name, key) else {
            return;
        };
        for address in chosen(&record) {
            take(&mut self.hosts, &address, key);
        }
    }

    fn visible(&self, name: &str, namespace: &str) -> Option<Arc<NameRecord>> {
        seen_from(namespace, self.records.get(name)?)
    }
}

/// A wildcard is no host's name.
fn chosen(record: &NameRecord) -> impl Iterator<Item = IpAddr> + '_ {
    let addresses = record.addresses.iter().copied();
    addresses.filter(|address| is_chosen(*address) && !record.name.starts_with("*."))
}

fn add(records: &mut Vec<Arc<NameRecord>>, record: &Arc<NameRecord>) {
    records.push(record.clone());
    records.sort_by(|left, right| {
        let order = right.canonical.cmp(&left.canonical);
        order.then_with(|| left.key.cmp(&right.key))
    });
}

/// Takes out the record of `key` from those of one place.
fn take<Place: Hash + Eq>(
    records: &mut HashMap<Place, Vec<Arc<NameRecord>>>,
    place: &Place,
    key: &str,
) -> Option<Arc<NameRecord>> {
    let list = records.get_mut(place)?;
    let at = list.iter().position(|record| *record.key == *key)?;
    let record = list.remove(at);
    if list.is_empty() {
        records.remove(place);
    }
    Some(record)
}

fn seen_from(namespace: &str, records: &[Arc<NameRecord>]) -> Option<Arc<NameRecord>> {
    let own = records
        .iter()
        .find(|record| *record.namespace == *namespace);
    own.or_else(|| records.iter().find(|record| record.public))
        .cloned()
}

/// A name must not lead a client to its own loopback, where only what is the pod's own listens.
fn leads_home(address: IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(namespace: &str, name: &str, address: &str) -> NameRecord {
        NameRecord {
            key: format!("{namespace}/{name}").into(),
            name: name.into(),
            namespace: namespace.into(),
            public: true,
            canonical: false,
            addresses: vec![address.parse().expect("an address")],
            ttl: 30,
        }
    }

    fn first(table: &NameTable, name: &str, namespace: &str) -> Option<String> {
        let found = table.find(name, namespace)?;
        Some(found.addresses.first()?.to_string())
    }

    #[test]
    fn the_own_namespace_comes_before_the_canonical_one_and_that_before_others() {
        let table = NameTable::default();
        let canonical = NameRecord {
            canonical: true,
            ..record("prod", "api.example.com", "240.240.0.1")
        };
        table.set(vec![
            record("a", "api.example.com", "240.240.0.2"),
            record("b", "api.example.com", "240.240.0.3"),
            canonical,
        ]);
        assert_eq!(
            first(&table, "api.example.com", "b").as_deref(),
            Some("240.240.0.3")
        );
        assert_eq!(
            first(&table, "api.example.com", "c").as_deref(),
            Some("240.240.0.1")
        );
    }

    #[test]
    fn what_another_namespace_keeps_to_itself_is_not_seen() {
        let table = NameTable::default();
        table.set(vec![NameRecord {
            public: false,
            ..record("a", "api.example.com", "240.240.0.2")
        }]);
        assert!(table.find("api.example.com", "a").is_some());
        assert!(table.find("api.example.com", "b").is_none());
    }

    #[test]
    fn the_longest_wildcard_counts_and_never_its_own_parent() {
        let table = NameTable::default();
        table.set(vec![
            record("a", "*.example.com", "240.240.0.1"),
            record("a", "*.eu.example.com", "240.240.0.2"),
            record("a", "x.eu.example.com", "240.240.0.3"),
        ]);
        let found = |name| first(&table, name, "a");
        assert_eq!(found("w.example.com").as_deref(), Some("240.240.0.1"));
        assert_eq!(found("v.w.example.com").as_deref(), Some("240.240.0.1"));
        assert_eq!(found("w.eu.example.com").as_deref(), Some("240.240.0.2"));
        assert_eq!(found("x.eu.example.com").as_deref(), Some("240.240.0.3"));
        assert_eq!(found("example.com"), None);
        assert_eq!(found("example.org"), None);
    }

    #[test]
    fn a_record_that_changes_its_name_leaves_the_old_one() {
        let table = NameTable::default();
        table.set(vec![record("a", "old.example.com", "240.240.0.1")]);
        let renamed = NameRecord {
            name: "new.example.com".into(),
            ..record("a", "old.example.com", "240.240.0.1")
        };
        table.set(vec![renamed]);
        assert!(table.find("old.example.com", "a").is_none());
        assert!(table.find("new.example.com", "a").is_some());
        table.remove(&["a/old.example.com".into()]);
        assert!(table.find("new.example.com", "a").is_none());
    }

    #[test]
    fn a_chosen_address_is_known_by_its_host_for_as_long_as_it_has_it() {
        let table = NameTable::default();
        let host = |address: &str, namespace| {
            let address = address.parse().expect("an address");
            let found = table.find_host(address, namespace)?;
            Some(found.name.to_string())
        };
        table.set(vec![
            record("a", "api.example.com", "240.240.0.1"),
            record("a", "*.example.com", "240.240.0.2"),
            record("a", "web.a.svc.cluster.local", "10.96.0.1"),
            NameRecord {
                public: false,
                ..record("b", "own.example.com", "2001:2::1")
            },
        ]);
        assert_eq!(host("240.240.0.1", "x").as_deref(), Some("api.example.com"));
        assert_eq!(host("240.240.0.2", "x"), None);
        assert_eq!(host("10.96.0.1", "x"), None);
        assert_eq!(host("2001:2::1", "x"), None);
        assert_eq!(host("2001:2::1", "b").as_deref(), Some("own.example.com"));
        table.set(vec![record("a", "api.example.com", "240.240.0.3")]);
        assert_eq!(host("240.240.0.1", "x"), None);
        assert_eq!(host("240.240.0.3", "x").as_deref(), Some("api.example.com"));
        table.remove(&["a/api.example.com".into(), "b/own.example.com".into()]);
        let tables = table.tables.read().expect("no writer has panicked");
        assert!(tables.hosts.is_empty());
    }

    #[test]
    fn no_name_leads_a_client_to_itself() {
        let table = NameTable::default();
        for home in [
            "127.0.0.1",
            "0.0.0.0",
            "::1",
            "::",
            "::ffff:127.0.0.1",
            "224.0.0.1",
        ] {
            table.set(vec![record("a", "api.example.com", home)]);
            let found = table.find("api.example.com", "a").expect("known");
            assert!(found.addresses.is_empty(), "{home}");
        }
    }
}
