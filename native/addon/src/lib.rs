//! The engine as a Node addon: converts values, keeps the rules of the boundary, decides nothing. `src/native/binding.ts`
//! declares what is exported here.

mod control;
#[cfg_attr(
    test,
    allow(dead_code, reason = "exports are registered inside Node only")
)]
mod engine;
mod error;
mod events;
mod input;
mod output;
mod promise;
mod read;
