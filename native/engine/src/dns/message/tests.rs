//! Reading and writing, and that nothing a pod or a resolver sends can do harm.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use domain::base::iana::{Rcode, Rtype};
use domain::base::{Message, MessageBuilder, Name, Question};
use proptest::prelude::*;

use super::*;

fn query(name: &str, kind: Rtype, offered: Option<u16>) -> Vec<u8> {
    let mut builder = MessageBuilder::new_vec();
    builder.header_mut().set_id(0x1234);
    builder.header_mut().set_rd(true);
    let mut question = builder.question();
    let name: Name<Vec<u8>> = name.parse().unwrap();
    question.push(Question::new_in(name, kind)).unwrap();
    let mut additional = question.additional();
    if let Some(size) = offered {
        let sized = additional.opt(|opt| {
            opt.set_udp_payload_size(size);
            Ok(())
        });
        sized.unwrap();
    }
    additional.finish()
}

fn addresses(count: u8) -> Vec<IpAddr> {
    (0..count).map(|last| [10, 0, 0, last].into()).collect()
}

#[test]
fn a_name_is_read_in_lower_case_and_without_its_dot() {
    let read = read(&query("Api.Example.COM.", Rtype::A, None)).unwrap();
    assert_eq!(read.name.as_deref(), Some("api.example.com"));
    assert_eq!((read.kind, read.limit, read.plain), (Rtype::A, 512, true));
}

#[test]
fn what_a_client_takes_is_bounded_both_ways() {
    let limit = |offered| read(&query("a.b", Rtype::A, Some(offered))).unwrap().limit;
    assert_eq!([0, 1232, 65_535].map(limit), [512, 1232, 4096]);
}

#[test]
fn a_label_with_a_dot_in_it_is_no_host_name() {
    let mut bytes = query("a-b.example.com", Rtype::A, None);
    let dash = bytes.iter().position(|byte| *byte == b'-').unwrap();
    bytes[dash] = b'.';
    assert_eq!(read(&bytes).unwrap().name, None);
}

#[test]
fn an_answer_repeats_the_question_as_it_was_written() {
    let asked = query("Api.Example.com", Rtype::A, Some(1232));
    let bytes = answer(&asked, &addresses(2), 30, 512).unwrap();
    let message = Message::from_slice(&bytes).unwrap();
    assert!(is_answer(&asked, &bytes));
    assert!(message.header().aa() && message.header().ra() && message.header().rd());
    let text = message.sole_question().unwrap().qname().to_string();
    assert_eq!(text, "Api.Example.com");
    assert_eq!(message.header_counts().ancount(), 2);
    assert!(message.opt().is_some());
}

#[test]
fn a_name_without_such_an_address_is_no_error() {
    let asked = query("api.example.com", Rtype::AAAA, None);
    let bytes = answer(&asked, &[], 30, 512).unwrap();
    let message = Message::from_slice(&bytes).unwrap();
    assert_eq!(message.header().rcode(), Rcode::NOERROR);
    assert_eq!(message.header_counts().ancount(), 0);
    assert!(message.opt().is_none());
}

#[test]
fn a_pointer_names_one_host() {
    let asked = query("1.0.240.240.in-addr.arpa", Rtype::PTR, Some(1232));
    let bytes = pointer(&asked, "api.example.com", 30).unwrap();
    assert!(is_answer(&asked, &bytes));
    let message = Message::from_slice(&bytes).unwrap();
    let records = message.answer().unwrap().limit_to::<Ptr<_>>();
    let hosts: Vec<_> = records
        .map(|record| record.unwrap().data().ptrdname().to_string())
        .collect();
    assert_eq!(hosts, ["api.example.com"]);
    assert_eq!(pointer(&asked, &"a.".repeat(200), 30), None);
}

#[test]
fn what_does_not_fit_is_left_out_and_told() {
    let asked = query("api.example.com", Rtype::A, Some(512));
    let bytes = answer(&asked, &addresses(200), 30, 512).unwrap();
    let message = Message::from_slice(&bytes).unwrap();
    assert!(bytes.len() <= 512 && message.header().tc());
    assert!(message.header_counts().ancount() > 20);
    let whole = answer(&asked, &addresses(200), 30, 65_535).unwrap();
    assert!(!Message::from_slice(&whole).unwrap().header().tc());
}

