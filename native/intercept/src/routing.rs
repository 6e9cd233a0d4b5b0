//! The rule and the route that turn marked packets round on `lo`. Everything here acts in the calling thread's namespace.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE};
use netlink_packet_route::link::{LinkFlags, LinkMessage};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteProtocol, RouteScope,
    RouteType,
};
use netlink_packet_route::rule::{RuleAction, RuleAttribute, RuleHeader, RuleMessage};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use crate::netlink::{Conversation, Reply};

/// The one bit of SO_MARK that is ours; kube-proxy, Cilium and Istio use lower ones.
pub(crate) const MARK: u32 = 1 << 27;
pub(crate) const TABLE: u32 = 15_001;
/// Directly after the rule `local`, so that the pod's own addresses never come here.
pub(crate) const PRIORITY: u32 = 1;
const LOOPBACK: u32 = 1;
/// RTM_F_LOOKUP_TABLE: name the table that answered.
const NAME_TABLE: u32 = 0x1000;
/// Documentation addresses (RFC 5737, RFC 3849): no pod owns them, so a marked packet for them must turn round.
const PROOF_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const PROOF_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
/// Foreign routes in our table that one repair removes at most.
const MOST_FOREIGN: usize = 8;

/// The sources that captured connections get, by family; a family without address is not captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Routing {
    sources: [Option<IpAddr>; 2],
}

/// What was missing when it was put in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Missing {
    /// `lo` was down, which takes routes along.
    pub loopback: bool,
    pub rule: bool,
    pub route: bool,
}

impl Routing {
    pub fn new(addresses: &[IpAddr]) -> Self {
        Self {
            sources: [
                addresses.iter().copied().find(IpAddr::is_ipv4),
                addresses.iter().copied().find(IpAddr::is_ipv6),
            ],
        }
    }

    fn sources(&self) -> impl Iterator<Item = IpAddr> {
        self.sources.into_iter().flatten()
    }

    /// Brings `lo` up and puts rules and routes in place, whatever of them is there already.
    pub fn apply(&self) -> io::Result<()> {
        let mut requests = vec![(loopback_up(), NLM_F_ACK)];
        for source in self.sources() {
            requests.push((new_rule(source), NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL));
            requests.push((
                new_route(source, true),
                NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            ));
        }
        let replies = Conversation::open()?.ask(requests)?;
        check(&replies[0])?;
        for (source, pair) in self.sources().zip(replies[1..].chunks(2)) {
            allow(&pair[0], libc::EEXIST)?;
            if let Err(error) = check(&pair[1]) {
                add_without_source(source, error)?;
            }
        }
        Ok(())
    }

    /// Whether a marked packet really turns round on `lo`: asks the kernel for its decision instead of comparing lists.
    pub fn intact(&self) -> io::Result<bool> {
        let queries = self
            .sources()
            .map(|source| (ask_route(source), NLM_F_ACK))
            .collect();
        let replies = Conversation::open()?.ask(queries)?;
        Ok(replies
            .iter()
            .all(|reply| reply.message.as_ref().is_some_and(turns_round)))
    }

    /// Puts back what is gone; says what that was.
    pub fn repair(&self) -> io::Result<Missing> {
        let mut conversation = Conversation::open()?;
        let replies =
            conversation.ask(vec![(loopback(), NLM_F_ACK), (loopback_up(), NLM_F_ACK)])?;
        check(&replies[1])?;
        let mut missing = Missing {
            loopback: replies[0].message.as_ref().is_some_and(is_down),
            ..Missing::default()
        };
        for source in self.sources() {
            let rule = conversation.ask(vec![(
                new_rule(source),
                NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            )])?;
            missing.rule |= rule[0].error.is_none();
            allow(&rule[0], libc::EEXIST)?;
            let answer = conversation.ask(vec![(ask_route(source), NLM_F_ACK)])?;
            if answer[0].message.as_ref().is_some_and(turns_round) {
                continue;
            }
            missing.route = true;
            remove_routes(&mut conversation, source)?;
            let route =
                conversation.ask(vec![(new_route(source, true), NLM_F_ACK | NLM_F_CREATE)])?;
            if let Err(error) = check(&route[0]) {
                add_without_source(source, error)?;
            }
        }
        Ok(missing)
    }

    /// Takes rules and routes out; how many there were.
    pub fn remove() -> io::Result<usize> {
        let mut conversation = Conversation::open()?;
        let mut removed = 0;
        for source in [
            IpAddr::from(Ipv4Addr::UNSPECIFIED),
            IpAddr::from(Ipv6Addr::UNSPECIFIED),
        ] {
            for _ in 0..MOST_FOREIGN {
                let RouteNetlinkMessage::NewRule(rule) = new_rule(source) else {
                    break;
                };
                if !gone(
                    &conversation.ask(vec![(RouteNetlinkMessage::DelRule(rule), NLM_F_ACK)])?[0],
                )? {
                    break;
                }
                removed += 1;
            }
            removed += remove_routes(&mut conversation, source)?;
        }
        Ok(removed)
    }
}

