//! One pod: what is set up for it in the kernel, and how it is checked, repaired and taken down.

use std::io;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use crate::abi;
use crate::error::{InterceptError, system};
use crate::lookup::Attachment;
use crate::netlink::{Changes, Conversation};
use crate::netns::Netns;
use crate::options::{GUARDED_PORTS, MAX_ADDRESSES, PodNetwork, ThreadListeners};
use crate::routing::{MARK, Routing};
use crate::settings::{self, Previous};
use crate::{dns_rules, listeners, sys};

/// A pod of this process.
pub(crate) struct PodState {
    pub network: PodNetwork,
    pub netns: Arc<Netns>,
    pub previous: Previous,
    pub routing: Routing,
    /// Its name queries are captured, too.
    pub dns: bool,
    pub changes: Changes,
    /// `None`: withdrawn.
    pub attachment: Option<Attachment>,
    pub checked: Instant,
}

impl PodState {
    /// Its path leads to another namespace than the one that is captured. A path that leads nowhere is a pod that ends.
    pub fn is_replaced(&self) -> bool {
        let metadata = std::fs::metadata(&self.network.netns);
        self.attachment.is_some()
            && metadata.is_ok_and(|metadata| metadata.ino() != self.netns.inode())
    }
}

/// What is made inside the namespace in one visit.
pub(crate) struct Prepared {
    pub listeners: Vec<ThreadListeners>,
    pub previous: Previous,
    pub changes: Changes,
}

/// Refuses what would mix up pods or not fit the maps.
pub(crate) fn validate(pod: &PodNetwork) -> Result<(), InterceptError> {
    let invalid = |reason: String| {
        Err(InterceptError::InvalidPod {
            uid: pod.uid.to_string(),
            reason,
        })
    };
    if pod.uid.is_empty() || pod.uid.len() > 80 {
        return invalid("its uid must have 1 to 80 bytes".to_owned());
    }
    if pod.addresses.is_empty() {
        return invalid("it has no address".to_owned());
    }
    let fours = pod
        .addresses
        .iter()
        .filter(|address| address.is_ipv4())
        .count();
    if fours > MAX_ADDRESSES || pod.addresses.len() - fours > MAX_ADDRESSES {
        return invalid(format!(
            "it has more than {MAX_ADDRESSES} addresses of one family"
        ));
    }
    if let Some(address) = pod
        .addresses
        .iter()
        .find(|address| address.is_loopback() || address.is_unspecified())
    {
        return invalid(format!("{address} cannot be a pod's address"));
    }
    Ok(())
}

/// Inside the namespace: it must own the pod's addresses, else this is another pod's namespace.
pub(crate) fn prepare(
    pod: &PodNetwork,
    routing: Routing,
    threads: usize,
) -> Result<Prepared, InterceptError> {
    let own = Conversation::open()
        .and_then(|mut netlink| netlink.addresses())
        .map_err(system("reading the pod's addresses"))?;
    owns_addresses(pod, &own)?;
    let listeners = listeners::make(threads).map_err(system("listening in the pod's namespace"))?;
    let changes =
        Changes::subscribe().map_err(system("subscribing to changes of the pod's namespace"))?;
    let previous = settings::apply().map_err(system("changing settings of the pod's namespace"))?;
    routing
        .apply()
        .map_err(system("adding rule and route in the pod's namespace"))?;
    changes.drain();
    Ok(Prepared {
        listeners,
        previous,
        changes,
    })
}

/// Refuses a namespace that does not own the pod's addresses.
pub(crate) fn owns_addresses(pod: &PodNetwork, own: &[IpAddr]) -> Result<(), InterceptError> {
    let Some(address) = pod.addresses.iter().find(|address| !own.contains(address)) else {
        return Ok(());
    };
    let reason = format!(
        "{address} is not an address of {}: is it another pod's namespace?",
        pod.netns.display()
    );
    Err(InterceptError::InvalidPod {
        uid: pod.uid.to_string(),
        reason,
    })
}