#[test]
fn as_many_addresses_as_there_may_be_fit_a_message_over_tcp() {
    let asked = query(
        &format!("{}.example.com", "a".repeat(60)),
        Rtype::AAAA,
        None,
    );
    let six: Vec<IpAddr> = (0..5000u16)
        .map(|last| [0xfd00, 0, 0, 0, 0, 0, 0, last].into())
        .collect();
    let bytes = answer(&asked, &six, 30, 65_535).unwrap();
    let message = Message::from_slice(&bytes).unwrap();
    assert_eq!(
        usize::from(message.header_counts().ancount()),
        MOST_ADDRESSES
    );
}

#[test]
fn a_reply_counts_only_for_what_was_asked() {
    let asked = query("api.example.com", Rtype::A, None);
    let good = answer(&asked, &addresses(1), 30, 512).unwrap();
    assert!(is_answer(&asked, &good));
    let mut other_id = good.clone();
    set_id(&mut other_id, [0, 0]);
    let other_name = answer(
        &query("evil.example.com", Rtype::A, None),
        &addresses(1),
        30,
        512,
    );
    let other_kind = answer(&query("api.example.com", Rtype::AAAA, None), &[], 30, 512);
    for forged in [
        other_id,
        other_name.unwrap(),
        other_kind.unwrap(),
        asked.clone(),
        vec![],
    ] {
        assert!(!is_answer(&asked, &forged));
    }
}

#[test]
fn a_refusal_without_the_question_is_an_answer_but_no_addresses_without_it() {
    let asked = query("api.example.com", Rtype::A, None);
    let mut refused = unreadable(&asked).unwrap();
    assert!(is_answer(&asked, &refused));
    refused[3] = 0;
    assert!(!is_answer(&asked, &refused));
}

#[test]
fn what_cannot_be_read_is_told_so_unless_it_is_an_answer() {
    let mut two = query("api.example.com", Rtype::A, None);
    two[5] = 2;
    assert_eq!(read(&two), None);
    let told = unreadable(&two).unwrap();
    let message = Message::from_slice(&told).unwrap();
    assert_eq!(message.header().rcode(), Rcode::FORMERR);
    assert_eq!(message.header().id(), 0x1234);
    two[2] |= 0x80;
    assert_eq!(unreadable(&two), None);
    assert_eq!(unreadable(&two[..11]), None);
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..600), limit in 0usize..600) {
        let _ = unreadable(&bytes);
        if let Some(query) = read(&bytes) {
            prop_assert!((SMALLEST_LIMIT..=LARGEST_LIMIT).contains(&query.limit));
            prop_assert!(query.name.is_none_or(|name| name.len() <= 255));
        }
        let _ = answer(&bytes, &addresses(3), 30, limit);
        let _ = failure(&bytes, Rcode::SERVFAIL);
        let _ = truncated(&bytes);
    }

    #[test]
    fn a_query_with_flaws_is_read_or_refused(flaws in prop::collection::vec((0usize..60, any::<u8>()), 1..6)) {
        let mut bytes = query("api.example.com", Rtype::A, Some(1232));
        let length = bytes.len();
        for (place, byte) in flaws {
            bytes[place % length] = byte;
        }
        if read(&bytes).is_some() {
            let reply = answer(&bytes, &addresses(40), 30, 512);
            prop_assert!(reply.is_none_or(|reply| reply.len() <= 512 && !is_answer(&reply, &bytes)));
        }
    }

    #[test]
    fn no_forged_reply_is_taken_for_the_answer(id in any::<u16>(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut asked = query("api.example.com", Rtype::A, None);
        set_id(&mut asked, id.to_be_bytes());
        let taken = is_answer(&asked, &bytes);
        let plausible = bytes.len() >= HEADER && bytes[..2] == id.to_be_bytes() && bytes[2] & 0x80 != 0;
        prop_assert!(plausible || !taken);
    }
}
