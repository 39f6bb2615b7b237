//! What was typed. One file per task: its flags, and how they become a validated plan.
//!
//! Every flag can also be set by an environment variable: `--max-residues` by `PLIANT_MAX_RESIDUES`. The command
//! line wins, and a variable that is set to nothing counts as one that is not set.

pub mod adapter;
pub mod align;
pub mod cache;
pub mod contacts;
pub mod doctor;
pub mod embed;
pub mod evaluate;
pub mod finetune;
pub mod gather;
pub mod head;
pub mod kernels;
pub mod leakage;
pub mod logits;
pub mod model;
pub mod perplexity;
pub mod plot;
pub mod plugin;
pub mod predict;
pub mod pretrain;
pub mod print;
pub mod pull;
pub mod reading;
pub mod screen;
pub mod shared;
pub mod split;
pub mod sweep;
pub mod variants;

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::cli::print::LogFormat;
use crate::exit::{Code, Outcome};

const EXAMPLES: &str = "\
Examples:
  pliant embed proteins.fasta --model esm2_t6_8M --out embeddings.npz
  zcat proteome.fa.gz | pliant embed - --model esm2_t6_8M --out pooled.tsv --pool cls
  pliant model inspect esm2_t6_8M
  pliant doctor

Every flag can be set by an environment variable too: --max-residues by PLIANT_MAX_RESIDUES.
An empty variable counts as one that is not set.
Exit codes: 0 done, 2 usage, 65 bad data, 66 missing input, 69 device, 70 internal fault,
74 input or output, 75 try again, 137 out of memory.";

/// What clap calls the answers that are help.
const SHOWS_HELP: [ErrorKind; 2] =
    [ErrorKind::DisplayHelp, ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand];

/// Place in the help of the flags that every command has: after its own.
const MESSAGES: usize = 900;

/// Protein language models: inference, adaptation and training
#[derive(Debug, Parser)]
#[command(name = "pliant", version, after_help = EXAMPLES, max_term_width = 110)]
struct Line {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// Say nothing but errors
    #[arg(long, global = true, display_order = MESSAGES, env = "PLIANT_QUIET", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    quiet: bool,
    /// How messages on standard error are written
    #[arg(long, global = true, display_order = MESSAGES, env = "PLIANT_LOG_FORMAT", value_enum, default_value_t,
          value_name = "FORMAT", hide_possible_values = true,
          help = "How messages on standard error are written: text or json (one object a line)")]
    log_format: LogFormat,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Turn proteins into vectors
    Embed(Box<embed::EmbedArgs>),
    /// Tell the probability of every amino acid in every place
    Logits(Box<logits::LogitsArgs>),
    /// Tell how well a model knows proteins
    Perplexity(Box<perplexity::PerplexityArgs>),
    /// Tell what a model can do
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Tell what was taught, of proteins
    Predict(Box<predict::PredictArgs>),
    /// Score pairs of many proteins and keep the best
    Screen(Box<screen::ScreenArgs>),
    /// Score mutants of proteins
    Variants(Box<variants::VariantsArgs>),
    /// Tell which residues of proteins touch
    Contacts(Box<contacts::ContactsArgs>),
    /// Tell how alike two proteins are, residue by residue
    Align(Box<align::AlignArgs>),
    /// Train a model on proteins
    Pretrain(Box<pretrain::PretrainArgs>),
    /// Teach a task with examples
    Finetune(Box<finetune::FinetuneArgs>),
    /// Teach a task with every combination of some settings
    Sweep(Box<sweep::SweepArgs>),
    /// Tell what a test shares with a training
    Leakage(Box<leakage::LeakageArgs>),
    /// Draw logs of training
    Plot(plot::PlotArgs),
    /// Cut proteins into shards that can be embedded apart
    Split(split::SplitArgs),
    /// Join the results for shards into that for the whole
    Gather(gather::GatherArgs),
    /// Fetch, look at, check, make or copy model folders
    Model(model::ModelArgs),
    /// Make heads of those of other training code
    Head(head::HeadArgs),
    /// Look at adapters, or add them to their models
    Adapter(adapter::AdapterArgs),
    /// Count, check, merge or shrink a cache
    Cache(cache::CacheArgs),
    /// Begin, check, look at, run and time plugins
    Plugin(plugin::PluginArgs),
    /// Compile CUDA kernels ahead of their use
    Kernels(kernels::KernelsArgs),
    /// Say what this machine has to offer
    Doctor(doctor::DoctorArgs),
}

