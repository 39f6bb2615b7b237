//! One recipe per command, in the order of the work.

pub mod adapter;
pub mod align;
mod asked;
pub mod cache;
pub mod contacts;
pub mod doctor;
mod dry_run;
pub mod embed;
mod encode;
pub mod evaluate;
mod files;
pub mod finetune;
pub mod gather;
pub mod head;
mod intake;
pub mod kernels;
pub mod leakage;
pub mod logits;
pub mod model;
pub mod perplexity;
pub mod plot;
pub mod plugin;
pub mod predict;
pub mod pretrain;
pub mod pull;
mod run;
pub mod screen;
pub mod split;
pub mod variants;

use crate::Context;
use crate::cli::Command;

/// Runs one command.
///
/// # Errors
/// Whatever ends it.
pub fn run(command: Command, context: &Context) -> anyhow::Result<()> {
    match command {
        Command::Embed(args) => embed::run(&args.plan()?, context),
        Command::Logits(args) => logits::run(&args.plan()?, context),
        Command::Perplexity(args) => perplexity::run(&args.plan()?, context),
        Command::Evaluate(args) => evaluate::run(&args.plan()?, context),
        Command::Screen(args) => screen::run(&args.plan()?, context),
        Command::Variants(args) => variants::run(&args.plan()?, context),
        Command::Contacts(args) => contacts::run(&args.plan()?, context),
        Command::Align(args) => align::run(&args.plan()?, context),
        Command::Predict(args) => predict::run(&args.plan()?, context),
        Command::Pretrain(args) => pretrain::run(&args.plan()?, context),
        Command::Finetune(args) => finetune::run(&args.plan()?, context),
        Command::Sweep(args) => finetune::sweep::run(&args.plan()?, context),
        Command::Leakage(args) => leakage::run(&args.plan()?, context),
        Command::Plot(args) => plot::run(&args.plan()?, context),
        Command::Split(args) => split::run(&args.plan()?, context),
        Command::Gather(args) => gather::run(&args.plan()?, context),
        Command::Model(args) => model::run(args.action, context),
        Command::Head(args) => head::run(args.action, context),
        Command::Adapter(args) => adapter::run(args.action, context),
        Command::Cache(args) => cache::run(args.action, context),
        Command::Plugin(args) => plugin::run(args.action, context),
        Command::Kernels(args) => kernels::run(args.action, context),
        Command::Doctor(args) => doctor::run(&args, context),
    }
}
