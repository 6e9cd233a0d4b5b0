//! The thread on which calls that touch the kernel run, one after the other, so that JavaScript's never blocks.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use ambit_engine::error::{EngineError, ErrorCode};

type Job = Box<dyn FnOnce() + Send>;

pub(crate) struct Control {
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

impl Control {
    pub(crate) fn start() -> Result<Self, EngineError> {
        let (jobs, receiver) = channel::<Job>();
        let thread = spawn("ambit-control", move || {
            receiver.iter().for_each(|job| job());
        })?;
        Ok(Self { jobs, thread })
    }

    /// Jobs must not panic; see `promise::guarded`.
    pub(crate) fn run(&self, job: Job) {
        let _ = self.jobs.send(job);
    }

    /// Gives the last job, which takes the thread's handle along for others to join, and ends the thread after it.
    pub(crate) fn finish(self, last: impl FnOnce(JoinHandle<()>) + Send + 'static) {
        let thread = self.thread;
        let _ = self.jobs.send(Box::new(move || last(thread)));
    }
}

pub(crate) fn spawn(
    name: &str,
    work: impl FnOnce() + Send + 'static,
) -> Result<JoinHandle<()>, EngineError> {
    let builder = std::thread::Builder::new().name(name.to_owned());
    builder.spawn(work).map_err(|error| {
        let message = "a thread could not be started; look at the process's limit of threads";
        EngineError::caused(ErrorCode::Io, message, error)
    })
}
