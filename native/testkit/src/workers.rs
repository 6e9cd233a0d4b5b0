//! A fixed number of threads that do one thing until it is done.

use std::thread;

/// Runs `work(0) … work(count - 1)` at once. A worker that panicked has no result.
pub fn run<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let work = &work;
        let handles: Vec<_> = (0..count)
            .map(|index| scope.spawn(move || work(index)))
            .collect();
        handles
            .into_iter()
            .filter_map(|handle| handle.join().ok())
            .collect()
    })
}

/// Fills `buffer` with one byte a client, so that mixed-up streams show.
pub fn pattern(buffer: &mut [u8], index: usize) {
    let letter = b'a' + u8::try_from(index % 26).unwrap_or(0);
    buffer.fill(letter);
}
