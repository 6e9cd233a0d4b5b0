//! One binary with every client, server and eavesdropper that the tests, the demo and the benchmark need, so that they
//! stand on nothing that a fresh machine lacks. Results are JSON, one object a line.
//!
//! Exit status: 0 when everything asked for succeeded, 1 when traffic failed, 2 when the arguments make no sense.

mod address;
mod adversary;
mod args;
mod call;
mod capture;
mod connection;
mod fetch;
mod histogram;
mod hold;
mod idle;
mod names;
mod pingpong;
mod report;
mod scan;
mod serve;
mod storm;
mod stream;
mod system;
mod uring;
mod watch;
mod workers;

use std::process::ExitCode;

use args::{Arguments, Usage};

/// What a subcommand ends with: whether all that it was asked to do succeeded, or how it was asked wrongly.
pub type Outcome = Result<bool, Usage>;

struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(Arguments) -> Outcome,
}

const COMMANDS: &[Command] = &[
    Command {
        name: "serve",
        help: serve::HELP,
        run: serve::run,
    },
    Command {
        name: "call",
        help: call::HELP,
        run: call::run,
    },
    Command {
        name: "hold",
        help: hold::HELP,
        run: hold::run,
    },
    Command {
        name: "fetch",
        help: fetch::HELP,
        run: fetch::run,
    },
    Command {
        name: "storm",
        help: storm::HELP,
        run: storm::run,
    },
    Command {
        name: "pingpong",
        help: pingpong::HELP,
        run: pingpong::run,
    },
    Command {
        name: "stream",
        help: stream::HELP,
        run: stream::run,
    },
    Command {
        name: "names",
        help: names::HELP,
        run: names::run,
    },
    Command {
        name: "idle",
        help: idle::HELP,
        run: idle::run,
    },
    Command {
        name: "capture",
        help: capture::HELP,
        run: capture::run,
    },
    Command {
        name: "scan",
        help: scan::HELP,
        run: scan::run,
    },
    Command {
        name: "spoof",
        help: adversary::SPOOF_HELP,
        run: adversary::spoof,
    },
    Command {
        name: "claim",
        help: adversary::CLAIM_HELP,
        run: adversary::claim,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next().unwrap_or_default();
    if matches!(name.as_str(), "" | "help" | "--help" | "-h") {
        print_help();
        return if name.is_empty() {
            ExitCode::from(2)
        } else {
            ExitCode::SUCCESS
        };
    }
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("ambit-testkit: no subcommand `{name}`; `ambit-testkit help` lists them");
        return ExitCode::from(2);
    };
    let outcome = Arguments::parse(words).and_then(|arguments| (command.run)(arguments));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(usage) => {
            eprintln!(
                "ambit-testkit {name}: {usage}\nusage: ambit-testkit {}",
                command.help
            );
            ExitCode::from(2)
        }
    }
}

fn print_help() {
    println!(
        "usage: ambit-testkit SUBCOMMAND …   (addresses: 10.0.0.1:80, [fd00::1]:80, port ranges 10.0.0.1:9000-9999)\n"
    );
    println!("  {}\n", connection::HELP);
    for command in COMMANDS {
        println!("  {}\n", command.help);
    }
}
