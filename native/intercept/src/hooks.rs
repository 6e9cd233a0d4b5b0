//! The node's shared programs and maps: loaded over what an earlier process pinned, and attached by links whose programs are
//! swapped without a gap.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{HashMap, MapData, MapError, PerCpuArray};
use aya::programs::{CgroupSockAddr, RawTracePoint, SockOps};
use aya::{Btf, Ebpf, EbpfLoader};
use aya_obj::generated::bpf_attach_type;

use crate::abi::{COUNTERS, HooksConfig, Pod, Probe, ProbePort, Tuple};
use crate::bpf;
use crate::engines::Registration;
use crate::error::{InterceptError, system};
use crate::pins::{Pins, remove_pin};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/hooks.o"));

/// Name of the program without prefix, and where it is attached.
pub(crate) const LINKS: [(&str, bpf_attach_type); 5] = [
    ("connect4", bpf_attach_type::BPF_CGROUP_INET4_CONNECT),
    ("connect6", bpf_attach_type::BPF_CGROUP_INET6_CONNECT),
    ("sendmsg4", bpf_attach_type::BPF_CGROUP_UDP4_SENDMSG),
    ("sendmsg6", bpf_attach_type::BPF_CGROUP_UDP6_SENDMSG),
    ("sockops", bpf_attach_type::BPF_CGROUP_SOCK_OPS),
];

/// The maps that user space writes.
pub(crate) struct Maps {
    pub pods: HashMap<MapData, u64, Pod>,
    pub probe_ports: HashMap<MapData, ProbePort, u64>,
    pub quota: HashMap<MapData, u64, i64>,
    pub probes: HashMap<MapData, Tuple, Probe>,
}

struct Link {
    name: &'static str,
    attach: bpf_attach_type,
    program: OwnedFd,
    fd: OwnedFd,
}

/// The attached programs of this process.
pub(crate) struct Hooks {
    links: Vec<Link>,
    counters: PerCpuArray<MapData, u64>,
    registration: Registration,
    cgroup: File,
}

/// What opening yields besides the hooks.
pub(crate) struct Opened {
    pub hooks: Hooks,
    pub maps: Maps,
    pub shared: SharedMaps,
}

/// The maps that the pods' look-up programs use, too.
pub(crate) struct SharedMaps {
    pub counters: OwnedFd,
    pub probes: OwnedFd,
    pub dns: OwnedFd,
}

impl SharedMaps {
    fn open(pins: &Pins) -> Result<Self, InterceptError> {
        let open = |name: &str| {
            bpf::open_pin(&pins.map(name)).map_err(system(format!("opening the pinned map {name}")))
        };
        Ok(Self {
            counters: open("amb_counters")?,
            probes: open("amb_probes")?,
            dns: open("amb_dns")?,
        })
    }
}

/// Loads, registers this process as an engine, then attaches or swaps: no connection is judged by a program that does not
/// know this process.
pub(crate) fn open(
    pins: &Pins,
    cgroup: File,
    config: &HooksConfig,
) -> Result<Opened, InterceptError> {
    let btf = Btf::from_sys_fs().map_err(|error| InterceptError::KernelFeature {
        feature: "BTF",
        hint: "a kernel built with CONFIG_DEBUG_INFO_BTF is needed",
        source: Some(Box::new(error)),
    })?;
    replace_outgrown_counters(pins).map_err(system("replacing the pinned map amb_counters"))?;
    let mut object = EbpfLoader::new()
        .btf(Some(&btf))
        .default_map_pin_directory(pins.root())
        .override_global("config", config, true)
        .load(OBJECT)
        .map_err(load_error("amb_hooks"))?;
    let register = load_register(&mut object)?;
    let programs = load_programs(&mut object)?;
    let counters = typed(&mut object, "amb_counters")?;
    let serving = bpf::open_pin(&pins.map("amb_serving"))
        .map_err(system("opening the pinned map amb_serving"))?;
    let registration = Registration::make(
        register,
        typed(&mut object, "amb_engines")?,
        serving.as_fd(),
    )?;
    let shared = SharedMaps::open(pins)?;
    let links = LINKS
        .into_iter()
        .zip(programs)
        .map(|((name, attach), program)| attach_link(pins, &cgroup, name, attach, program))
        .collect::<Result<_, _>>()?;
    Ok(Opened {
        hooks: Hooks {
            links,
            counters,
            registration,
            cgroup,
        },
        maps: Maps {
            pods: typed(&mut object, "amb_pods")?,
            probe_ports: typed(&mut object, "amb_probe_ports")?,
            quota: typed(&mut object, "amb_quota")?,
            probes: typed(&mut object, "amb_probes")?,
        },
        shared,
    })
}

