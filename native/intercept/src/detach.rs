//! Removing all that agents of a node left in the kernel.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use aya::maps::{HashMap, Map, MapData};
use aya_obj::generated::bpf_attach_type;

use crate::abi;
use crate::bpf;
use crate::engines;
use crate::error::{InterceptError, system};
use crate::features;
use crate::pins::{Pins, node_folder};
use crate::pod;

/// Removes links, pins, and in each pod's namespace rule, route and settings; in words, what that was. Refuses
/// while an agent of the node runs: its open pods would fall out of the mesh, and it would repair what is removed.
pub fn detach(
    node: &str,
    bpffs: &Path,
    cgroup_root: &Path,
    host_proc: &Path,
) -> Result<Vec<String>, InterceptError> {
    features::bpffs(bpffs)?;
    features::cgroup_tree(cgroup_root)?;
    let pins = Pins::new(bpffs, node);
    if let Some(pid) = engines::running(&pins) {
        let node = node.to_owned();
        return Err(InterceptError::AgentRuns { node, pid });
    }
    let mut removed = Vec::new();
    // First no more captures, then the namespaces that they were routed in.
    for (name, _) in crate::hooks::LINKS {
        removed.extend(detach_link(
            &pins.link(name),
            bpf_attach_type::BPF_CGROUP_INET4_CONNECT,
            &format!("amb_{name}"),
        )?);
    }
    let uids = pins.pods().map_err(system("reading the pods' pins"))?;
    for uid in &uids {
        removed.extend(detach_link(
            &pins.pod_link(uid),
            bpf_attach_type::BPF_SK_LOOKUP,
            &format!("amb_lookup of pod {uid}"),
        )?);
    }
    for (cookie, entry) in entries(&pins) {
        removed.extend(clean_namespace(cookie, &entry, &uids, host_proc));
    }
    let folder = node_folder(bpffs, node);
    if folder.exists() {
        remove_tree(&folder).map_err(system(format!("removing {}", folder.display())))?;
        removed.push(format!("pins below {}", folder.display()));
    }
    // Not ours alone: other nodes of this machine pin here too.
    let _ = fs::remove_dir(bpffs.join("ambit"));
    Ok(removed)
}

fn detach_link(
    path: &Path,
    attach: bpf_attach_type,
    what: &str,
) -> Result<Option<String>, InterceptError> {
    let Ok(link) = bpf::open_pin(path) else {
        return Ok(None);
    };
    if bpf::link_info(link.as_fd(), attach).is_ok_and(|info| info.target == 0) {
        return Ok(None);
    }
    bpf::link_detach(link.as_fd()).map_err(system(format!("detaching {what}")))?;
    Ok(Some(format!("program {what}")))
}

fn entries(pins: &Pins) -> Vec<(u64, abi::Pod)> {
    let pods = MapData::from_pin(pins.map("amb_pods")).and_then(Map::from_map_data);
    let pods = pods.and_then(HashMap::<MapData, u64, abi::Pod>::try_from);
    pods.map_or_else(|_| Vec::new(), |pods| pods.iter().flatten().collect())
}

fn clean_namespace(
    cookie: u64,
    entry: &abi::Pod,
    uids: &[String],
    host_proc: &Path,
) -> Vec<String> {
    let name = uids
        .iter()
        .find(|uid| abi::uid_hash(uid) == entry.uid_hash)
        .map_or("unknown", String::as_str);
    let Some(netns) =
        pod::find_netns(entry.netns_inode, host_proc).filter(|netns| netns.cookie() == cookie)
    else {
        return Vec::new();
    };
    match netns
        .enter(|| pod::take_down(entry.previous))
        .and_then(|done| done)
    {
        Ok(words) => words
            .into_iter()
            .map(|what| format!("{what} of pod {name}"))
            .collect(),
        Err(error) => vec![format!("nothing from pod {name}: {error}")],
    }
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?
        } else {
            fs::remove_file(entry.path())?
        }
    }
    fs::remove_dir(folder)
}
