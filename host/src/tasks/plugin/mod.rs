//! `pliant plugin …`: begin, check, look at, run and time plugins.

mod bench;
mod check;
mod inspect;
mod new;
mod run;
mod score;

use std::io;

use anyhow::Result;
use pliant_plugin::{LogLevel, LogLine};

use crate::Context;
use crate::cli::plugin::PluginAction;

/// Does one of them.
///
/// # Errors
/// Whatever keeps a plugin out or stops it, and what the system says to files.
pub fn run(action: PluginAction, context: &Context) -> Result<()> {
    match action {
        PluginAction::New(args) => new::run(&args, context),
        PluginAction::Check(args) => check::run(&args, context),
        PluginAction::Inspect(args) => inspect::run(&args, context),
        PluginAction::Run(args) => run::run(&args, context),
        PluginAction::Bench(args) => bench::run(&args, context),
        PluginAction::Compile => {
            let mut verdict = Vec::new();
            pliant_plugin::serve(io::stdin().lock(), &mut verdict)?;
            Ok(context.print.data(&String::from_utf8_lossy(&verdict))?)
        }
    }
}

/// Passes on what a plugin has written.
pub(super) fn pass_on(log: &[LogLine], name: &str, context: &Context) {
    for line in log {
        let text = format!("{name}: {}", line.message);
        match line.level {
            LogLevel::Debug => {}
            LogLevel::Info => context.print.note(&text),
            LogLevel::Warning | LogLevel::Error => context.print.warning(&text),
        }
    }
}
