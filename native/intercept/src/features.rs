//! What the machine must offer, asked before anything is changed, so that the error names what is missing.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use aya_obj::generated::{bpf_attach_type, bpf_insn, bpf_prog_type};

use crate::abi::HooksConfig;
use crate::bpf;
use crate::error::{InterceptError, system};
use crate::netns::Netns;
use crate::options::{MAX_THREADS, Options};
use crate::sys;

const BPF_FS_MAGIC: i64 = 0xcafe_4a11;
const CGROUP2_SUPER_MAGIC: i64 = 0x6367_7270;

/// A helper that a program calls: its number, a program that may call it, and what to say when it is not there.
const HELPERS: [(i32, bpf_prog_type, bpf_attach_type, &str); 7] = {
    use bpf_attach_type::{
        BPF_CGROUP_INET4_CONNECT as CONNECT, BPF_CGROUP_SOCK_OPS,
        BPF_CGROUP_UDP4_SENDMSG as SENDMSG, BPF_SK_LOOKUP,
    };
    use bpf_prog_type::{
        BPF_PROG_TYPE_CGROUP_SOCK_ADDR as SOCK_ADDR, BPF_PROG_TYPE_SK_LOOKUP as LOOKUP,
        BPF_PROG_TYPE_SOCK_OPS as OPS,
    };
    [
        (
            122,
            SOCK_ADDR,
            CONNECT,
            "bpf_get_netns_cookie in connect hooks (Linux 5.7)",
        ),
        (
            49,
            SOCK_ADDR,
            CONNECT,
            "bpf_setsockopt in connect hooks (Linux 5.8)",
        ),
        (
            49,
            SOCK_ADDR,
            SENDMSG,
            "bpf_setsockopt in sendmsg hooks (Linux 5.12)",
        ),
        (
            107,
            SOCK_ADDR,
            CONNECT,
            "bpf_sk_storage_get in connect hooks (Linux 5.8)",
        ),
        (
            113,
            SOCK_ADDR,
            CONNECT,
            "bpf_probe_read_kernel in connect hooks (Linux 5.10)",
        ),
        (
            107,
            OPS,
            BPF_CGROUP_SOCK_OPS,
            "bpf_sk_storage_get in sockops (Linux 5.7)",
        ),
        (
            124,
            LOOKUP,
            BPF_SK_LOOKUP,
            "sk_lookup with bpf_sk_assign (Linux 5.9)",
        ),
    ]
};

/// The folder, cgroup and options are usable.
pub(crate) fn check(options: &Options) -> Result<(), InterceptError> {
    let invalid = |name, reason: String| InterceptError::InvalidOption { name, reason };
    if options.node.is_empty() || options.node.len() > 63 {
        return Err(invalid(
            "node",
            "a name of 1 to 63 bytes is needed".to_owned(),
        ));
    }
    if options.threads == 0 || options.threads > MAX_THREADS {
        return Err(invalid(
            "threads",
            format!("{} is not within 1 to {MAX_THREADS}", options.threads),
        ));
    }
    bpffs(&options.bpffs)?;
    // Before Linux 5.11 maps count as locked memory; failing here only means the old limit.
    let _ = sys::lift_memory_lock_limit();
    Ok(())
}

pub(crate) fn bpffs(path: &Path) -> Result<(), InterceptError> {
    match sys::filesystem_magic(path) {
        Ok(BPF_FS_MAGIC) => Ok(()),
        _ => Err(InterceptError::NotBpffs {
            path: path.to_owned(),
        }),
    }
}

/// Opens the root of the node's cgroup2 tree; only there does a link reach every pod.
pub(crate) fn cgroup_root(path: &Path, host_proc: &Path) -> Result<File, InterceptError> {
    cgroup_tree(path)?;
    if !(is_root_of_the_machine(path) || is_root_of_the_node(path, host_proc)) {
        return Err(not_root(path));
    }
    File::open(path).map_err(|_| not_root(path))
}

/// Any cgroup of a cgroup2 tree.
pub(crate) fn cgroup_tree(path: &Path) -> Result<(), InterceptError> {
    match sys::filesystem_magic(path) {
        Ok(CGROUP2_SUPER_MAGIC) => Ok(()),
        _ => Err(not_root(path)),
    }
}

fn not_root(path: &Path) -> InterceptError {
    InterceptError::NotCgroupRoot {
        path: path.to_owned(),
    }
}

/// Every cgroup but the real root has cgroup.events, also where a cgroup namespace shows it as the root.
fn is_root_of_the_machine(path: &Path) -> bool {
    !path.join("cgroup.events").exists()
}

/// A node may be a container itself (kind, k3d): then its tree is what its first process has mounted. An agent's own view does not
/// count: in a cgroup namespace of its own it shows the agent's cgroup, where links would reach no pod at all.
fn is_root_of_the_node(path: &Path, host_proc: &Path) -> bool {
    // Process 1 of our own procfs may be ourselves, in a container: only a procfs from outside knows the node's.
    let device = |folder: &Path| std::fs::metadata(folder).map(|found| found.dev()).ok();
    if device(host_proc) == device(Path::new("/proc")) {
        return false;
    }
    let first = host_proc.join("1");
    let Ok(mounts) = std::fs::read_to_string(first.join("mountinfo")) else {
        return false;
    };
    let same = |mounted: &Path| {
        let seen = first
            .join("root")
            .join(mounted.strip_prefix("/").unwrap_or(mounted));
        std::fs::metadata(seen).is_ok_and(|node| {
            std::fs::metadata(path)
                .is_ok_and(|own| (own.dev(), own.ino()) == (node.dev(), node.ino()))
        })
    };
    mounts
        .lines()
        .filter_map(cgroup2_mount)
        .any(|mounted| same(Path::new(mounted)))
}

