//! The rules that turn name queries round on `lo`, into the table of captured connections. Everything here acts in the calling
//! thread's namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{DefaultNla, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::route::{RouteAddress, RouteAttribute};
use netlink_packet_route::rule::{RuleAttribute, RuleMessage, RulePortRange};
use netlink_packet_route::{IpProtocol, RouteNetlinkMessage};

use crate::abi::{DNS_MARK, DNS_PORT, DNS_SOURCE};
use crate::netlink::Conversation;
use crate::routing::{PRIORITY, TABLE, allow, empty_rule, gone, query, turns_round};

/// Attributes of RTM_GETROUTE that the crate does not know (rtnetlink.h).
const RTA_IP_PROTO: u16 = 27;
const RTA_DPORT: u16 = 29;
const UDP: u8 = 17;
/// Rules of one kind that are removed at most.
const MOST: usize = 8;

/// By the mark: datagrams of connected sockets. By the source: those of others.
#[derive(Clone, Copy)]
enum Known {
    Mark,
    Source,
}

fn sources() -> [IpAddr; 2] {
    [
        Ipv4Addr::from_bits(DNS_SOURCE).into(),
        Ipv6Addr::LOCALHOST.into(),
    ]
}

fn all() -> impl Iterator<Item = (IpAddr, Known)> {
    let both = |source| [(source, Known::Mark), (source, Known::Source)];
    sources().into_iter().flat_map(both)
}

/// Puts in place what is missing. A family that the kernel does not have needs none.
pub(crate) fn apply() -> io::Result<()> {
    let requests = all()
        .map(|(source, kind)| {
            let rule = RouteNetlinkMessage::NewRule(rule(source, kind));
            (rule, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL)
        })
        .collect();
    let replies = Conversation::open()?.ask(requests)?;
    replies.iter().try_for_each(|reply| match reply.error {
        Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP) => Ok(()),
        _ => allow(reply, libc::EEXIST),
    })
}

/// Takes the rules out; how many there were.
pub(crate) fn remove() -> io::Result<usize> {
    let mut conversation = Conversation::open()?;
    let mut removed = 0;
    for (source, kind) in all() {
        for _ in 0..MOST {
            let rule = RouteNetlinkMessage::DelRule(rule(source, kind));
            if !gone(&conversation.ask(vec![(rule, NLM_F_ACK)])?[0])? {
                break;
            }
            removed += 1;
        }
    }
    Ok(removed)
}

/// Whether name queries really turn round, by mark and by source: asks the kernel for its decision.
pub(crate) fn intact() -> io::Result<bool> {
    let mut requests = Vec::new();
    for source in sources() {
        let mut marked = query(source, DNS_MARK);
        let mut sourced = query(source, 0);
        marked.attributes.extend(to_dns());
        sourced.attributes.extend(to_dns());
        sourced.header.source_prefix_length = if source.is_ipv4() { 32 } else { 128 };
        let address = RouteAddress::from(source);
        sourced.attributes.push(RouteAttribute::Source(address));
        requests.push((RouteNetlinkMessage::GetRoute(marked), NLM_F_ACK));
        requests.push((RouteNetlinkMessage::GetRoute(sourced), NLM_F_ACK));
    }
    let replies = Conversation::open()?.ask(requests)?;
    Ok(replies
        .chunks(2)
        .filter(|family| !matches!(family[0].error, Some(libc::EAFNOSUPPORT | libc::EOPNOTSUPP)))
        .flatten()
        .all(|reply| reply.message.as_ref().is_some_and(turns_round)))
}

fn to_dns() -> [RouteAttribute; 2] {
    [
        RouteAttribute::Other(DefaultNla::new(RTA_IP_PROTO, vec![UDP])),
        RouteAttribute::Other(DefaultNla::new(RTA_DPORT, DNS_PORT.to_be_bytes().to_vec())),
    ]
}

fn rule(source: IpAddr, kind: Known) -> RuleMessage {
    let mut rule = empty_rule(source);
    let port = RulePortRange {
        start: DNS_PORT,
        end: DNS_PORT,
    };
    rule.attributes = vec![
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::Table(TABLE),
        RuleAttribute::IpProtocol(IpProtocol::Udp),
        RuleAttribute::DestinationPortRange(port),
    ];
    match kind {
        Known::Mark => rule.attributes.extend([
            RuleAttribute::FwMark(DNS_MARK),
            RuleAttribute::FwMask(DNS_MARK),
        ]),
        Known::Source => {
            rule.header.src_len = if source.is_ipv4() { 32 } else { 128 };
            rule.attributes.push(RuleAttribute::Source(source));
        }
    }
    rule
}
