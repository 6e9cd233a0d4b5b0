//! The names of the mesh. Whole in memory, so that an answer waits for nobody and an unknown name is known to be unknown.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

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
}

impl Tables {
    fn insert(&mut self, record: NameRecord) {
        self.names.insert(record.key.clone(), record.name.clone());
        let records = self.records.entry(record.name.clone()).or_default();
        records.push(Arc::new(record));
        records.sort_by(|left, right| {
            let order = right.canonical.cmp(&left.canonical);
            order.then_with(|| left.key.cmp(&right.key))
        });
    }

    fn remove(&mut self, key: &str) {
        let Some(name) = self.names.remove(key) else {
            return;
        };
        if let Some(records) = self.records.get_mut(&name) {
            records.retain(|record| *record.key != *key);
            if records.is_empty() {
                self.records.remove(&name);
            }
        }
    }

    fn visible(&self, name: &str, namespace: &str) -> Option<Arc<NameRecord>> {
        let records = self.records.get(name)?;
        let own = records
            .iter()
            .find(|record| *record.namespace == *namespace);
        own.or_else(|| records.iter().find(|record| record.public))
            .cloned()
    }
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
