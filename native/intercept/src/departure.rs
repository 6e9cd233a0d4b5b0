//! Letting a pod go in two steps: first no new captures, then, when its flows have ended, the rest.

use std::os::fd::AsFd;

use aya_obj::generated::bpf_attach_type;

use crate::abi;
use crate::bpf;
use crate::dns::without_dns;
use crate::enrolment::{find_entry, remove_folder, unknown};
use crate::error::{InterceptError, system};
use crate::hooks::map_error;
use crate::interception::{Node, State};
use crate::netns::Netns;
use crate::pins::remove_pin;
use crate::pod;

impl Node {
    pub fn withdraw(&self, uid: &str) -> Result<(), InterceptError> {
        let newest = self.hooks().is_newest();
        let mut state = self.state();
        if newest {
            self.withdraw_locked(&mut state, uid)
        } else {
            forget_only(&mut state, uid)
        }
    }

    pub fn release(&self, uid: &str) -> Result<(), InterceptError> {
        let newest = self.hooks().is_newest();
        let mut state = self.state();
        if newest {
            self.release_locked(&mut state, uid)
        } else {
            forget_only(&mut state, uid)
        }
    }

    pub fn withdraw_locked(&self, state: &mut State, uid: &str) -> Result<(), InterceptError> {
        if let Some(known) = state.pods.get_mut(uid) {
            known.attachment = None;
            let netns = std::sync::Arc::clone(&known.netns);
            let dns = std::mem::take(&mut known.dns);
            self.detach_pod(state, uid, &netns)?;
            return if dns { without_dns(&netns) } else { Ok(()) };
        }
        match find_entry(state, uid) {
            Some((cookie, _)) => self.detach_unclaimed(state, uid, cookie),
            None if self.pins.pod(uid).exists() => self.detach_link(uid),
            None => Err(unknown(uid)),
        }
    }

    pub fn release_locked(&self, state: &mut State, uid: &str) -> Result<(), InterceptError> {
        if state
            .pods
            .get(uid)
            .is_some_and(|known| known.attachment.is_some())
        {
            self.withdraw_locked(state, uid)?;
        }
        if let Some(known) = state.pods.get(uid) {
            let (netns, previous) = (std::sync::Arc::clone(&known.netns), known.previous);
            netns
                .enter(|| pod::take_down(previous))
                .and_then(|done| done)
                .map_err(system("removing rule and route from the pod's namespace"))?;
            return self.forget(state, uid, netns.cookie());
        }
        match find_entry(state, uid) {
            Some((cookie, entry)) => self.take_down_unclaimed(state, uid, cookie, &entry),
            None if self.pins.pod(uid).exists() => {
                remove_folder(&self.pins.pod(uid)).map_err(system("removing the pod's pins"))
            }
            None => Err(unknown(uid)),
        }
    }

    /// Capture ends with the entry; then nothing more arrives by the look-up.
    pub fn detach_pod(
        &self,
        state: &mut State,
        uid: &str,
        netns: &Netns,
    ) -> Result<(), InterceptError> {
        self.detach_unclaimed(state, uid, netns.cookie())
    }

    pub fn detach_unclaimed(
        &self,
        state: &mut State,
        uid: &str,
        cookie: u64,
    ) -> Result<(), InterceptError> {
        if let Ok(entry) = state.maps.pods.get(&cookie, 0) {
            state
                .maps
                .pods
                .insert(cookie, abi::Pod { mark: 0, ..entry }, 0)
                .map_err(map_error("amb_pods"))?;
        }
        let ports: Vec<_> = state
            .maps
            .probe_ports
            .iter()
            .flatten()
            .filter(|(_, owner)| *owner == cookie)
            .map(|(key, _)| key)
            .collect();
        for key in ports {
            let _ = state.maps.probe_ports.remove(&key);
        }
        // A published probe must not outlive the pod, which may be captured again while the prober's socket is open.
        let probes: Vec<_> = state
            .maps
            .probes
            .iter()
            .flatten()
            .filter(|(_, probe)| probe.pod_cookie == cookie)
            .map(|(tuple, _)| tuple)
            .collect();
        for tuple in probes {
            let _ = state.maps.probes.remove(&tuple);
        }
        let _ = state.maps.quota.remove(&cookie);
        self.unanswer(cookie)?;
        self.detach_link(uid)
    }

    fn detach_link(&self, uid: &str) -> Result<(), InterceptError> {
        if let Ok(link) = bpf::open_pin(&self.pins.pod_link(uid))
            && bpf::link_info(link.as_fd(), bpf_attach_type::BPF_SK_LOOKUP)
                .is_ok_and(|info| info.target != 0)
        {
            bpf::link_detach(link.as_fd())
                .map_err(system("detaching the pod's look-up program"))?;
        }
        remove_pin(&self.pins.pod_link(uid)).map_err(system("removing the pod's pins"))?;
        remove_pin(&self.pins.pod_listeners(uid)).map_err(system("removing the pod's pins"))?;
        Ok(())
    }

    /// The namespace may have gone with its pod; then nothing is left in it either.
    pub fn take_down_unclaimed(
        &self,
        state: &mut State,
        uid: &str,
        cookie: u64,
        entry: &abi::Pod,
    ) -> Result<(), InterceptError> {
        if let Some(netns) = pod::find_netns(entry.netns_inode, &self.options.host_proc)
            .filter(|netns| netns.cookie() == cookie)
        {
            netns
                .enter(|| pod::take_down(entry.previous))
                .and_then(|done| done)
                .map_err(system("removing rule and route from the pod's namespace"))?;
        }
        self.forget(state, uid, cookie)
    }

    pub fn forget(&self, state: &mut State, uid: &str, cookie: u64) -> Result<(), InterceptError> {
        let _ = state.maps.pods.remove(&cookie);
        forget_only(state, uid).or_else(|error| match error {
            InterceptError::UnknownPod { .. } => Ok(()),
            other => Err(other),
        })?;
        remove_folder(&self.pins.pod(uid)).map_err(system("removing the pod's pins"))
    }

    /// The uid behind a hash, from the names of the pins.
    pub fn uid_of(&self, hash: u64) -> Option<String> {
        self.pins
            .pods()
            .ok()?
            .into_iter()
            .find(|uid| abi::uid_hash(uid) == hash)
    }
}

/// This process's own state; a successor may hold the pod.
fn forget_only(state: &mut State, uid: &str) -> Result<(), InterceptError> {
    state.tokens.retain(|_, known| **known != *uid);
    state.pods.remove(uid).map(drop).ok_or_else(|| unknown(uid))
}