/// IPv6 refuses a preferred source that is still tentative; without it the kernel chooses by its own rules.
fn add_without_source(source: IpAddr, error: io::Error) -> io::Result<()> {
    if source.is_ipv4() || error.raw_os_error() != Some(libc::EINVAL) {
        return Err(error);
    }
    let request = vec![(
        new_route(source, false),
        NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
    )];
    check(&Conversation::open()?.ask(request)?[0])
}

fn remove_routes(conversation: &mut Conversation, family: IpAddr) -> io::Result<usize> {
    for removed in 0..MOST_FOREIGN {
        let RouteNetlinkMessage::NewRoute(mut route) = new_route(family, false) else {
            break;
        };
        route.header = RouteHeader {
            kind: RouteType::Unspec,
            scope: RouteScope::NoWhere,
            protocol: RouteProtocol::Unspec,
            ..route.header
        };
        route
            .attributes
            .retain(|attribute| matches!(attribute, RouteAttribute::Table(_)));
        if !gone(&conversation.ask(vec![(RouteNetlinkMessage::DelRoute(route), NLM_F_ACK)])?[0])? {
            return Ok(removed);
        }
    }
    Ok(MOST_FOREIGN)
}

/// Whether a deletion found something. No IPv6 at all counts as nothing there.
pub(crate) fn gone(reply: &Reply) -> io::Result<bool> {
    const NOTHING: [i32; 4] = [
        libc::ENOENT,
        libc::ESRCH,
        libc::EAFNOSUPPORT,
        libc::EOPNOTSUPP,
    ];
    match reply.error {
        None => Ok(true),
        Some(code) if NOTHING.contains(&code) => Ok(false),
        Some(code) => Err(io::Error::from_raw_os_error(code)),
    }
}

fn check(reply: &Reply) -> io::Result<()> {
    reply
        .error
        .map_or(Ok(()), |code| Err(io::Error::from_raw_os_error(code)))
}

pub(crate) fn allow(reply: &Reply, code: i32) -> io::Result<()> {
    if reply.error == Some(code) {
        Ok(())
    } else {
        check(reply)
    }
}

pub(crate) fn turns_round(message: &RouteNetlinkMessage) -> bool {
    let RouteNetlinkMessage::NewRoute(route) = message else {
        return false;
    };
    route.header.kind == RouteType::Local
        && route.attributes.contains(&RouteAttribute::Table(TABLE))
        && route.attributes.contains(&RouteAttribute::Oif(LOOPBACK))
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    }
}

fn is_down(message: &RouteNetlinkMessage) -> bool {
    matches!(message, RouteNetlinkMessage::NewLink(link) if !link.header.flags.contains(LinkFlags::Up))
}

fn loopback() -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    RouteNetlinkMessage::GetLink(link)
}

fn loopback_up() -> RouteNetlinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = LOOPBACK;
    link.header.flags = LinkFlags::Up;
    link.header.change_mask = LinkFlags::Up;
    RouteNetlinkMessage::SetLink(link)
}

/// A rule that leads to a table, without saying which or when.
pub(crate) fn empty_rule(like: IpAddr) -> RuleMessage {
    let mut rule = RuleMessage::default();
    rule.header = RuleHeader {
        family: family(like),
        action: RuleAction::ToTable,
        ..RuleHeader::default()
    };
    rule
}

fn new_rule(source: IpAddr) -> RouteNetlinkMessage {
    let mut rule = empty_rule(source);
    rule.attributes = vec![
        RuleAttribute::Priority(PRIORITY),
        RuleAttribute::FwMark(MARK),
        RuleAttribute::FwMask(MARK),
        RuleAttribute::Table(TABLE),
    ];
    RouteNetlinkMessage::NewRule(rule)
}

fn new_route(source: IpAddr, preferred: bool) -> RouteNetlinkMessage {
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family(source),
        kind: RouteType::Local,
        scope: RouteScope::Host,
        protocol: RouteProtocol::Static,
        ..RouteHeader::default()
    };
    route.attributes = vec![RouteAttribute::Table(TABLE), RouteAttribute::Oif(LOOPBACK)];
    if preferred {
        route
            .attributes
            .push(RouteAttribute::PrefSource(RouteAddress::from(source)));
    }
    RouteNetlinkMessage::NewRoute(route)
}

/// Where a marked packet to a foreign address would go.
pub(crate) fn query(source: IpAddr, mark: u32) -> RouteMessage {
    let (proof, prefix) = if source.is_ipv4() {
        (IpAddr::V4(PROOF_V4), 32)
    } else {
        (IpAddr::V6(PROOF_V6), 128)
    };
    let mut route = RouteMessage::default();
    route.header = RouteHeader {
        address_family: family(source),
        destination_prefix_length: prefix,
        flags: RouteFlags::from_bits_retain(NAME_TABLE),
        ..RouteHeader::default()
    };
    route.attributes = vec![
        RouteAttribute::Destination(RouteAddress::from(proof)),
        RouteAttribute::Mark(mark),
    ];
    route
}

fn ask_route(source: IpAddr) -> RouteNetlinkMessage {
    RouteNetlinkMessage::GetRoute(query(source, MARK))
}
