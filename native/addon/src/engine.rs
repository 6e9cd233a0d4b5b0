//! `Engine` and `detach`, as declared in `src/native/binding.ts`.

use std::path::Path as FilePath;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ambit_engine::engine::{Engine, detach as detach_node};
use ambit_engine::error::EngineError;
use napi::bindgen_prelude::{FromNapiValue, Function, JsValue, Object, Unknown};
use napi::{Env, Result, ValueType};
use napi_derive::napi;

use crate::control::{Control, spawn};
use crate::error::{illegal_state, invalid_argument, to_js};
use crate::events::{Events, NextEvent};
use crate::input;
use crate::output::{Encode, count};
use crate::promise::{Settle, guarded};
use crate::read::{Path, Read, Value, small};

type Outcome<T> = std::result::Result<T, EngineError>;

/// Everything that `stop` ends.
struct Running {
    engine: Arc<Engine>,
    control: Control,
    /// A drain may take long and has a thread of its own, so that `health` is answered meanwhile.
    drains: Mutex<Vec<JoinHandle<()>>>,
}

impl Running {
    fn start(options: Value<'_>, on_event: Unknown<'_>) -> Outcome<Self> {
        if !on_main_thread() {
            return Err(illegal_state("construct the engine on the main thread"));
        }
        let options = input::engine_options(options)?;
        let engine = Engine::new(options, events(on_event)?)?;
        Ok(Self {
            engine: Arc::new(engine),
            control: Control::start()?,
            drains: Mutex::default(),
        })
    }
}

/// Linux gives a process's first thread the process's own number.
fn on_main_thread() -> bool {
    // SAFETY: both only ask for a number.
    unsafe { libc::gettid() == libc::getpid() }
}

fn events(on_event: Unknown<'_>) -> Outcome<Arc<Events>> {
    let wrong = || invalid_argument("onEvent must be a function");
    if !on_event
        .get_type()
        .is_ok_and(|it| it == ValueType::Function)
    {
        return Err(wrong());
    }
    let raw = on_event.value();
    // SAFETY: environment and value belong together and live as long as the call that is being served.
    let function =
        unsafe { Function::<'_, NextEvent, Unknown<'static>>::from_napi_value(raw.env, raw.value) };
    function
        .and_then(|it| Events::new(&it))
        .map_err(|_| wrong())
}

#[napi(js_name = "Engine")]
pub struct NativeEngine {
    running: Option<Running>,
}

#[napi]
impl NativeEngine {
    #[napi(constructor)]
    pub fn new(env: Env, options: Unknown<'_>, on_event: Unknown<'_>) -> Result<Self> {
        let path = Path::root("options");
        let running = Running::start(Value::new(options, &path), on_event);
        let running = Some(running.map_err(|error| to_js(&env, &error))?);
        Ok(Self { running })
    }

