//! Protein language models: inference, adaptation and training. The program.
//!
//! | module | what it knows |
//! |---|---|
//! | [`cli`] | flags: what was typed becomes a validated plan, and the only place that prints |
//! | [`tasks`] | one recipe per command |
//! | [`pipeline`] | order of work: reader, packer, device worker, ordered writer |
//! | [`device`] | where a run computes: the device that is there or was asked for, and its share of a GPU |
//! | [`engine`] | the only place where a model meets records |
//! | [`eval`] | how well a task is done: measures, intervals, baselines |
//! | [`supervised`] | tasks with labels: their table, examples, losses, heads on disk |
//! | [`screen`] | scores of all pairs of many proteins: blocks, the best of each, calibration, parts and checkpoints |
//! | [`train`] | training: configuration, order of the steps, checkpoints, log |
//! | [`hub`] | models of a hub: names, the model store, checked downloads, locks |
//! | [`plugins`] | guests: where what was compiled lies, and who compiles |
//! | [`machine`] | memory, threads, file systems and drivers of this machine |
//! | [`exit`] | what happened to exit code |

pub mod cli;
pub mod device;
pub mod engine;
pub mod eval;
pub mod exit;
pub mod hub;
#[cfg(test)]
mod kill;
pub mod machine;
pub mod pipeline;
pub mod plugins;
pub mod screen;
pub mod supervised;
pub mod tasks;
pub mod train;

use crate::cli::print::Printer;
use crate::cli::{Command, Settings};
use crate::exit::Outcome;

/// What every task is given beside its plan.
pub struct Context {
    /// The only way to say something.
    pub print: Printer,
    /// The words of the command line, for provenance.
    pub command_line: Vec<String>,
}

/// Runs one command to its end. Whatever goes wrong has been reported when this returns.
pub fn run(settings: &Settings, command: Command) -> Outcome {
    let print = Printer::new(settings.log_format, settings.quiet);
    let context = Context { print, command_line: settings.command_line.clone() };
    match tasks::run(command, &context) {
        Ok(()) => Outcome::Done,
        Err(error) if exit::reader_left(&error) => Outcome::Done,
        Err(error) => {
            let report = exit::report(&error);
            context.print.error(&report);
            Outcome::Failed(report.code)
        }
    }
}