/// What an earlier version pinned may have no room for all counters. They begin anew, as those of a process do; programs of a
/// process that still runs keep theirs.
fn replace_outgrown_counters(pins: &Pins) -> io::Result<()> {
    let path = pins.map("amb_counters");
    let room = MapData::from_pin(&path).and_then(|map| map.info());
    if room.is_ok_and(|info| info.max_entries() as usize != COUNTERS.len()) {
        remove_pin(&path)?;
    }
    Ok(())
}

pub(crate) fn load_error<E: std::error::Error + Send + Sync + 'static>(
    program: &'static str,
) -> impl FnOnce(E) -> InterceptError {
    move |source| InterceptError::Load {
        program,
        source: Box::new(source),
    }
}

fn missing(program: &'static str) -> InterceptError {
    InterceptError::Load {
        program,
        source: "the embedded object lacks it".into(),
    }
}

fn typed<M: TryFrom<aya::maps::Map, Error = MapError>>(
    object: &mut Ebpf,
    name: &'static str,
) -> Result<M, InterceptError> {
    let map = object.take_map(name).ok_or_else(|| missing(name))?;
    M::try_from(map).map_err(load_error(name))
}

fn load_programs(object: &mut Ebpf) -> Result<[OwnedFd; 5], InterceptError> {
    Ok([
        load_address(object, "amb_connect4")?,
        load_address(object, "amb_connect6")?,
        load_address(object, "amb_sendmsg4")?,
        load_address(object, "amb_sendmsg6")?,
        load_sockops(object)?,
    ])
}

fn load_address(object: &mut Ebpf, name: &'static str) -> Result<OwnedFd, InterceptError> {
    let program: &mut CgroupSockAddr = object
        .program_mut(name)
        .ok_or_else(|| missing(name))?
        .try_into()
        .map_err(load_error(name))?;
    program.load().map_err(load_error(name))?;
    bpf::duplicate(program.fd().map_err(load_error(name))?).map_err(load_error(name))
}

fn load_sockops(object: &mut Ebpf) -> Result<OwnedFd, InterceptError> {
    let name = "amb_sockops";
    let program: &mut SockOps = object
        .program_mut(name)
        .ok_or_else(|| missing(name))?
        .try_into()
        .map_err(load_error(name))?;
    program.load().map_err(load_error(name))?;
    bpf::duplicate(program.fd().map_err(load_error(name))?).map_err(load_error(name))
}

fn load_register(object: &mut Ebpf) -> Result<OwnedFd, InterceptError> {
    let name = "amb_register";
    let program: &mut RawTracePoint = object
        .program_mut(name)
        .ok_or_else(|| missing(name))?
        .try_into()
        .map_err(load_error(name))?;
    program.load().map_err(load_error(name))?;
    bpf::duplicate(program.fd().map_err(load_error(name))?).map_err(load_error(name))
}

