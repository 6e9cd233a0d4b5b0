//! Both directions of question, as the cache sees them.

use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use crate::api::{
    AnswerMask, Direction, InboundQuestion, InboundVerdict, OutboundQuestion, OutboundVerdict,
    Question, Verdict,
};

/// A question that the cache can widen by a mask.
pub(super) trait Kind: Clone + Eq + Hash {
    type Verdict;
    const DIRECTION: Direction;

    fn pod(&self) -> &Arc<str>;

    /// IPv4-mapped addresses become IPv4, so that one destination is one question.
    fn canonical(self) -> Self;

    /// What is left of the question when only what `mask` names matters. Two questions with equal rests share an answer.
    fn masked(&self, mask: AnswerMask) -> Self;

    fn into_question(self) -> Question;

    /// The verdict, where it is one for this direction.
    fn verdict(verdict: Verdict) -> Option<Self::Verdict>;
}

impl Kind for OutboundQuestion {
    type Verdict = OutboundVerdict;
    const DIRECTION: Direction = Direction::Outbound;

    fn pod(&self) -> &Arc<str> {
        &self.pod
    }

    fn canonical(self) -> Self {
        Self {
            destination: self.destination.to_canonical(),
            ..self
        }
    }

    fn masked(&self, mask: AnswerMask) -> Self {
        Self {
            pod: self.pod.clone(),
            destination: prefix(self.destination, mask.prefix_length),
            port: masked_port(self.port, mask),
        }
    }

    fn into_question(self) -> Question {
        Question::Outbound(self)
    }

    fn verdict(verdict: Verdict) -> Option<OutboundVerdict> {
        match verdict {
            Verdict::Outbound(verdict) => Some(verdict),
            Verdict::Inbound(_) => None,
        }
    }
}

impl Kind for InboundQuestion {
    type Verdict = InboundVerdict;
    const DIRECTION: Direction = Direction::Inbound;

    fn pod(&self) -> &Arc<str> {
        &self.pod
    }

    fn canonical(self) -> Self {
        Self {
            source: self.source.to_canonical(),
            destination: self.destination.to_canonical(),
            ..self
        }
    }

    fn masked(&self, mask: AnswerMask) -> Self {
        Self {
            pod: self.pod.clone(),
            peer: self.peer.clone(),
            source: prefix(self.source, mask.prefix_length),
            destination: if mask.any_destination {
                prefix(self.destination, 0)
            } else {
                self.destination
            },
            port: masked_port(self.port, mask),
            transport: self.transport,
        }
    }

    fn into_question(self) -> Question {
        Question::Inbound(self)
    }

    fn verdict(verdict: Verdict) -> Option<InboundVerdict> {
        match verdict {
            Verdict::Inbound(verdict) => Some(verdict),
            Verdict::Outbound(_) => None,
        }
    }
}

fn masked_port(port: u16, mask: AnswerMask) -> u16 {
    if mask.any_port { 0 } else { port }
}

/// The address with all but its first `length` bits cleared; the family always matters.
fn prefix(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let cleared = 32_u32.saturating_sub(length.into());
            let kept = u32::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & kept))
        }
        IpAddr::V6(v6) => {
            let cleared = 128_u32.saturating_sub(length.into());
            let kept = u128::MAX.checked_shl(cleared).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & kept))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::prefix;

    #[test]
    fn a_prefix_keeps_the_first_bits_only() {
        let of = |text: &str, length| prefix(text.parse().expect("an address"), length).to_string();
        assert_eq!(of("10.1.2.3", 0), "0.0.0.0");
        assert_eq!(of("10.1.2.3", 9), "10.0.0.0");
        assert_eq!(of("10.1.2.3", 32), "10.1.2.3");
        assert_eq!(of("fd00:1::5", 0), "::");
        assert_eq!(of("fd00:1::5", 16), "fd00::");
        assert_eq!(of("fd00:1::5", 128), "fd00:1::5");
    }

    #[test]
    fn a_prefix_longer_than_the_address_is_the_address() {
        let address = "10.1.2.3".parse().expect("an address");
        assert_eq!(prefix(address, 128), address);
    }
}
