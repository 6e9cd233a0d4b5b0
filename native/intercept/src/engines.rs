//! Which processes are engines of this node: their sockets are left alone, and the newest of them repairs.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use aya::maps::{Array, Map, MapData};

use crate::abi::{ENGINE_SLOTS, Engine};
use crate::bpf;
use crate::error::{InterceptError, system};
use crate::hooks::load_error;
use crate::pins::Pins;

/// This process's place among the node's engines.
pub(crate) struct Registration {
    engines: Array<MapData, Engine>,
    own: Engine,
    /// In the map `serving` for as long as it is open.
    serving: Option<UnixDatagram>,
}

impl Registration {
    /// Runs the program that enters this process, and tells the connect hooks that somebody serves.
    pub fn make(
        program: OwnedFd,
        engines: Array<MapData, Engine>,
        serving: BorrowedFd<'_>,
    ) -> Result<Self, InterceptError> {
        let (slot, own) = register(program, &engines)?;
        let socket = UnixDatagram::unbound()
            .and_then(|socket| bpf::slot_set(serving, slot, socket.as_fd()).map(|()| socket))
            .map_err(system("telling the connect hooks that this process serves"))?;
        Ok(Self {
            engines,
            own,
            serving: Some(socket),
        })
    }

    /// From now on captured connections are refused, unless another process serves.
    pub fn retire(&mut self) {
        self.serving = None;
    }

    /// Whether nobody has registered after us: an older process must not repair what its successor takes away.
    pub fn is_newest(&self) -> bool {
        (0..ENGINE_SLOTS)
            .filter_map(|slot| self.engines.get(&slot, 0).ok())
            .all(|engine| engine.order <= self.own.order)
    }
}

/// Process of the node's newest engine that still runs, as far as this process sees it, and besides itself.
pub(crate) fn running(pins: &Pins) -> Option<u32> {
    let map = Map::from_map_data(MapData::from_pin(pins.map("amb_engines")).ok()?).ok()?;
    let engines = Array::<MapData, Engine>::try_from(map).ok()?;
    (0..ENGINE_SLOTS)
        .filter_map(|slot| engines.get(&slot, 0).ok())
        .filter(|engine| engine.tgid != std::process::id() && is_alive(engine))
        .max_by_key(|engine| engine.order)
        .map(|engine| engine.tgid)
}

/// A number is given again, but not together with the time of birth. proc_pid_stat(5): the state follows the name in
/// brackets, the time of birth is the 20th field from there, in hundredths of a second since boot.
fn is_alive(engine: &Engine) -> bool {
    const NANOSECONDS_PER_TICK: u64 = 10_000_000;
    let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", engine.tgid)) else {
        return false;
    };
    let Some((_, rest)) = stat.rsplit_once(')') else {
        return false;
    };
    let fields = rest.split_whitespace().collect::<Vec<_>>();
    let born = fields
        .get(19)
        .and_then(|ticks| ticks.parse().ok())
        .unwrap_or(0u64);
    let ended = matches!(fields.first(), Some(&"Z" | &"X"));
    !ended && born == engine.start_boottime / NANOSECONDS_PER_TICK
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
        .min_by_key(|slot| known[*slot as usize].order)
        .unwrap_or_default();
    let order = known
        .iter()
        .map(|engine| engine.order)
        .max()
        .unwrap_or_default()
        + 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_birth() {
        let stat = fs::read_to_string("/proc/self/stat").expect("proc is mounted");
        let (_, fields) = stat.rsplit_once(')').expect("the name is in brackets");
        let ticks = fields.split_whitespace().nth(19);
        let ticks = ticks.and_then(|ticks| ticks.parse::<u64>().ok());
        let born = ticks.expect("the time of birth is a number") * 10_000_000 + 1;
        let engine = |start_boottime| Engine {
            tgid: std::process::id(),
            order: 1,
            start_boottime,
        };
        assert!(is_alive(&engine(born)));
        assert!(!is_alive(&engine(born + 10_000_000)));
    }
}
