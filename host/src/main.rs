//! The `pliant` binary: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    match pliant::cli::parse(std::env::args_os()) {
        Ok((settings, command)) => pliant::run(&settings, command).into(),
        Err(answered) => answered.into(),
    }
}