fn attach_link(
    pins: &Pins,
    cgroup: &File,
    name: &'static str,
    attach: bpf_attach_type,
    program: OwnedFd,
) -> Result<Link, InterceptError> {
    let adopted = bpf::open_pin(&pins.link(name)).ok().filter(|link| {
        bpf::link_info(link.as_fd(), attach).is_ok_and(|info| info.target != 0)
            && bpf::link_update(link.as_fd(), program.as_fd()).is_ok()
    });
    let fd = match adopted {
        Some(link) => link,
        None => attach_anew(pins, cgroup, name, attach, &program)
            .map_err(system(format!("attaching amb_{name}")))?,
    };
    Ok(Link {
        name,
        attach,
        program,
        fd,
    })
}

fn attach_anew(
    pins: &Pins,
    cgroup: &File,
    name: &str,
    attach: bpf_attach_type,
    program: &OwnedFd,
) -> io::Result<OwnedFd> {
    let link = bpf::link_create(program.as_fd(), cgroup.as_fd(), attach)?;
    remove_pin(&pins.link(name))?;
    bpf::pin(link.as_fd(), &pins.link(name))?;
    Ok(link)
}

impl Hooks {
    /// See [`Registration::is_newest`].
    pub fn is_newest(&self) -> bool {
        self.registration.is_newest()
    }

    /// See [`Registration::retire`].
    pub fn retire(&mut self) {
        self.registration.retire();
    }

    /// In words what is not effective at the root, and so for no pod.
    pub fn missing(&self, pins: &Pins) -> Vec<String> {
        self.links
            .iter()
            .filter_map(|link| self.fault(link, pins))
            .collect()
    }

    fn fault(&self, link: &Link, pins: &Pins) -> Option<String> {
        let name = link.name;
        let info = match bpf::link_info(link.fd.as_fd(), link.attach) {
            Ok(info) if info.target != 0 => info,
            _ => return Some(format!("link of amb_{name} is detached")),
        };
        // Children inherit what is attached at the root with BPF_F_ALLOW_MULTI and cannot override it.
        let effective =
            bpf::effective_programs(self.cgroup.as_fd(), link.attach).unwrap_or_default();
        if !effective.contains(&info.program) {
            return Some(format!(
                "program amb_{name} is not effective at the cgroup root"
            ));
        }
        (!pins.link(name).exists()).then(|| format!("link of amb_{name} is not pinned"))
    }

    /// Attaches and pins what is missing; in words what was, and whether it is back.
    pub fn repair(&mut self, pins: &Pins) -> Vec<(String, bool)> {
        let mut repaired = Vec::new();
        for index in 0..self.links.len() {
            let Some(what) = self.fault(&self.links[index], pins) else {
                continue;
            };
            let link = &self.links[index];
            let attached =
                bpf::link_info(link.fd.as_fd(), link.attach).is_ok_and(|info| info.target != 0);
            let result = if attached {
                remove_pin(&pins.link(link.name))
                    .and_then(|_| bpf::pin(link.fd.as_fd(), &pins.link(link.name)))
            } else {
                attach_anew(pins, &self.cgroup, link.name, link.attach, &link.program)
                    .map(|fd| self.links[index].fd = fd)
            };
            repaired.push((what, result.is_ok()));
        }
        repaired
    }

    /// Sums over all processors.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        let sum = |index: usize| {
            self.counters.get(&(index as u32), 0).map_or(0, |values| {
                values.iter().copied().fold(0u64, u64::wrapping_add)
            })
        };
        COUNTERS
            .iter()
            .enumerate()
            .map(|(index, name)| (*name, sum(index)))
            .collect()
    }
}

/// E2BIG is how a hash map says that it is full.
pub(crate) fn map_error(map: &'static str) -> impl FnOnce(MapError) -> InterceptError {
    move |error| match &error {
        MapError::SyscallError(call) if call.io_error.raw_os_error() == Some(libc::E2BIG) => {
            InterceptError::MapFull { map }
        }
        _ => InterceptError::Load {
            program: map,
            source: Box::new(error),
        },
    }
}