/// What holds for every command.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How messages are written.
    pub log_format: LogFormat,
    /// Errors only.
    pub quiet: bool,
    /// The words of the command line.
    pub command_line: Vec<String>,
}

/// Reads the command line and the environment.
///
/// # Errors
/// How to end instead, after help, version or what is wrong has been printed.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<(Settings, Command), Outcome> {
    let words: Vec<OsString> = words.into_iter().collect();
    let command_line = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let read = |grammar: clap::Command| {
        let matches = grammar.try_get_matches_from(&words);
        matches.and_then(|matches| {
            Line::from_arg_matches(&matches).map_err(|error| error.format(&mut self::grammar()))
        })
    };
    let line = match read(without_empty(grammar())) {
        // Help names the variable of every flag, whatever the environment is.
        Err(help) if SHOWS_HELP.contains(&help.kind()) => read(grammar()),
        line => line,
    };
    match line {
        Ok(Line { common, command }) => {
            let Common { quiet, log_format } = common;
            Ok((Settings { log_format, quiet, command_line }, command))
        }
        Err(answer) => {
            print::usage(&answer);
            Err(if answer.use_stderr() { Outcome::Failed(Code::Usage) } else { Outcome::Done })
        }
    }
}

/// The grammar of the command line. Help must not depend on the environment, so values in it are not shown.
fn grammar() -> clap::Command {
    fn quiet(command: clap::Command) -> clap::Command {
        command.mut_args(|arg| arg.hide_env_values(true)).mut_subcommands(quiet)
    }
    quiet(Line::command())
}

/// The same, but that variables which are set to nothing are not looked at.
fn without_empty(command: clap::Command) -> clap::Command {
    let is_empty =
        |arg: &clap::Arg| arg.get_env().and_then(std::env::var_os).is_some_and(|value| value.is_empty());
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(None::<&'static str>) } else { arg })
        .mut_subcommands(without_empty)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls `look` for every command below `command`.
    fn each(command: &clap::Command, look: &mut dyn FnMut(&clap::Command)) {
        look(command);
        command.get_subcommands().for_each(|below| each(below, look));
    }

    #[test]
    fn the_grammar_is_sound() {
        grammar().debug_assert();
    }

    #[test]
    fn every_flag_has_the_variable_of_its_name() {
        let mut flags = 0;
        each(&grammar(), &mut |command| {
            for arg in command.get_arguments() {
                let Some(long) = arg.get_long() else { continue };
                // A hidden flag is there to be refused with a reason; a variable meant for others must not do that.
                if ["help", "version"].contains(&long) || arg.is_hide_set() {
                    continue;
                }
                let wanted = format!("PLIANT_{}", long.to_uppercase().replace('-', "_"));
                let found = arg.get_env().map(|name| name.to_string_lossy().into_owned());
                assert_eq!(found, Some(wanted), "--{long} of {}", command.get_name());
                flags += 1;
            }
        });
        assert!(flags > 20, "{flags}");
    }

    #[test]
    fn no_flag_takes_a_variable_that_means_something_else() {
        each(&grammar(), &mut |command| {
            for arg in command.get_arguments() {
                let name = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                assert!(!["PLIANT_MODELS", "PLIANT_TEST_DATA"].contains(&name.as_str()));
                // Whoever sets it for all tasks means one cache, whatever the command.
                let is_cache = arg.get_value_names().is_some_and(|names| names[0] == "FILE");
                assert!(name != "PLIANT_CACHE" || is_cache, "--cache of {}", command.get_name());
            }
        });
    }
}
