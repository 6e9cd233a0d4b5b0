//! The access log's thread: takes records from a bounded queue and writes them in batches, so that neither an engine
//! thread nor JavaScript ever waits for a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::log_filter::Fate;
use super::log_line::LogRecord;
use super::registry::{Counter, Registry};
use crate::api::{AccessLogFilter, LogFormat};

const QUEUE: usize = 16_384;
const BATCH: usize = 512;
/// How long the writer gathers lines before it looks at them: waking it is a system call of an engine thread, and at every
/// line it would take as long as all the rest.
const GATHER: Duration = Duration::from_millis(5);
/// How long a full pipe may stall the writer before the batch is given up, in milliseconds.
const STALL: i32 = 1_000;

enum Message {
    Record(Box<LogRecord>),
    Stop,
}

pub(super) struct AccessLog {
    sender: Option<SyncSender<Message>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    dropped: Counter,
    filter: Arc<Mutex<Arc<AccessLogFilter>>>,
}

impl AccessLog {
    pub(super) fn start(target: &str, format: LogFormat, registry: &Registry) -> io::Result<Self> {
        let Some(output) = open(target)? else {
            return Ok(Self::off(registry));
        };
        let (sender, receiver) = sync_channel(QUEUE);
        let filter: Arc<Mutex<Arc<AccessLogFilter>>> = Arc::default();
        let writer = Writer {
            output,
            format,
            filter: filter.clone(),
            filtered: left_out(registry, "filter"),
            not_sampled: left_out(registry, "sampling"),
            lost: lost(registry, "write_failed"),
        };
        let thread = std::thread::Builder::new()
            .name("ambit-access-log".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self {
            sender: Some(sender),
            thread: Mutex::new(Some(thread)),
            dropped: lost(registry, "queue_full"),
            filter,
        })
    }

    fn off(registry: &Registry) -> Self {
        Self {
            sender: None,
            thread: Mutex::default(),
            dropped: lost(registry, "queue_full"),
            filter: Arc::default(),
        }
    }

    pub(super) fn set_filter(&self, filter: AccessLogFilter) {
        *self.filter.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(filter);
    }

    /// Never waits; a full queue drops the record and counts it.
    pub(super) fn write(&self, record: LogRecord) {
        let Some(sender) = &self.sender else {
            return;
        };
        match sender.try_send(Message::Record(Box::new(record))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => self.dropped.increment(),
        }
    }

    /// Waits until everything queued before is written.
    pub(super) fn stop(&self) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let (Some(sender), Some(thread)) = (&self.sender, thread.take()) else {
            return;
        };
        // Both fail only when the thread has ended by itself.
        let _ = sender.send(Message::Stop);
        let _ = thread.join();
    }
}

fn lost(registry: &Registry, reason: &str) -> Counter {
    registry.counter(
        "ambit_access_log_dropped",
        "Lines of the access log that were lost.",
        &[("reason", reason)],
    )
}

fn left_out(registry: &Registry, reason: &str) -> Counter {
    registry.counter(
        "ambit_access_log_left_out",
        "Lines that the access log's settings leave out.",
        &[("reason", reason)],
    )
}

/// What is written to; standard output is borrowed, for it belongs to the process.
struct Output(ManuallyDrop<File>, bool);

impl Drop for Output {
    fn drop(&mut self) {
        if self.1 {
            // SAFETY: dropped once, here, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

fn open(target: &str) -> io::Result<Option<Output>> {
    match target {
        "off" => Ok(None),
        "stdout" => {
            // SAFETY: the descriptor stays open as long as the process and is never closed through this handle.
            let stdout = unsafe { File::from_raw_fd(libc::STDOUT_FILENO) };
            Ok(Some(Output(ManuallyDrop::new(stdout), false)))
        }
        path => {
            let mut options = OpenOptions::new();
            let file = options.create(true).append(true).mode(0o640).open(path)?;
            Ok(Some(Output(ManuallyDrop::new(file), true)))
        }
    }
}

struct Writer {
    output: Output,
    format: LogFormat,
    filter: Arc<Mutex<Arc<AccessLogFilter>>>,
    filtered: Counter,
    not_sampled: Counter,
    lost: Counter,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Message>) {
        let mut text = String::new();
        while let Ok(message) = receiver.recv() {
            if matches!(message, Message::Record(_)) {
                std::thread::sleep(GATHER);
            }
            let mut lines = 0;
            let stop = self.fill(message, receiver, &mut text, &mut lines);
            if self.write(text.as_bytes()).is_err() {
                self.lost.add(lines);
            }
            text.clear();
            if stop {
                return;
            }
        }
    }

    /// One line after the other in one buffer is one system call for the batch. Returns whether to stop after it.
    fn fill(
        &self,
        first: Message,
        receiver: &Receiver<Message>,
        text: &mut String,
        lines: &mut u64,
    ) -> bool {
        let filter = self.filter();
        let rest = receiver.try_iter().take(BATCH - 1);
        for message in std::iter::once(first).chain(rest) {
            let Message::Record(record) = message else {
                return true;
            };
            match filter.fate(&record) {
                Fate::Filtered => self.filtered.increment(),
                Fate::NotSampled => self.not_sampled.increment(),
                Fate::Written => {
                    record.write(text, self.format);
                    *lines += 1;
                }
            }
        }
        false
    }

    fn filter(&self) -> Arc<AccessLogFilter> {
        let filter = self.filter.lock();
        filter.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.output.0.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Node makes a pipe at its standard output non-blocking, and the descriptor is shared.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait()?,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn wait(&self) -> io::Result<()> {
        let mut poll = libc::pollfd {
            fd: self.output.0.as_raw_fd(),
            events: libc::POLLOUT,
            revents: 0,
        };
        // SAFETY: one valid pollfd, as the count says.
        match unsafe { libc::poll(&raw mut poll, 1, STALL) } {
            0 => Err(io::ErrorKind::TimedOut.into()),
            1 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}
