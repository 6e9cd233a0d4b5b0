//! The bpf(2) commands that aya lacks or hides: link update and detach, effective programs, test runs, and loading one
//! small program per pod without parsing anything again.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use aya_obj::generated::{
    bpf_attach_type, bpf_attr, bpf_cmd, bpf_insn, bpf_link_info, bpf_prog_type,
};

pub(crate) const MAP_TYPE_ARRAY: u32 = 2;
pub(crate) const MAP_TYPE_SOCKMAP: u32 = 15;
/// Programs may only read the map; frozen, user space may not write it either, and the verifier takes it for constant.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
const BPF_F_QUERY_EFFECTIVE: u32 = 1;

fn bpf(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<i64> {
    // SAFETY: callers fill the members that `command` reads with pointers that live through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            std::ptr::from_mut(attributes),
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

fn bpf_fd(command: bpf_cmd, attributes: &mut bpf_attr) -> io::Result<OwnedFd> {
    let fd = bpf(command, attributes)?;
    // SAFETY: the command answered with a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn zeroed() -> bpf_attr {
    // SAFETY: bpf_attr is a union of plain C structs, for all of which zero is valid and means "default".
    unsafe { std::mem::zeroed() }
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd() as u32
}

fn path_string(path: &Path) -> io::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| io::ErrorKind::InvalidInput.into())
}

/// A map that one program uses; `name` is cut at 15 bytes.
/// `sizes` are those of key and value.
pub(crate) fn map_create(
    kind: u32,
    name: &str,
    sizes: (u32, u32),
    entries: u32,
    constant: bool,
) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_MAP_CREATE; writing a union member of plain data.
    let create = unsafe { &mut attributes.__bindgen_anon_1 };
    create.map_type = kind;
    create.key_size = sizes.0;
    create.value_size = sizes.1;
    create.max_entries = entries;
    create.map_flags = if constant { BPF_F_RDONLY_PROG } else { 0 };
    copy_name(&mut create.map_name, name);
    bpf_fd(bpf_cmd::BPF_MAP_CREATE, &mut attributes)
}

pub(crate) fn map_update(map: BorrowedFd<'_>, key: &[u8], value: &[u8]) -> io::Result<()> {
    let mut attributes = zeroed();
    // SAFETY: the member of the element commands.
    let element = unsafe { &mut attributes.__bindgen_anon_2 };
    element.map_fd = raw(map);
    element.key = key.as_ptr() as u64;
    element.__bindgen_anon_1.value = value.as_ptr() as u64;
    bpf(bpf_cmd::BPF_MAP_UPDATE_ELEM, &mut attributes).map(drop)
}

/// Puts a listener into a slot, over whatever is there.
pub(crate) fn slot_set(map: BorrowedFd<'_>, slot: u32, listener: BorrowedFd<'_>) -> io::Result<()> {
    map_update(
        map,
        &slot.to_ne_bytes(),
        &u64::from(raw(listener)).to_ne_bytes(),
    )
}

/// Empties a slot; that it was empty is no error.
pub(crate) fn slot_clear(map: BorrowedFd<'_>, slot: u32) -> io::Result<()> {
    map_delete(map, &slot.to_ne_bytes())
}

/// Takes an element out; that there was none is no error.
pub(crate) fn map_delete(map: BorrowedFd<'_>, key: &[u8]) -> io::Result<()> {
    let mut attributes = zeroed();
    // SAFETY: the member of the element commands.
    let element = unsafe { &mut attributes.__bindgen_anon_2 };
    element.map_fd = raw(map);
    element.key = key.as_ptr() as u64;
    match bpf(bpf_cmd::BPF_MAP_DELETE_ELEM, &mut attributes) {
        Err(error) if !matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EINVAL)) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

pub(crate) fn map_freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = zeroed();
    attributes.__bindgen_anon_2.map_fd = raw(map);
    bpf(bpf_cmd::BPF_MAP_FREEZE, &mut attributes).map(drop)
}

/// Loads a program; `log` receives the verifier's words when it is not empty.
pub(crate) fn prog_load(
    kind: bpf_prog_type,
    attach: bpf_attach_type,
    name: &str,
    instructions: &[bpf_insn],
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let license = c"Dual BSD/GPL";
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_PROG_LOAD.
    let load = unsafe { &mut attributes.__bindgen_anon_3 };
    load.prog_type = kind as u32;
    load.expected_attach_type = attach as u32;
    load.insns = instructions.as_ptr() as u64;
    load.insn_cnt = instructions.len() as u32;
    load.license = license.as_ptr() as u64;
    copy_name(&mut load.prog_name, name);
    if !log.is_empty() {
        load.log_level = 1;
        load.log_buf = log.as_mut_ptr() as u64;
        load.log_size = log.len() as u32;
    }
    bpf_fd(bpf_cmd::BPF_PROG_LOAD, &mut attributes)
}

fn copy_name(target: &mut [std::ffi::c_char; 16], name: &str) {
    for (to, from) in target.iter_mut().zip(name.bytes().take(15)) {
        *to = from as std::ffi::c_char;
    }
}

