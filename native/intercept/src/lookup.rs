//! The sk_lookup program of one pod: parsed once, loaded and attached per pod.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use aya_obj::Object;
use aya_obj::generated::{bpf_attach_type, bpf_prog_type};

use crate::abi::{LISTENER_SLOTS, LookupConfig, bytes_of};
use crate::bpf::{self, LinkInfo};
use crate::error::InterceptError;
use crate::hooks::SharedMaps;
use crate::netns::Netns;
use crate::pins::{Pins, remove_pin};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/lookup.o"));
const PROGRAM: &str = "amb_lookup";
const ATTACH: bpf_attach_type = bpf_attach_type::BPF_SK_LOOKUP;

/// The parsed object and the shared maps that every instance uses.
pub(crate) struct LookupTemplate {
    object: Object,
    shared: SharedMaps,
}

impl LookupTemplate {
    pub fn new(shared: SharedMaps) -> Result<Self, InterceptError> {
        let object = Object::parse(OBJECT).map_err(load_error)?;
        Ok(Self { object, shared })
    }

    /// Where a pod's netns cookie leads to the socket that answers its name queries.
    pub fn dns(&self) -> BorrowedFd<'_> {
        self.shared.dns.as_fd()
    }

    /// Loads an instance that finds its listeners in `listeners`.
    pub fn load(
        &self,
        config: &LookupConfig,
        listeners: BorrowedFd<'_>,
    ) -> Result<OwnedFd, InterceptError> {
        let mut object = self.object.clone();
        object
            .patch_map_data(HashMap::from([("config", (bytes_of(config), true))]))
            .map_err(load_error)?;
        let rodata = constants(&object).map_err(load_error)?;
        let maps = std::mem::take(&mut object.maps);
        let descriptors = maps.iter().map(|(name, map)| {
            let fd = match name.as_str() {
                "amb_listeners" => listeners,
                "amb_counters" => self.shared.counters.as_fd(),
                "amb_probes" => self.shared.probes.as_fd(),
                "amb_dns" => self.shared.dns.as_fd(),
                _ => rodata.as_fd(),
            };
            (name.as_str(), fd.as_raw_fd(), map)
        });
        let sections = object
            .functions
            .keys()
            .map(|(section, _)| *section)
            .collect();
        object
            .relocate_maps(descriptors, &sections)
            .map_err(load_error)?;
        object.relocate_calls(&sections).map_err(load_error)?;
        load_program(&object)
    }
}

fn load_program(object: &Object) -> Result<OwnedFd, InterceptError> {
    let program = object
        .programs
        .get(PROGRAM)
        .and_then(|program| object.functions.get(&program.function_key()));
    let Some(function) = program else {
        return Err(load_error(io::Error::other(
            "the embedded object lacks the program",
        )));
    };
    let load = |log: &mut [u8]| {
        bpf::prog_load(
            bpf_prog_type::BPF_PROG_TYPE_SK_LOOKUP,
            ATTACH,
            PROGRAM,
            &function.instructions,
            log,
        )
    };
    load(&mut []).or_else(|_| {
        // Once more, for the verifier's words.
        let mut log = vec![0u8; 64 * 1024];
        load(&mut log).map_err(|error| {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            load_error(io::Error::new(
                error.kind(),
                format!("{error}: {}", String::from_utf8_lossy(&log[..end])),
            ))
        })
    })
}

fn load_error(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> InterceptError {
    InterceptError::Load {
        program: PROGRAM,
        source: source.into(),
    }
}

/// The object's only data section, as a frozen map.
fn constants(object: &Object) -> io::Result<OwnedFd> {
    let data = object
        .maps
        .iter()
        .find(|(name, _)| name.starts_with(".rodata"))
        .map(|(_, map)| map.data());
    let data = data.ok_or_else(|| io::Error::other("the embedded object lacks its constants"))?;
    let map = bpf::map_create(
        bpf::MAP_TYPE_ARRAY,
        "amb_config",
        (4, data.len() as u32),
        1,
        true,
    )?;
    bpf::map_update(map.as_fd(), &[0; 4], data)?;
    bpf::map_freeze(map.as_fd())?;
    Ok(map)
}

pub(crate) fn new_listener_map() -> io::Result<OwnedFd> {
    bpf::map_create(
        bpf::MAP_TYPE_SOCKMAP,
        "amb_listeners",
        (4, size_of::<u64>() as u32),
        LISTENER_SLOTS,
        false,
    )
}

/// A pod's attachment: the link, and the map with the listeners.
#[derive(Debug)]
pub(crate) struct Attachment {
    link: OwnedFd,
    pub listeners: OwnedFd,
}

impl Attachment {
    /// What an earlier process left, if it is still attached to this namespace.
    pub fn adopt(pins: &Pins, uid: &str, netns: &Netns) -> Option<Self> {
        let link = bpf::open_pin(&pins.pod_link(uid)).ok()?;
        let listeners = bpf::open_pin(&pins.pod_listeners(uid)).ok()?;
        let attached =
            bpf::link_info(link.as_fd(), ATTACH).is_ok_and(|info| info.target == netns.inode());
        attached.then_some(Self { link, listeners })
    }

    /// Attaches and pins. Pins of an attachment that is no more are replaced.
    pub fn create(
        pins: &Pins,
        uid: &str,
        netns: &Netns,
        program: BorrowedFd<'_>,
        listeners: OwnedFd,
    ) -> io::Result<Self> {
        let link = bpf::link_create(program, netns.as_fd(), ATTACH)?;
        let attachment = Self { link, listeners };
        attachment.pin(pins, uid)?;
        Ok(attachment)
    }

    /// Pins what is not pinned, over pins of something else.
    pub fn pin(&self, pins: &Pins, uid: &str) -> io::Result<()> {
        for (path, object) in [
            (pins.pod_link(uid), &self.link),
            (pins.pod_listeners(uid), &self.listeners),
        ] {
            remove_pin(&path)?;
            bpf::pin(object.as_fd(), &path)?;
        }
        Ok(())
    }

    pub fn swap(&self, program: BorrowedFd<'_>) -> io::Result<()> {
        bpf::link_update(self.link.as_fd(), program)
    }

    pub fn info(&self) -> io::Result<LinkInfo> {
        bpf::link_info(self.link.as_fd(), ATTACH)
    }
}

#[cfg(test)]
mod decisions;
