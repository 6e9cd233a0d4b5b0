//! Which processes are engines of this node: their sockets are left alone, and the newest of them repairs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, MapData};

use crate::abi::{ENGINE_RETIRED, ENGINE_SLOTS, Engine};
use crate::bpf;
use crate::error::{InterceptError, system};
use crate::hooks::load_error;

/// This process's place among the node's engines.
pub(crate) struct Registration {
    engines: Array<MapData, Engine>,
    own: Engine,
    slot: u32,
}

impl Registration {
    /// Runs the program that enters this process.
    pub fn make(program: OwnedFd, engines: Array<MapData, Engine>) -> Result<Self, InterceptError> {
        let (slot, own) = register(program, &engines)?;
        Ok(Self { engines, own, slot })
    }

    /// Whether nobody has registered after us: an older process must not repair what its successor takes away.
    pub fn is_newest(&self) -> bool {
        (0..ENGINE_SLOTS)
            .filter_map(|slot| self.engines.get(&slot, 0).ok())
            .all(|engine| place(&engine) <= self.own.order)
    }

    /// From now on this process takes no new connections, though its own sockets are still left alone. Where it is the newest,
    /// captured pods' connects are refused at once until another process registers.
    pub fn retire(&mut self) -> Result<(), InterceptError> {
        let retired = Engine {
            order: self.own.order | ENGINE_RETIRED,
            ..self.own
        };
        self.engines
            .set(self.slot, retired, 0)
            .map_err(load_error("amb_engines"))
    }
}

/// An engine's place in the order of registration.
fn place(engine: &Engine) -> u32 {
    engine.order & !ENGINE_RETIRED
}

/// Whether the process that took a slot still lives and has not begun its end. Process numbers are those of the caller's own PID namespace: from inside
/// another one nobody is found.
pub(crate) fn is_serving(engine: &Engine) -> bool {
    const NANOSECONDS_PER_TICK: u64 = 10_000_000;
    let status = std::fs::read_to_string(format!("/proc/{}/stat", engine.tgid));
    // proc_pid_stat(5): after the name in parentheses the third field, the state, and the 22nd, the start in ticks.
    let fields = status.unwrap_or_default();
    let mut fields = fields
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace();
    let (state, started) = (fields.next(), fields.nth(18));
    let started = started.and_then(|ticks| ticks.parse::<u64>().ok());
    let dead = matches!(state, None | Some("Z" | "X"));
    engine.order & ENGINE_RETIRED == 0
        && !dead
        && started == Some(engine.start_boottime / NANOSECONDS_PER_TICK)
}

/// Takes the slot of nobody or of the earliest process. Slots of the dead do no harm: no process is born twice.
fn register(
    program: OwnedFd,
    engines: &Array<MapData, Engine>,
) -> Result<(u32, Engine), InterceptError> {
    let read = |engines: &Array<MapData, Engine>, slot: u32| {
        engines.get(&slot, 0).map_err(load_error("amb_engines"))
    };
    let known = (0..ENGINE_SLOTS)
        .map(|slot| read(engines, slot))
        .collect::<Result<Vec<_>, _>>()?;
    let slot = (0..ENGINE_SLOTS)
        .min_by_key(|slot| place(&known[*slot as usize]))
        .unwrap_or_default();
    let order = known.iter().map(place).max().unwrap_or_default() + 1;
    let mut arguments = [
        u64::from(slot).to_ne_bytes(),
        u64::from(order).to_ne_bytes(),
    ]
    .concat();
    let tgid = bpf::test_run(program.as_fd(), &mut arguments, false)
        .map_err(system("registering this process"))?;
    let own = read(engines, slot)?;
    if tgid == 0 || own.tgid != tgid {
        return Err(load_error("amb_register")(io::Error::other(
            "the kernel did not name this process",
        )));
    }
    Ok((slot, own))
}