/// Attaches a program to a cgroup or network namespace.
pub(crate) fn link_create(
    program: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    attach: bpf_attach_type,
) -> io::Result<OwnedFd> {
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_LINK_CREATE.
    let create = unsafe { &mut attributes.link_create };
    create.__bindgen_anon_1.prog_fd = raw(program);
    create.__bindgen_anon_2.target_fd = raw(target);
    create.attach_type = attach as u32;
    bpf_fd(bpf_cmd::BPF_LINK_CREATE, &mut attributes)
}

/// Swaps a link's program without a moment in which none is attached.
pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_LINK_UPDATE.
    let update = unsafe { &mut attributes.link_update };
    update.link_fd = raw(link);
    update.__bindgen_anon_1.new_prog_fd = raw(program);
    bpf(bpf_cmd::BPF_LINK_UPDATE, &mut attributes).map(drop)
}

/// Takes the program off at once, whoever else still holds the link.
pub(crate) fn link_detach(link: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = zeroed();
    attributes.link_detach.link_fd = raw(link);
    bpf(bpf_cmd::BPF_LINK_DETACH, &mut attributes).map(drop)
}

pub(crate) fn pin(object: BorrowedFd<'_>, path: &Path) -> io::Result<()> {
    let path = path_string(path)?;
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_OBJ_PIN.
    let pin = unsafe { &mut attributes.__bindgen_anon_4 };
    pin.pathname = path.as_ptr() as u64;
    pin.bpf_fd = raw(object);
    bpf(bpf_cmd::BPF_OBJ_PIN, &mut attributes).map(drop)
}

pub(crate) fn open_pin(path: &Path) -> io::Result<OwnedFd> {
    let path = path_string(path)?;
    let mut attributes = zeroed();
    // SAFETY: the member of BPF_OBJ_GET.
    unsafe { &mut attributes.__bindgen_anon_4 }.pathname = path.as_ptr() as u64;
    bpf_fd(bpf_cmd::BPF_OBJ_GET, &mut attributes)
}

/// What a link says of itself. `target` is a cgroup id or a netns inode; 0: detached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LinkInfo {
    pub program: u32,
    pub target: u64,
}

pub(crate) fn link_info(link: BorrowedFd<'_>, attach: bpf_attach_type) -> io::Result<LinkInfo> {
    // SAFETY: a union of plain C structs, for which zero is valid.
    let mut info: bpf_link_info = unsafe { std::mem::zeroed() };
    let mut attributes = zeroed();
    attributes.info.bpf_fd = raw(link);
    attributes.info.info_len = size_of::<bpf_link_info>() as u32;
    attributes.info.info = (&raw mut info) as u64;
    bpf(bpf_cmd::BPF_OBJ_GET_INFO_BY_FD, &mut attributes)?;
    let target = if attach == bpf_attach_type::BPF_SK_LOOKUP {
        // SAFETY: a link with this attach type is a netns link.
        u64::from(unsafe { info.__bindgen_anon_1.netns.netns_ino })
    } else {
        // SAFETY: our other links are cgroup links.
        unsafe { info.__bindgen_anon_1.cgroup.cgroup_id }
    };
    Ok(LinkInfo {
        program: info.prog_id,
        target,
    })
}

/// Ids of the programs that really run for a cgroup, its ancestors' included.
pub(crate) fn effective_programs(
    target: BorrowedFd<'_>,
    attach: bpf_attach_type,
) -> io::Result<Vec<u32>> {
    let mut programs = vec![0u32; 128];
    let mut attributes = zeroed();
    attributes.query.__bindgen_anon_1.target_fd = raw(target);
    attributes.query.attach_type = attach as u32;
    attributes.query.query_flags = BPF_F_QUERY_EFFECTIVE;
    attributes.query.prog_ids = programs.as_mut_ptr() as u64;
    attributes.query.__bindgen_anon_2.prog_cnt = programs.len() as u32;
    bpf(bpf_cmd::BPF_PROG_QUERY, &mut attributes)?;
    // SAFETY: the kernel has written the count into this member.
    programs.truncate(unsafe { attributes.query.__bindgen_anon_2.prog_cnt } as usize);
    Ok(programs)
}

/// Runs a program once in this process; its return value. `context` is read and written.
pub(crate) fn test_run(
    program: BorrowedFd<'_>,
    context: &mut [u8],
    write_back: bool,
) -> io::Result<u32> {
    let mut attributes = zeroed();
    attributes.test.prog_fd = raw(program);
    attributes.test.ctx_in = context.as_ptr() as u64;
    attributes.test.ctx_size_in = context.len() as u32;
    if write_back {
        attributes.test.ctx_out = context.as_mut_ptr() as u64;
        attributes.test.ctx_size_out = context.len() as u32;
    }
    bpf(bpf_cmd::BPF_PROG_TEST_RUN, &mut attributes)?;
    // SAFETY: the kernel has written this member.
    Ok(unsafe { attributes.test.retval })
}

/// A handle for things that outlive a borrow.
pub(crate) fn duplicate(fd: impl AsFd) -> io::Result<OwnedFd> {
    fd.as_fd().try_clone_to_owned()
}
