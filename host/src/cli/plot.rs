//! `pliant plot`: what was typed, and the plan that it becomes.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args, ValueEnum};
use pliant_store::picture::PictureFormat;
use pliant_store::{Target, check_targets};

use crate::cli::reading::{count, not_an_input, picture_format_named};

const EXAMPLES: &str = "\
Examples:
  pliant plot run --out loss.svg
  pliant plot run_a run_b --out loss.png --x tokens --smooth 20
  pliant plot run_a run_b --out all.svg --y loss,held_out_loss --y learning_rate --y gradient_norm --log-y

Each LOG is the folder of a run of 'pliant pretrain', or a file of JSON lines as its log.jsonl: an object a line, with
numbers under the names that --x and --y ask for. Where a log goes back to an earlier step, as after a run that was
killed and resumed, the later lines stand. Keys of one --y share a panel.";

/// The words after `pliant plot`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PlotArgs {
    /// Folders of runs, or logs of training; '-' is standard input
    #[arg(value_name = "LOG", required = true)]
    logs: Vec<PathBuf>,
    /// Where the picture goes; the suffix names the format: .svg or .png. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE")]
    out: PathBuf,
    /// The format of --out where no suffix names it: svg or png (for a stream: svg)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = picture_format_named)]
    format: Option<PictureFormat>,
    /// What the horizontal axis counts
    #[arg(
        long,
        env = "PLIANT_X",
        value_name = "NAME",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "What the horizontal axis counts: steps, epochs, tokens or seconds"
    )]
    x: Across,
    /// What is drawn, names with commas between; given again, another panel below [default: loss,held_out_loss]
    #[arg(long, env = "PLIANT_Y", value_name = "KEY,...")]
    y: Vec<Keys>,
    /// Draw means of so many points around each, over the points themselves; held-out numbers stay as they are
    #[arg(long, env = "PLIANT_SMOOTH", value_name = "N", value_parser = count::<usize>, default_value_t = 1)]
    smooth: usize,
    /// Equal heights for equal ratios; what is not above zero is left out
    #[arg(long, env = "PLIANT_LOG_Y", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    log_y: bool,
    /// What stands above the picture
    #[arg(long, env = "PLIANT_TITLE", value_name = "TEXT", default_value = "", hide_default_value = true)]
    title: String,
}

/// What the horizontal axis counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Across {
    /// Updates of the parameters.
    #[default]
    Steps,
    /// Passes over the corpus.
    Epochs,
    /// Tokens seen.
    Tokens,
    /// Time of training.
    Seconds,
}

impl Across {
    /// The name on the command line and in pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Steps => "steps",
            Self::Epochs => "epochs",
            Self::Tokens => "tokens",
            Self::Seconds => "seconds",
        }
    }

    /// The name in logs.
    pub fn key(self) -> &'static str {
        match self {
            Self::Steps => "step",
            Self::Epochs => "epoch",
            Self::Tokens => "tokens",
            Self::Seconds => "seconds",
        }
    }
}

/// Names of numbers that share a panel: at least one, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(pub Vec<String>);

impl FromStr for Keys {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut keys: Vec<String> = Vec::new();
        for key in text.split(',').map(str::trim) {
            if key.is_empty() {
                return Err("found an empty name, wanted names with commas between".to_owned());
            }
            if keys.iter().any(|known| known == key) {
                return Err(format!("{key} is named twice"));
            }
            keys.push(key.to_owned());
        }
        Ok(Self(keys))
    }
}

/// What to draw, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct PlotPlan {
    /// Folders of runs, or logs.
    pub logs: Vec<PathBuf>,
    /// The picture.
    pub out: PathBuf,
    /// Its format.
    pub format: PictureFormat,
    /// What the horizontal axis counts.
    pub across: Across,
    /// The keys of each panel, from the top; `None`: what is there of the losses.
    pub panels: Option<Vec<Keys>>,
    /// Points in a mean; 1 draws the points themselves.
    pub smooth: usize,
    /// Whether heights stand for ratios.
    pub log_y: bool,
    /// What stands above.
    pub title: String,
}

impl PlotArgs {
    /// Checks what was typed, as far as that goes without opening a log.
    ///
    /// # Errors
    /// Outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<PlotPlan> {
        let format = match (self.format, PictureFormat::of_path(&self.out)) {
            (Some(format), _) | (None, Ok(format)) => format,
            (None, Err(_)) if Target::resolve(&self.out)?.is_stream() => PictureFormat::Svg,
            (None, Err(unknown)) => return Err(unknown.into()),
        };
        check_targets(&[self.out.as_path()])?;
        not_an_input(&self.logs, &self.out)?;
        Ok(PlotPlan {
            logs: self.logs,
            out: self.out,
            format,
            across: self.x,
            panels: Some(self.y).filter(|panels| !panels.is_empty()),
            smooth: self.smooth,
            log_y: self.log_y,
            title: self.title,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_names_with_commas_between() {
        let keys = |text: &str| text.parse::<Keys>().map(|keys| keys.0);
        assert_eq!(keys("loss, held_out_loss").unwrap(), ["loss", "held_out_loss"]);
        assert!(keys("loss,").unwrap_err().contains("empty"));
        assert!(keys("").is_err());
        assert!(keys("a,b,a").unwrap_err().contains("a is named twice"));
    }
}
