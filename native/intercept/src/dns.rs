//! Capture of a pod's name queries. It fails open: what is not in place, or goes, leaves them to the pod's own resolver.

use std::net::UdpSocket;
use std::sync::Arc;

use crate::bpf;
use crate::datagrams::{self, Replies};
use crate::dns_rules;
use crate::enrolment::unknown;
use crate::error::{InterceptError, system};
use crate::interception::Node;
use crate::netns::Netns;

/// The engine's ends of a pod's name queries over UDP.
#[derive(Debug)]
pub struct DnsSockets {
    /// Non-blocking; read it by [`datagrams::receive`], which tells which resolver was asked.
    pub queries: UdpSocket,
    pub replies: Replies,
}

impl Node {
    pub fn capture_dns(&self, uid: &str) -> Result<DnsSockets, InterceptError> {
        let mut state = self.state();
        let known = state.pods.get_mut(uid);
        let Some(known) = known.filter(|known| known.attachment.is_some()) else {
            return Err(unknown(uid));
        };
        let netns = Arc::clone(&known.netns);
        let sockets = netns
            .enter(prepare)
            .map_err(system("entering the pod's namespace"))??;
        known.dns = true;
        let (network, previous) = (known.network.clone(), known.previous);
        self.tell_kernel(&mut state, &network, &netns, previous, true)?;
        let cookie = netns.cookie().to_ne_bytes();
        let descriptor = u64::from(datagrams::number(&sockets.queries)).to_ne_bytes();
        bpf::map_update(self.template.dns(), &cookie, &descriptor)
            .map_err(system("handing the socket for name queries to the kernel"))?;
        Ok(sockets)
    }

    pub fn release_dns(&self, uid: &str) -> Result<(), InterceptError> {
        let mut state = self.state();
        let Some(known) = state.pods.get_mut(uid) else {
            return Err(unknown(uid));
        };
        if !std::mem::take(&mut known.dns) {
            return Ok(());
        }
        let (network, netns) = (known.network.clone(), Arc::clone(&known.netns));
        let previous = known.previous;
        self.unanswer(netns.cookie())?;
        self.tell_kernel(&mut state, &network, &netns, previous, false)?;
        without_dns(&netns)
    }

    /// From now on the hooks let name queries go where they are sent.
    pub fn unanswer(&self, cookie: u64) -> Result<(), InterceptError> {
        bpf::map_delete(self.template.dns(), &cookie.to_ne_bytes())
            .map_err(system("taking the socket for name queries from the kernel"))
    }
}

/// Sockets that were marked before must not go on turning round.
pub(crate) fn without_dns(netns: &Netns) -> Result<(), InterceptError> {
    netns
        .enter(dns_rules::remove)
        .and_then(|removed| removed)
        .map(drop)
        .map_err(system("removing the rules for name queries"))
}

fn prepare() -> Result<DnsSockets, InterceptError> {
    let queries = datagrams::listen().map_err(system("making a socket for name queries"))?;
    let replies =
        Replies::new().map_err(system("making a raw socket, which needs CAP_NET_RAW,"))?;
    dns_rules::apply().map_err(system("adding the rules for name queries"))?;
    Ok(DnsSockets { queries, replies })
}
