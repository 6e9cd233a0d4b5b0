//! Capturing a pod, following its changes, and letting it go. Steps are ordered so that stopping anywhere leaves the pod
//! either untouched or refused, never open.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Instant;

use crate::abi;
use crate::error::{InterceptError, system};
use crate::hooks::map_error;
use crate::interception::{Node, State};
use crate::listeners;
use crate::lookup::{self, Attachment};
use crate::netlink::Conversation;
use crate::netns::Netns;
use crate::options::{CapturedPod, PodNetwork, ThreadListeners};
use crate::pins::remove_pin;
use crate::pod::{self, PodState, Prepared};
use crate::routing::{MARK, Routing};
use crate::settings::Previous;

impl Node {
    pub fn enrol(&self, pod: &PodNetwork) -> Result<CapturedPod, InterceptError> {
        pod::validate(pod)?;
        let netns = open_netns(pod)?;
        let mut state = self.state();
        let before = self.earlier(&mut state, pod, &netns)?;
        let adopted = before.is_some();
        self.capture(&mut state, pod, &netns, before)
            .inspect_err(|_| {
                // What an earlier process captured stays captured, and so closed.
                if !adopted {
                    let _ = self.detach_pod(&mut state, &pod.uid, &netns);
                    let _ = netns.enter(|| pod::take_down([abi::SETTING_ABSENT; 4]));
                    let _ = self.forget(&mut state, &pod.uid, netns.cookie());
                }
            })
    }

    /// The settings from before the first enrolment if this namespace is captured already. Whatever else bears the pod's uid,
    /// or another pod's hold of the namespace, is let go.
    fn earlier(
        &self,
        state: &mut State,
        pod: &PodNetwork,
        netns: &Netns,
    ) -> Result<Option<Previous>, InterceptError> {
        if state
            .pods
            .get(&pod.uid)
            .is_some_and(|known| known.netns.cookie() != netns.cookie())
        {
            self.withdraw_locked(state, &pod.uid)?;
            self.release_locked(state, &pod.uid)?;
        }
        if let Some((cookie, entry)) =
            find_entry(state, &pod.uid).filter(|(cookie, _)| *cookie != netns.cookie())
        {
            self.detach_unclaimed(state, &pod.uid, cookie)?;
            self.take_down_unclaimed(state, &pod.uid, cookie, &entry)?;
        }
        let Ok(entry) = state.maps.pods.get(&netns.cookie(), 0) else {
            return Ok(None);
        };
        if entry.uid_hash == abi::uid_hash(&pod.uid) {
            return Ok(Some(entry.previous));
        }
        let other = self.uid_of(entry.uid_hash).unwrap_or_default();
        if state.pods.contains_key(other.as_str()) {
            let reason = format!("its network namespace is that of pod {other}");
            return Err(InterceptError::InvalidPod {
                uid: pod.uid.to_string(),
                reason,
            });
        }
        self.detach_unclaimed(state, &other, netns.cookie())?;
        let _ = remove_folder(&self.pins.pod(&other));
        Ok(Some(entry.previous))
    }

    fn capture(
        &self,
        state: &mut State,
        pod: &PodNetwork,
        netns: &Arc<Netns>,
        before: Option<Previous>,
    ) -> Result<CapturedPod, InterceptError> {
        let routing = Routing::new(&pod.addresses);
        let prepare = || pod::prepare(pod, routing, self.options.threads);
        let Prepared {
            listeners,
            previous,
            changes,
        } = netns
            .enter(prepare)
            .map_err(system("entering the pod's namespace"))??;
        let previous = before.unwrap_or(previous);
        let folder = self.pins.pod(&pod.uid);
        create_folder(&folder).map_err(system(format!("creating {}", folder.display())))?;
        let (attachment, adopted) = self.attach(pod, netns, &listeners)?;
        self.tell_kernel(state, pod, netns, previous, false)?;
        let token = state.next_token;
        self.poller
            .add(changes.as_fd(), token)
            .map_err(system("watching the pod's namespace"))?;
        state.next_token += 1;
        state.tokens.retain(|_, uid| *uid != pod.uid);
        state.tokens.insert(token, Arc::clone(&pod.uid));
        let captured = CapturedPod {
            uid: Arc::clone(&pod.uid),
            netns: Arc::clone(netns),
            listener_ports: listeners::ports(&listeners)
                .map_err(system("reading the listeners' ports"))?,
            listeners,
            mark: MARK,
            addresses: pod.addresses.clone(),
            adopted,
        };
        let (network, netns, attachment) = (pod.clone(), Arc::clone(netns), Some(attachment));
        let known = PodState {
            network,
            netns,
            previous,
            routing,
            dns: false,
            changes,
            attachment,
            checked: Instant::now(),
        };
        state.pods.insert(Arc::clone(&pod.uid), known);
        Ok(captured)
    }

    /// Takes over the pinned attachment or makes one. Listeners come before the program that counts on them.
    fn attach(
        &self,
        pod: &PodNetwork,
        netns: &Netns,
        listeners: &[ThreadListeners],
    ) -> Result<(Attachment, bool), InterceptError> {
        let threads = listeners.len();
        let config = pod::lookup_config(pod, netns, threads);
        let fill = |map| {
            listeners::fill_slots(map, listeners)
                .map_err(system("handing the listeners to the kernel"))
        };
        if let Some(attachment) = Attachment::adopt(&self.pins, &pod.uid, netns) {
            let map = attachment.listeners.as_fd();
            let program = self.template.load(&config, map)?;
            fill(map)?;
            attachment
                .swap(program.as_fd())
                .map_err(system("swapping the pod's look-up program"))?;
            listeners::clear_surplus(map, threads).map_err(system("clearing listener slots"))?;
            return Ok((attachment, true));
        }
        let map = lookup::new_listener_map().map_err(system("creating a map for listeners"))?;
        fill(map.as_fd())?;
        let program = self.template.load(&config, map.as_fd())?;
        let attachment = Attachment::create(&self.pins, &pod.uid, netns, program.as_fd(), map)
            .map_err(system("attaching the pod's look-up program"))?;
        Ok((attachment, false))
    }

