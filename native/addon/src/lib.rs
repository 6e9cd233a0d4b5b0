//! The engine as a Node addon: converts values, keeps the rules of the boundary, decides nothing. `src/native/binding.ts`
//! declares what is exported here.

mod control;
mod engine;
mod error;
mod events;
mod input;
mod output;
mod promise;
mod read;