    #[napi]
    pub fn start<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.promise(env, Ok(()), |engine, ()| engine.start())
    }

    #[napi]
    pub fn enrol<'env>(&self, env: &'env Env, pod: Unknown<'env>) -> Result<Object<'env>> {
        let pod = read(pod, "pod", input::pod_spec);
        self.promise(env, pod, |engine, pod| engine.enrol(pod))
    }

    #[napi]
    pub fn unenrol<'env>(&self, env: &'env Env, uid: Unknown<'env>) -> Result<Object<'env>> {
        let uid = read(uid, "uid", |value| value.string());
        self.promise(env, uid, |engine, uid| engine.unenrol(&uid))
    }

    #[napi]
    pub fn forget<'env>(&self, env: &'env Env, uid: Unknown<'env>) -> Result<Object<'env>> {
        let uid = read(uid, "uid", |value| value.string());
        self.promise(env, uid, |engine, uid| engine.forget(&uid))
    }

    #[napi]
    pub fn set_identity(&self, env: Env, certificate: Unknown<'_>) -> Result<()> {
        let read = || read(certificate, "certificate", input::identity_certificate);
        self.at_once(&env, |engine| engine.set_identity(read()?))
    }

    #[napi]
    pub fn remove_identity(&self, env: Env, spiffe_id: Unknown<'_>) -> Result<()> {
        let read = || read(spiffe_id, "spiffeId", |value| value.string());
        self.at_once(&env, |engine| engine.remove_identity(&read()?))
    }

    #[napi]
    pub fn set_workloads(&self, env: Env, descriptors: Unknown<'_>) -> Result<()> {
        let read = || read_list(descriptors, "descriptors", input::workload_descriptor);
        self.at_once(&env, |engine| engine.set_workloads(read()?))
    }

    #[napi]
    pub fn remove_workloads(&self, env: Env, uids: Unknown<'_>) -> Result<()> {
        let read = || read_list(uids, "uids", |value| value.text());
        self.at_once(&env, |engine| engine.remove_workloads(&read()?))
    }

    #[napi]
    pub fn set_services(&self, env: Env, descriptors: Unknown<'_>) -> Result<()> {
        let read = || read_list(descriptors, "descriptors", input::service_descriptor);
        self.at_once(&env, |engine| engine.set_services(read()?))
    }

    #[napi]
    pub fn remove_services(&self, env: Env, keys: Unknown<'_>) -> Result<()> {
        let read = || read_list(keys, "keys", |value| value.text());
        self.at_once(&env, |engine| engine.remove_services(&read()?))
    }

    #[napi]
    pub fn set_endpoint_set(&self, env: Env, set: Unknown<'_>) -> Result<()> {
        let read = || read(set, "set", input::endpoint_set);
        self.at_once(&env, |engine| engine.set_endpoint_set(read()?))
    }

    #[napi]
    pub fn remove_endpoint_set(&self, env: Env, id: Unknown<'_>) -> Result<()> {
        let read = || read(id, "id", |value| value.string());
        self.at_once(&env, |engine| engine.remove_endpoint_set(&read()?))
    }

    #[napi]
    pub fn set_names(&self, env: Env, records: Unknown<'_>) -> Result<()> {
        let read = || read_list(records, "records", input::name_record);
        self.at_once(&env, |engine| engine.set_names(read()?))
    }

    #[napi]
    pub fn remove_names(&self, env: Env, keys: Unknown<'_>) -> Result<()> {
        let read = || read_list(keys, "keys", |value| value.text());
        self.at_once(&env, |engine| engine.remove_names(&read()?))
    }

    #[napi]
    pub fn answer(&self, env: Env, answers: Unknown<'_>) -> Result<()> {
        let read = || read_list(answers, "answers", input::answer);
        self.at_once(&env, |engine| engine.answer(read()?))
    }

    #[napi]
    pub fn invalidate(&self, env: Env, generation: Unknown<'_>, keys: Unknown<'_>) -> Result<()> {
        self.at_once(&env, |engine| {
            let generation = read(generation, "generation", |value| value.integer(u64::MAX))?;
            let keys = read_list(keys, "keys", |value| value.text())?;
            engine.invalidate(generation, &keys)
        })
    }

    #[napi]
    pub fn flows<'env>(
        &self,
        env: &'env Env,
        pod: Unknown<'_>,
        after: Unknown<'_>,
        limit: Unknown<'_>,
    ) -> Result<Vec<Object<'env>>> {
        let flows = self.at_once(env, |engine| {
            let (pod, after, limit) = page(pod, after, limit)?;
            engine.flows(&pod, after, limit)
        })?;
        flows.into_iter().map(|flow| flow.encode(env)).collect()
    }

    #[napi]
    pub fn inbound_flows<'env>(
        &self,
        env: &'env Env,
        pod: Unknown<'_>,
        after: Unknown<'_>,
        limit: Unknown<'_>,
    ) -> Result<Object<'env>> {
        let flows = self.at_once(env, |engine| {
            let (pod, after, limit) = page(pod, after, limit)?;
            engine.inbound_flows(&pod, after, limit)
        })?;
        flows.encode(env)
    }

    #[napi]
    pub fn close_inbound_flows(
        &self,
        env: Env,
        pod: Unknown<'_>,
        ids: Unknown<'_>,
        reason: Unknown<'_>,
    ) -> Result<f64> {
        self.at_once(&env, |engine| {
            let pod = read(pod, "pod", |value| value.string())?;
            let ids = read_list(ids, "ids", |value| value.integer(u64::MAX))?;
            let reason = read(reason, "reason", |value| value.string())?;
            let closed = engine.close_inbound_flows(&pod, &ids, &reason)?;
            Ok(count(closed))
        })
    }

    #[napi]
    pub fn set_access_log_filter(&self, env: Env, filter: Unknown<'_>) -> Result<()> {
        let read = || read(filter, "filter", input::access_log_filter);
        self.at_once(&env, |engine| engine.set_access_log_filter(read()?))
    }

    #[napi]
    pub fn metrics_text(&self, env: Env) -> Result<String> {
        self.at_once(&env, Engine::metrics_text)
    }

    #[napi]
    pub fn health<'env>(&self, env: &'env Env) -> Result<Object<'env>> {
        self.promise(env, Ok(()), |engine, ()| engine.health())
    }

    #[napi]
    pub fn connect_to_pod<'env>(
        &self,
        env: &'env Env,
        uid: Unknown<'env>,
        port: Unknown<'env>,
    ) -> Result<Object<'env>> {
        let uid = read(uid, "uid", |value| value.string());
        let target = uid.and_then(|uid| Ok((uid, read(port, "port", small)?)));
        self.promise(env, target, |engine, (uid, port)| {
            engine.connect_to_pod(&uid, port)
        })
    }

    #[napi]
    pub fn drain<'env>(&self, env: &'env Env, deadline: Unknown<'env>) -> Result<Object<'env>> {
        let (settle, promise) = Settle::new(env)?;
        let deadline = read(deadline, "deadline", |value| value.integer(u32::MAX.into()));
        let begun = self.running().and_then(|running| {
            let deadline = Duration::from_millis(deadline?);
            Ok((running, running.engine.clone(), deadline))
        });
        match begun {
            Ok((running, engine, deadline)) => {
                let work = move || settle.with(guarded(|| engine.drain(deadline)));
                let thread = spawn("ambit-drain", work).map_err(|error| to_js(env, &error))?;
                let drains = running.drains.lock();
                drains.unwrap_or_else(PoisonError::into_inner).push(thread);
            }
            Err(error) => settle.with(Err(error)),
        }
        Ok(promise)
    }

    #[napi]
    pub fn stop<'env>(&mut self, env: &'env Env) -> Result<Object<'env>> {
        let (settle, promise) = Settle::new(env)?;
        match self.running.take() {
            Some(running) => running.stop(settle),
            None => settle.with(Err(stopped())),
        }
        Ok(promise)
    }
}

