//! connect(2) through io_uring, by raw system calls: the kernel's other way into the same hook.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use socket2::{SockAddr, Socket};

use crate::system::{check, wait};

// linux/io_uring.h
const OP_CONNECT: u8 = 16;
const OFFSET_SUBMISSION_RING: libc::off_t = 0;
const OFFSET_COMPLETION_RING: libc::off_t = 0x800_0000;
const OFFSET_ENTRIES: libc::off_t = 0x1000_0000;
const ENTRIES: u32 = 2;
const RING_BYTES: usize = 4096;

#[repr(C)]
#[derive(Default)]
struct RingOffsets {
    head: u32,
    tail: u32,
    ring_mask: u32,
    ring_entries: u32,
    /// Submission: flags, dropped, array. Completion: overflow, completions, flags.
    rest: [u32; 3],
    reserved: u32,
    user_address: u64,
}

#[repr(C)]
#[derive(Default)]
struct Parameters {
    submission_entries: u32,
    completion_entries: u32,
    flags: u32,
    thread_cpu: u32,
    thread_idle: u32,
    features: u32,
    work_queue: u32,
    reserved: [u32; 3],
    submission: RingOffsets,
    completion: RingOffsets,
}

#[repr(C)]
#[derive(Default)]
struct Entry {
    opcode: u8,
    flags: u8,
    priority: u16,
    descriptor: i32,
    offset: u64,
    address: u64,
    length: u32,
    operation_flags: u32,
    user_data: u64,
    rest: [u64; 3],
}

#[repr(C)]
struct Completion {
    user_data: u64,
    result: i32,
    flags: u32,
}

struct Mapping(*mut u8);

impl Mapping {
    fn new(ring: &OwnedFd, offset: libc::off_t) -> io::Result<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        // SAFETY: a fresh shared mapping of the ring's own memory; two entries fit in one page.
        let at = unsafe {
            libc::mmap(
                ptr::null_mut(),
                RING_BYTES,
                protection,
                flags,
                ring.as_raw_fd(),
                offset,
            )
        };
        if at == libc::MAP_FAILED {
            Err(io::Error::last_os_error())
        } else {
            Ok(Self(at.cast()))
        }
    }

    fn word(&self, offset: u32) -> &AtomicU32 {
        // SAFETY: the kernel gave the offset of an aligned 32-bit word within the mapping, which lives as long as `self`.
        unsafe { &*self.0.add(offset as usize).cast::<AtomicU32>() }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and has that length.
        unsafe { libc::munmap(self.0.cast(), RING_BYTES) };
    }
}

/// Connects and waits for the completion. ENOSYS or EPERM where the machine forbids io_uring.
pub fn connect(socket: &Socket, to: &SockAddr, timeout: Duration) -> io::Result<()> {
    let mut parameters = Parameters::default();
    // SAFETY: the structure has the layout of io_uring_params and lives through the call.
    let raw = unsafe { libc::syscall(libc::SYS_io_uring_setup, ENTRIES, &raw mut parameters) };
    let raw = check(i32::try_from(raw).unwrap_or(-1))?;
    // SAFETY: the descriptor was just made and is nobody else's.
    let ring = unsafe { OwnedFd::from_raw_fd(raw) };
    let submission = Mapping::new(&ring, OFFSET_SUBMISSION_RING)?;
    let completion = Mapping::new(&ring, OFFSET_COMPLETION_RING)?;
    let entries = Mapping::new(&ring, OFFSET_ENTRIES)?;
    let entry = Entry {
        opcode: OP_CONNECT,
        descriptor: socket.as_raw_fd(),
        // The length of the address travels in the field that is an offset elsewhere.
        offset: u64::from(to.len()),
        address: to.as_ptr() as u64,
        ..Entry::default()
    };
    // SAFETY: the first slot of a mapping that holds at least one entry.
    unsafe { entries.0.cast::<Entry>().write(entry) };
    submission
        .word(parameters.submission.rest[2])
        .store(0, Ordering::Relaxed);
    submission
        .word(parameters.submission.tail)
        .store(1, Ordering::Release);
    submit(&ring)?;
    // The ring's descriptor is readable once a completion is there.
    if !wait(&ring, libc::POLLIN, timeout)? {
        return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT));
    }
    finish(&completion, &parameters)
}

fn submit(ring: &OwnedFd) -> io::Result<()> {
    // SAFETY: no signal mask is passed.
    let taken = unsafe {
        libc::syscall(
            libc::SYS_io_uring_enter,
            ring.as_raw_fd(),
            1,
            0,
            0,
            ptr::null::<u8>(),
            0,
        )
    };
    check(i32::try_from(taken).unwrap_or(-1)).map(drop)
}

fn finish(completion: &Mapping, parameters: &Parameters) -> io::Result<()> {
    if completion
        .word(parameters.completion.tail)
        .load(Ordering::Acquire)
        == 0
    {
        return Err(io::Error::other("io_uring woke without a completion"));
    }
    // `rest[1]` is where the completions begin.
    let at = completion
        .0
        .wrapping_add(parameters.completion.rest[1] as usize)
        .cast::<Completion>();
    // SAFETY: the kernel has published the first completion, as the tail said with acquire ordering.
    let result = unsafe { at.read() }.result;
    if result < 0 {
        Err(io::Error::from_raw_os_error(-result))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Type};
    use std::net::TcpListener;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Parameters>(), 120);
        assert_eq!(size_of::<Entry>(), 64);
        assert_eq!(size_of::<Completion>(), 16);
    }

    #[test]
    fn a_connection_is_made() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let address = listener.local_addr().expect("has an address");
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        connect(&socket, &address.into(), Duration::from_secs(2)).expect("connects");
        assert_eq!(
            socket.peer_addr().expect("has a peer").as_socket(),
            Some(address)
        );
    }
}
