//! A chained CNI plugin that holds a pod's start back until the node's agent has it in the mesh. `docs/cni.md` has its
//! configuration, and the agent's side of the conversation.

mod agent;
mod commands;
mod configuration;
mod environment;
mod error;
mod membership;

use std::{
    env,
    io::{self, Read},
    process::ExitCode,
};

use error::{Code, Failure};

/// Room for a garbage collection that names every pod of a crowded node.
const LARGEST_INPUT: u64 = 4 << 20;

fn main() -> ExitCode {
    let (input, outcome) = match read_input() {
        Ok(input) => {
            let outcome = commands::run(&|name| env::var(name).ok(), &input);
            (input, outcome)
        }
        Err(failure) => (Vec::new(), Err(failure)),
    };
    match outcome {
        Ok(Some(result)) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Ok(None) => ExitCode::SUCCESS,
        Err(failure) => {
            println!("{}", failure.to_json(&commands::version_of(&input)));
            ExitCode::FAILURE
        }
    }
}

fn read_input() -> Result<Vec<u8>, Failure> {
    let mut input = Vec::new();
    io::stdin()
        .take(LARGEST_INPUT)
        .read_to_end(&mut input)
        .map_err(|error| {
            Failure::new(
                Code::NotDecodable,
                format!("standard input cannot be read: {error}"),
                "the container runtime writes the network configuration there",
            )
        })?;
    Ok(input)
}