impl NativeEngine {
    fn running(&self) -> Outcome<&Running> {
        self.running.as_ref().ok_or_else(stopped)
    }

    /// Runs a call that does not block on JavaScript's thread.
    fn at_once<T>(&self, env: &Env, call: impl FnOnce(&Engine) -> Outcome<T>) -> Result<T> {
        let outcome = self
            .running()
            .and_then(|running| guarded(|| call(&running.engine)));
        outcome.map_err(|error| to_js(env, &error))
    }

    /// Runs a call that may block on the control thread. Every error is a rejection, also that of an argument.
    fn promise<'env, A, T>(
        &self,
        env: &'env Env,
        argument: Outcome<A>,
        call: impl FnOnce(&Engine, A) -> Outcome<T> + Send + 'static,
    ) -> Result<Object<'env>>
    where
        A: Send + 'static,
        T: Encode + Send + 'static,
    {
        let (settle, promise) = Settle::new(env)?;
        match self.running().and_then(|running| Ok((running, argument?))) {
            Ok((running, argument)) => {
                let engine = running.engine.clone();
                let job = move || settle.with(guarded(|| call(&engine, argument)));
                running.control.run(Box::new(job));
            }
            Err(error) => settle.with(Err(error)),
        }
        Ok(promise)
    }
}

impl Running {
    fn stop(self, settle: Settle<()>) {
        let Self {
            engine,
            control,
            drains,
        } = self;
        control.finish(move |control| {
            // It ends a drain's wait, whose thread is then joined without delay.
            let stopped = guarded(|| engine.stop());
            for drain in drains.into_inner().unwrap_or_else(PoisonError::into_inner) {
                // It reports its own failure.
                let _ = drain.join();
            }
            drop(engine);
            // The control thread ends with this call, so that the join waits for no work.
            settle.with_last(stopped, || drop(control.join()));
        });
    }
}

fn stopped() -> EngineError {
    illegal_state("the engine is stopped; construct another one")
}

fn read<T>(value: Unknown<'_>, name: &str, read: impl Fn(Value<'_>) -> Read<T>) -> Read<T> {
    let path = Path::root(name);
    read(Value::new(value, &path))
}

/// Whose flows, behind which id, and how many.
fn page(pod: Unknown<'_>, after: Unknown<'_>, limit: Unknown<'_>) -> Read<(String, u64, usize)> {
    let pod = read(pod, "pod", |value| value.string())?;
    let after = read(after, "after", |value| value.integer(u64::MAX))?;
    let limit: u32 = read(limit, "limit", small)?;
    Ok((pod, after, limit as usize))
}

fn read_list<T>(
    value: Unknown<'_>,
    name: &str,
    element: impl Fn(Value<'_>) -> Read<T>,
) -> Read<Vec<T>> {
    read(value, name, |value| value.list(&element))
}

#[napi]
pub fn detach(
    env: Env,
    node: Unknown<'_>,
    bpffs: Unknown<'_>,
    cgroup_root: Unknown<'_>,
    host_proc: Unknown<'_>,
) -> Result<Vec<String>> {
    let detached = read(node, "node", |value| value.string()).and_then(|node| {
        let bpffs = read(bpffs, "bpffs", |value| value.string())?;
        let cgroup_root = read(cgroup_root, "cgroupRoot", |value| value.string())?;
        let host_proc = read(host_proc, "hostProc", |value| value.string())?;
        let (bpffs, cgroup_root) = (FilePath::new(&bpffs), FilePath::new(&cgroup_root));
        guarded(|| detach_node(&node, bpffs, cgroup_root, FilePath::new(&host_proc)))
    });
    detached.map_err(|error| to_js(&env, &error))
}
