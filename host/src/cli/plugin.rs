//! `pliant plugin …`: what was typed.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};
use pliant_plugin::{Way, World};
use serde_json::Value;

use crate::plugins::GuestWords;

const EXAMPLES: &str = "\
Examples:
  pliant plugin new my_head --world head --language rust
  pliant plugin check my_head/plugin.toml --seal
  pliant plugin inspect my_head/plugin.toml
  pliant plugin run my_head/plugin.toml embeddings.npz --out predictions.tsv
  pliant plugin run sov/plugin.toml predictions.tsv --labels labels.tsv --out scores.json
  pliant plugin bench my_head/plugin.toml embeddings.npz

A plugin is a head (embeddings to predictions) or a metric (predictions and labels to numbers) as WebAssembly, with a
manifest plugin.toml. It has no files, clock, network or randomness; its memory, time and answers are limited:
--limit memory_mib=512 allows more of one thing. Names of limits: memory_mib, call_ms, fuel, output_mib, batch_mib,
table_elements, file_mib, functions, function_kib, locals, nesting, instances, compile_ms, compile_mib.";

/// The words after `pliant plugin`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PluginArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: PluginAction,
}

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginAction {
    /// Begin a plugin: a folder with source, contract and manifest
    New(NewArgs),
    /// Try a plugin out on made-up numbers, and say whether it keeps the contract
    Check(CheckArgs),
    /// Say what a plugin is, without running it
    Inspect(InspectArgs),
    /// Run a head over stored embeddings, or a metric over predictions and labels
    Run(RunArgs),
    /// Tell how long a plugin takes
    Bench(BenchArgs),
    /// Compile what comes on standard input: what this program asks itself to do
    #[command(hide = true)]
    Compile,
}

/// Which plugin, what it is told and how much it may take.
#[derive(Debug, Args)]
pub struct GuestArgs {
    /// The manifest of the plugin
    #[arg(value_name = "PLUGIN.TOML")]
    pub manifest: PathBuf,
    /// What it is told and how much it may take.
    #[command(flatten)]
    pub flags: GuestFlags,
}

/// What a plugin is told and how much it may take.
#[derive(Debug, Clone, Default, Args)]
pub struct GuestFlags {
    /// Set a key of the plugin's own configuration, as JSON or as text; repeatable
    #[arg(long, env = "PLIANT_SET", value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, Value)>,
    /// Allow the plugin more of one thing, or less; repeatable
    #[arg(long, env = "PLIANT_LIMIT", value_name = "NAME=NUMBER", value_parser = limit)]
    pub limit: Vec<(String, u64)>,
    /// Count instructions, so that the plugin is stopped at the same place on every machine
    #[arg(long, env = "PLIANT_DETERMINISTIC", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub deterministic: bool,
}

impl GuestFlags {
    /// Whether anything was said.
    pub fn says_something(&self) -> bool {
        !self.set.is_empty() || !self.limit.is_empty() || self.deterministic
    }

    /// What was said, to the one plugin that there is.
    pub fn words(&self) -> GuestWords {
        GuestWords {
            config: self.set.iter().cloned().collect(),
            limits: self.limit.iter().cloned().collect(),
            deterministic: self.deterministic,
        }
    }

    /// What was said to the plugin of a name: everything to the only one, else keys that begin with its name and a dot.
    pub fn words_to(&self, name: &str, is_only: bool) -> GuestWords {
        if is_only {
            return self.words();
        }
        let own = |(key, value): &(String, Value)| {
            let key = key.strip_prefix(name)?.strip_prefix('.')?;
            Some((key.to_owned(), value.clone()))
        };
        GuestWords { config: self.set.iter().filter_map(own).collect(), ..self.words() }
    }
}

/// The words after `pliant plugin new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// The folder to make, named as the plugin; it must not exist or be empty
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// What kind of plugin
    #[arg(
        long,
        env = "PLIANT_WORLD",
        value_name = "KIND",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What kind of plugin: head or metric"
    )]
    pub world: NewWorld,
    /// In which language
    #[arg(
        long,
        env = "PLIANT_LANGUAGE",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "In which language: rust or c"
    )]
    pub language: NewLanguage,
}

/// Kinds of plugins, as they are typed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NewWorld {
    /// From embeddings to predictions.
    #[default]
    Head,
    /// From predictions and labels to numbers.
    Metric,
}

impl NewWorld {
    /// Its world in the contract.
    pub fn world(self) -> World {
        match self {
            Self::Head => World::Head,
            Self::Metric => World::Metric,
        }
    }
}

/// Languages that a plugin can be begun in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum NewLanguage {
    /// Rust with wit-bindgen.
    #[default]
    Rust,
    /// C without a library.
    C,
}

/// The words after `pliant plugin check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Which plugin, what it is told and how much it may take.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Write the SHA-256 of its files, as they are now, into the manifest first
    #[arg(long, env = "PLIANT_SEAL", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub seal: bool,
}

/// The words after `pliant plugin inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// The manifest of a plugin, or a file of WebAssembly
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Write one JSON object instead of text
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

/// The words after `pliant plugin run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Which plugin, what it is told and how much it may take.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// For a head: embeddings of 'pliant embed', pooled or per residue, of any format; for a metric: predictions, a .tsv or .csv with a column id
    #[arg(value_name = "INPUT")]
    pub input: PathBuf,
    /// Where the answers go: .tsv or .parquet for a head, .json for a metric
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE")]
    pub out: PathBuf,
    /// For a metric: the labels, a .tsv or .csv with the ids (and positions) of the predictions
    #[arg(long, env = "PLIANT_LABELS", value_name = "FILE")]
    pub labels: Option<PathBuf>,
}

/// The words after `pliant plugin bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Which plugin, what it is told and how much it may take.
    #[command(flatten)]
    pub guest: GuestArgs,
    /// Pooled embeddings of 'pliant embed' [default: made-up numbers]
    #[arg(value_name = "INPUT")]
    pub input: Option<PathBuf>,
    /// How many made-up vectors
    #[arg(long, env = "PLIANT_ROWS", value_name = "N", default_value_t = 10_000)]
    pub rows: usize,
    /// Numbers of a made-up vector, where the plugin takes any
    #[arg(long, env = "PLIANT_WIDTH", value_name = "N", default_value_t = 1280)]
    pub width: usize,
}

/// `KEY=VALUE`: what is no JSON is text.
pub(crate) fn setting(text: &str) -> Result<(String, Value), String> {
    let (key, value) = text.split_once('=').ok_or_else(|| format!("found {text:?}, wanted KEY=VALUE"))?;
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((key.trim().to_owned(), value))
}

/// `NAME=NUMBER`.
pub(crate) fn limit(text: &str) -> Result<(String, u64), String> {
    let wanted = || format!("found {text:?}, wanted NAME=NUMBER, as memory_mib=512");
    let (name, number) = text.split_once('=').ok_or_else(wanted)?;
    Ok((name.trim().to_owned(), number.trim().parse().map_err(|_| wanted())?))
}

/// What a head is asked about, as it is typed.
pub(crate) fn way_named(name: &str) -> Result<Way, String> {
    let names = || Way::ALL.map(Way::name).join(", ");
    Way::ALL.into_iter().find(|way| way.name() == name).ok_or_else(|| format!("known are {}", names()))
}
