//! The Rust twin of `native/bpf/abi.h` has the same sizes, offsets and names.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::mem::offset_of;
use std::path::Path;
use std::process::Command;

use ambit_intercept::abi;

/// `printf` of an expression that the C compiler evaluates.
fn c_values(name: &str, expressions: &[&str]) -> Vec<usize> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf/abi.h");
    let mut source = format!(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/types.h>\n#include \"{}\"\nint main(void){{\n",
        header.display()
    );
    for expression in expressions {
        writeln!(source, "printf(\"%zu\\n\", (size_t)({expression}));").unwrap();
    }
    source.push_str("return 0;}\n");
    let folder = std::env::temp_dir().join(format!("ambit-abi-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (code, binary) = (folder.join("abi.c"), folder.join("abi"));
    std::fs::write(&code, source).unwrap();
    let compiled = Command::new("clang")
        .arg(&code)
        .arg("-o")
        .arg(&binary)
        .status()
        .unwrap();
    assert!(compiled.success());
    let output = String::from_utf8(Command::new(&binary).output().unwrap().stdout).unwrap();
    std::fs::remove_dir_all(folder).unwrap();
    output.lines().map(|line| line.parse().unwrap()).collect()
}

macro_rules! layouts {
    ($($c:literal $rust:path { $($field:ident),* })*) => {
        [$((concat!("sizeof(struct ", $c, ")"), size_of::<$rust>()),
           $((concat!("offsetof(struct ", $c, ", ", stringify!($field), ")"), offset_of!($rust, $field)),)*)*]
    };
}

#[test]
fn layouts_are_equal() {
    let expected = layouts! {
        "amb_address" abi::Address { words }
        "amb_pod" abi::Pod { netns_inode, uid_hash, mark, address_count, addresses, previous, flags }
        "amb_engine" abi::Engine { tgid, order, start_boottime }
        "amb_probe_port" abi::ProbePort { address, port, padding }
        "amb_tuple" abi::Tuple { source, destination, source_port, destination_port }
        "amb_probe" abi::Probe { socket_cookie, pod_cookie }
        "amb_hooks_config" abi::HooksConfig { node_cookie, pods_cgroup }
        "amb_lookup_config" abi::LookupConfig { pod_cookie, threads, address_count, addresses, flags, padding }
    };
    let values = c_values("layouts", &expected.map(|(expression, _)| expression));
    assert_eq!(
        expected.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        values
    );
}

#[test]
fn constants_are_equal() {
    let expected = [
        ("AMB_ABI", abi::ABI as usize),
        ("AMB_MAX_ADDRESSES", abi::MAX_ADDRESSES),
        ("AMB_ENGINE_SLOTS", abi::ENGINE_SLOTS as usize),
        ("AMB_MAX_THREADS", abi::MAX_THREADS),
        ("AMB_LISTENER_SLOTS", abi::LISTENER_SLOTS as usize),
        ("AMB_HANDOVER_PORT", usize::from(abi::HANDOVER_PORT)),
        ("AMB_ADMIN_PORT", usize::from(abi::ADMIN_PORT)),
        ("AMB_DNS_PORT", usize::from(abi::DNS_PORT)),
        ("AMB_DNS_MARK", abi::DNS_MARK as usize),
        ("AMB_DNS_SOURCE", abi::DNS_SOURCE as usize),
        ("AMB_POD_GUARDED", abi::POD_GUARDED as usize),
        ("AMB_POD_DNS", abi::POD_DNS as usize),
        ("AMB_OWN_PRIORITY", abi::OWN_PRIORITY as usize),
        ("AMB_OWN_MARK", abi::OWN_MARK as usize),
        ("AMB_LOOKUP_BYPASS", abi::LOOKUP_BYPASS as usize),
        ("AMB_LOOKUP_GUARDED", abi::LOOKUP_GUARDED as usize),
        ("AMB_HBONE", abi::ListenerKind::Hbone as usize),
        ("AMB_PLAINTEXT", abi::ListenerKind::Plaintext as usize),
        ("AMB_COUNTERS", abi::COUNTERS.len()),
    ];
    let values = c_values("constants", &expected.map(|(expression, _)| expression));
    assert_eq!(expected.map(|(_, value)| value).to_vec(), values);
}

#[test]
fn counters_have_the_names_of_the_enum_in_order() {
    let header =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../bpf/abi.h"))
            .unwrap();
    let body = header
        .split("enum amb_counter {")
        .nth(1)
        .unwrap()
        .split("};")
        .next()
        .unwrap();
    let names: Vec<String> = body
        .split(',')
        .map(|name| {
            name.split('=')
                .next()
                .unwrap()
                .trim()
                .trim_start_matches("AMB_")
                .to_lowercase()
        })
        .filter(|name| !name.is_empty() && name != "counters")
        .collect();
    assert_eq!(names, abi::COUNTERS);
}
