//! Which processes are engines of this node: their sockets are left alone, and the newest of them repairs.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use aya::maps::{Array, MapData};

use crate::abi::{ENGINE_SLOTS, Engine};
use crate::bpf;
use crate::error::{InterceptError, system};
use crate::hooks::load_error;

/// This process's place among the node's engines.
pub(crate) struct Registration {
    engines: Array<MapData, Engine>,
    own: Engine,
}

impl Registration {
    /// Runs the program that enters this process.
    pub fn make(program: OwnedFd, engines: Array<MapData, Engine>) -> Result<Self, InterceptError> {
        let own = register(program, &engines)?;
        Ok(Self { engines, own })
    }

    /// Whether nobody has registered after us: an older process must not repair what its successor takes away.
    pub fn is_newest(&self) -> bool {
        (0..ENGINE_SLOTS)
            .filter_map(|slot| self.engines.get(&slot, 0).ok())
            .all(|engine| engine.order <= self.own.order)
    }
}

/// Takes the slot of nobody or of the earliest process. Slots of the dead do no harm: no process is born twice.
fn register(program: OwnedFd, engines: &Array<MapData, Engine>) -> Result<Engine, InterceptError> {
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
    Ok(own)
}
