//! `pliant doctor`: what was typed.

use clap::{ArgAction, Args};

const EXAMPLES: &str = "\
Examples:
  pliant doctor
  pliant doctor --json | jq .threads";

/// The words after `pliant doctor`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DoctorArgs {
    /// Write one JSON object instead of text
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}