/// The mount point, where a line of `mountinfo` (proc(5)) is that of a cgroup2 tree.
fn cgroup2_mount(line: &str) -> Option<&str> {
    let (mount, filesystem) = line.split_once(" - ")?;
    filesystem
        .starts_with("cgroup2 ")
        .then(|| mount.split(' ').nth(4))?
}

/// What the hooks must know of this node.
pub(crate) fn hooks_config(options: &Options) -> Result<HooksConfig, InterceptError> {
    let path = options
        .node_netns
        .as_deref()
        .unwrap_or(Path::new("/proc/thread-self/ns/net"));
    let node = Netns::open(path).map_err(|source| InterceptError::Netns {
        path: path.to_owned(),
        source,
    })?;
    let mut config = HooksConfig {
        node_cookie: node.cookie(),
        ..HooksConfig::default()
    };
    if let Some(pods) = &options.pods_cgroup {
        let is_below = pods
            .strip_prefix(&options.cgroup_root)
            .is_ok_and(|below| !below.as_os_str().is_empty());
        if !is_below {
            return Err(InterceptError::InvalidOption {
                name: "pods_cgroup",
                reason: format!(
                    "{} is not below {}",
                    pods.display(),
                    options.cgroup_root.display()
                ),
            });
        }
        let metadata = std::fs::metadata(pods)
            .map_err(system(format!("reading the cgroup {}", pods.display())))?;
        config.pods_cgroup = metadata.ino();
    }
    Ok(config)
}

/// Turns "the verifier refused" into the name of what the kernel lacks, when it is that.
pub(crate) fn explain(error: InterceptError) -> InterceptError {
    let InterceptError::Load { program, source } = error else {
        return error;
    };
    if sys::effective_uid() != 0 {
        return InterceptError::Permission {
            what: "loading eBPF programs",
            source: io::Error::other(source),
        };
    }
    match HELPERS
        .iter()
        .find(|(helper, kind, attach, _)| !has_helper(*helper, *kind, *attach))
    {
        Some((_, _, _, feature)) => InterceptError::KernelFeature {
            feature,
            hint: "use a newer kernel",
            source: Some(source),
        },
        None if program == "amb_lookup" => InterceptError::KernelFeature {
            feature: "ingress_ifindex in sk_lookup (Linux 5.17)",
            hint: "use a newer kernel",
            source: Some(source),
        },
        None => InterceptError::Load { program, source },
    }
}

/// Loads `call helper; exit`. It never passes the verifier, but the log says whether the helper or its arguments are at fault.
fn has_helper(helper: i32, kind: bpf_prog_type, attach: bpf_attach_type) -> bool {
    const CALL: u8 = 0x85;
    const EXIT: u8 = 0x95;
    let instruction = |code, imm| {
        let mut instruction = bpf_insn {
            code,
            _bitfield_align_1: [],
            _bitfield_1: Default::default(),
            off: 0,
            imm,
        };
        instruction.set_dst_reg(0);
        instruction
    };
    let mut log = vec![0u8; 4096];
    let result = bpf::prog_load(
        kind,
        attach,
        "amb_probe",
        &[instruction(CALL, helper), instruction(EXIT, 0)],
        &mut log,
    );
    let text = String::from_utf8_lossy(&log);
    let absent = ["unknown func", "invalid func", "cannot use helper"]
        .iter()
        .any(|words| text.contains(words));
    result.is_ok() || (!absent && !text.trim_matches('\0').is_empty())
}

#[cfg(test)]
mod tests {
    use super::{HELPERS, cgroup2_mount, has_helper};

    #[test]
    fn a_helper_is_told_from_one_that_the_kernel_does_not_let_a_program_call() {
        if crate::sys::effective_uid() != 0 {
            println!("skipped: needs root");
            return;
        }
        for (helper, kind, attach, feature) in HELPERS {
            assert!(has_helper(helper, kind, attach), "{feature}");
            // A number of none, and bpf_redirect, which is for programs that see packets.
            assert!(!has_helper(9999, kind, attach), "{feature}");
            assert!(!has_helper(23, kind, attach), "{feature}");
        }
    }

    #[test]
    fn the_mount_point_of_a_cgroup2_tree_is_found() {
        let line = "36 24 0:29 / /sys/fs/cgroup/unified rw,nosuid shared:10 - cgroup2 cgroup2 rw,nsdelegate";
        assert_eq!(cgroup2_mount(line), Some("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn mounts_of_other_kinds_are_no_cgroup2_trees() {
        let line = "37 24 0:30 / /sys/fs/cgroup/pids rw shared:11 - cgroup cgroup rw,pids";
        assert_eq!(cgroup2_mount(line), None);
        assert_eq!(cgroup2_mount("no mount"), None);
    }
}