/// Inside the namespace: takes out all that `prepare` put in besides the listeners; in words what that was.
pub(crate) fn take_down(previous: Previous) -> io::Result<Vec<String>> {
    let mut removed = Vec::new();
    let count = Routing::remove()? + dns_rules::remove()?;
    if count > 0 {
        removed.push(format!("{count} rules and routes"));
    }
    let restored = settings::restore(previous)?;
    if restored > 0 {
        removed.push(format!("{restored} settings"));
    }
    Ok(removed)
}

/// The one change that a container runtime makes, too, when it begins to take a sandbox down.
pub(crate) const LOOPBACK_DOWN: &str = "the loopback interface is down";

/// Inside the namespace: rule, route and settings; in words what was not in place, and whether it is now.
pub(crate) fn repair(routing: Routing, dns: bool) -> io::Result<Vec<(String, bool)>> {
    let mut found = Vec::new();
    if !routing.intact()? {
        let missing = routing.repair();
        let restored = missing.is_ok() && routing.intact()?;
        let missing = missing.unwrap_or_default();
        let what = match (missing.loopback, missing.rule, missing.route) {
            (true, ..) => LOOPBACK_DOWN,
            (_, true, true) => "rule and route",
            (_, true, false) => "rule",
            (_, false, true) => "route",
            (_, false, false) => "another rule comes before ours",
        };
        found.push((what.to_owned(), restored));
    }
    if dns && !dns_rules::intact()? {
        let restored = dns_rules::apply().is_ok() && dns_rules::intact()?;
        found.push(("rules for name queries".to_owned(), restored));
    }
    if !settings::intact()? {
        let restored = settings::apply().is_ok();
        found.push((
            "settings fwmark_reflect or tcp_fwmark_accept".to_owned(),
            restored,
        ));
    }
    Ok(found)
}

/// The entry of `amb_pods`; `captured` false leaves the pod alone.
pub(crate) fn entry(
    pod: &PodNetwork,
    netns: &Netns,
    previous: Previous,
    captured: bool,
    dns: bool,
) -> abi::Pod {
    let (address_count, addresses) = addresses(&pod.addresses);
    let flags = flag(pod.guarded, abi::POD_GUARDED) | flag(dns, abi::POD_DNS);
    abi::Pod {
        netns_inode: netns.inode(),
        uid_hash: abi::uid_hash(&pod.uid),
        mark: if captured { MARK } else { 0 },
        address_count,
        addresses,
        previous,
        flags,
    }
}

fn flag(is_set: bool, bit: u32) -> u32 {
    if is_set { bit } else { 0 }
}

/// Rodata of the pod's look-up program.
pub(crate) fn lookup_config(pod: &PodNetwork, netns: &Netns, threads: usize) -> abi::LookupConfig {
    let (address_count, addresses) = addresses(&pod.addresses);
    let bypass = flag(pod.bypass_inbound, abi::LOOKUP_BYPASS);
    abi::LookupConfig {
        pod_cookie: netns.cookie(),
        threads: threads as u32,
        address_count,
        addresses,
        flags: bypass | flag(pod.guarded, abi::LOOKUP_GUARDED),
        padding: 0,
    }
}

fn addresses(addresses: &[IpAddr]) -> (u32, [abi::Address; abi::MAX_ADDRESSES]) {
    let mut array = [abi::Address::default(); abi::MAX_ADDRESSES];
    for (slot, address) in array.iter_mut().zip(addresses) {
        *slot = (*address).into();
    }
    (addresses.len() as u32, array)
}

/// The keys of `amb_probe_ports`.
pub(crate) fn probe_keys(pod: &PodNetwork) -> impl Iterator<Item = abi::ProbePort> + '_ {
    let ports = pod
        .probe_ports
        .iter()
        .filter(|port| !(pod.guarded && GUARDED_PORTS.contains(port)));
    pod.addresses.iter().flat_map(move |address| {
        ports.clone().map(|port| abi::ProbePort {
            address: (*address).into(),
            port: u32::from(*port),
            padding: 0,
        })
    })
}

/// Opens namespaces by inode, for pods whose path is not known any more.
pub(crate) fn find_netns(inode: u64, host_proc: &Path) -> Option<Netns> {
    let has_inode =
        |path: &PathBuf| std::fs::metadata(path).is_ok_and(|metadata| metadata.ino() == inode);
    sys::netns_paths(host_proc)
        .find(has_inode)
        .and_then(|path| Netns::open(&path).ok())
}