    /// The entry that makes the hooks capture comes last.
    pub(crate) fn tell_kernel(
        &self,
        state: &mut State,
        pod: &PodNetwork,
        netns: &Netns,
        previous: Previous,
        dns: bool,
    ) -> Result<(), InterceptError> {
        let cookie = netns.cookie();
        if state.maps.quota.get(&cookie, 0).is_err() {
            state
                .maps
                .quota
                .insert(cookie, 0, 0)
                .map_err(map_error("amb_quota"))?;
        }
        for key in pod::probe_keys(pod) {
            state
                .maps
                .probe_ports
                .insert(key, cookie, 0)
                .map_err(map_error("amb_probe_ports"))?;
        }
        let entry = pod::entry(pod, netns, previous, true, dns);
        state
            .maps
            .pods
            .insert(cookie, entry, 0)
            .map_err(map_error("amb_pods"))
    }

    pub fn update(&self, pod: &PodNetwork) -> Result<(), InterceptError> {
        pod::validate(pod)?;
        let mut state = self.state();
        let known = state
            .pods
            .get(&pod.uid)
            .filter(|known| known.attachment.is_some());
        let Some(known) = known else {
            return Err(unknown(&pod.uid));
        };
        let (old, netns) = (known.network.clone(), Arc::clone(&known.netns));
        let (previous, dns) = (known.previous, known.dns);
        if known.is_replaced() {
            let path = pod.netns.display();
            let reason = format!("{path} is another network namespace now: forget the pod first");
            return Err(InterceptError::InvalidPod {
                uid: pod.uid.to_string(),
                reason,
            });
        }
        if old.addresses != pod.addresses {
            self.change_addresses(&mut state, pod, &netns)?;
        } else if pod::lookup_config(&old, &netns, 0) != pod::lookup_config(pod, &netns, 0) {
            self.swap_lookup(&state, pod, &netns)?;
        }
        self.tell_kernel(&mut state, pod, &netns, previous, dns)?;
        let kept: Vec<_> = pod::probe_keys(pod).collect();
        for key in pod::probe_keys(&old).filter(|key| !kept.contains(key)) {
            let _ = state.maps.probe_ports.remove(&key);
        }
        if let Some(known) = state.pods.get_mut(&pod.uid) {
            known.network = PodNetwork {
                netns: old.netns,
                ..pod.clone()
            };
        }
        Ok(())
    }

    fn change_addresses(
        &self,
        state: &mut State,
        pod: &PodNetwork,
        netns: &Netns,
    ) -> Result<(), InterceptError> {
        let routing = Routing::new(&pod.addresses);
        let check = || Conversation::open().and_then(|mut netlink| netlink.addresses());
        let own = netns
            .enter(check)
            .and_then(|own| own)
            .map_err(system("reading the pod's addresses"))?;
        pod::owns_addresses(pod, &own)?;
        self.swap_lookup(state, pod, netns)?;
        netns
            .enter(|| routing.apply())
            .and_then(|done| done)
            .map_err(system("changing rule and route"))?;
        if let Some(known) = state.pods.get_mut(&pod.uid) {
            known.routing = routing;
        }
        Ok(())
    }

    /// From the return on, new connections are judged by what is said of the pod now; no moment is without a program.
    fn swap_lookup(
        &self,
        state: &State,
        pod: &PodNetwork,
        netns: &Netns,
    ) -> Result<(), InterceptError> {
        let known = state.pods.get(&pod.uid);
        let Some(attachment) = known.and_then(|known| known.attachment.as_ref()) else {
            return Err(unknown(&pod.uid));
        };
        let config = pod::lookup_config(pod, netns, self.options.threads);
        let program = self.template.load(&config, attachment.listeners.as_fd())?;
        attachment
            .swap(program.as_fd())
            .map_err(system("swapping the pod's look-up program"))
    }
}

pub(crate) fn unknown(uid: &str) -> InterceptError {
    InterceptError::UnknownPod {
        uid: uid.to_owned(),
    }
}

fn open_netns(pod: &PodNetwork) -> Result<Arc<Netns>, InterceptError> {
    Netns::open(&pod.netns)
        .map(Arc::new)
        .map_err(|source| InterceptError::Netns {
            path: pod.netns.clone(),
            source,
        })
}

/// The kernel's entry of a pod of which only the uid is known.
pub(crate) fn find_entry(state: &State, uid: &str) -> Option<(u64, abi::Pod)> {
    let hash = abi::uid_hash(uid);
    state
        .maps
        .pods
        .iter()
        .flatten()
        .find(|(_, entry)| entry.uid_hash == hash)
}

fn create_folder(path: &std::path::Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

/// Removes a pod's pins and their folder.
pub(crate) fn remove_folder(path: &std::path::Path) -> io::Result<()> {
    for pin in std::fs::read_dir(path).into_iter().flatten().flatten() {
        remove_pin(&pin.path())?;
    }
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}
