//! Read buffers, lent while bytes are in flight. Each thread keeps a few for the next flow.

use std::cell::RefCell;
use std::mem;

/// Small enough for a message, and the sizes that a bulk stream grows into: fewer, larger system calls and TLS batches.
const SIZES: [usize; 3] = [16 * 1024, 64 * 1024, 256 * 1024];
/// How many of each a thread keeps: 6 MiB at most.
const KEPT: [usize; 3] = [64, 16, 16];

/// How much the next read of one socket asks for.
#[derive(Clone, Copy, Default)]
pub struct ReadSize(usize);

impl ReadSize {
    pub fn bytes(self) -> usize {
        SIZES[self.0]
    }

    pub fn lend(self) -> Buffer {
        Buffer::lend(self.0)
    }

    /// A full read promises more; a read that a smaller size could hold gives the larger one back.
    pub fn adapt(&mut self, read: usize, limit: usize) {
        if read == limit && limit == self.bytes() {
            self.0 = (self.0 + 1).min(SIZES.len() - 1);
        } else if self.0 > 0 && read <= SIZES[self.0 - 1] / 2 {
            self.0 -= 1;
        }
    }
}

thread_local! {
    static FREE: RefCell<[Vec<Vec<u8>>; 3]> = const { RefCell::new([const { Vec::new() }; 3]) };
}

/// A buffer that goes back to its thread's stock when dropped.
pub struct Buffer {
    bytes: Vec<u8>,
    class: usize,
}

impl Buffer {
    /// An empty buffer of `SIZES[class]`.
    fn lend(class: usize) -> Self {
        let kept = FREE.with_borrow_mut(|free| free[class].pop());
        Buffer {
            bytes: kept.unwrap_or_else(|| Vec::with_capacity(SIZES[class])),
            class,
        }
    }

    pub fn storage(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut bytes = mem::take(&mut self.bytes);
        bytes.clear();
        // Fails only while the thread ends; then the buffer is simply freed.
        let _ = FREE.try_with(|free| {
            let stock = &mut free.borrow_mut()[self.class];
            if stock.len() < KEPT[self.class] {
                stock.push(bytes);
            }
        });
    }
}
