//! `pliant sweep`: what was typed, and the plan that it becomes.

use std::str::FromStr;

use clap::{ArgAction, Args};

use crate::cli::finetune::{FinetuneArgs, FinetunePlan};
use crate::exit::TaskError;

const EXAMPLES: &str = "\
Examples:
  pliant sweep --grid head.hidden=16,64,256 --grid optimizer.learning_rate=1e-3,1e-2 --task ppi \\
      --train train.tsv --valid valid.tsv --sequences proteins.fasta --model esm2_t6_8M --out sweep
  pliant sweep --grid 'data.label_columns=[ss3],[ss8]' --config secstr.toml --train all.tsv --out sweep --resume

Every combination of the values is a fine-tuning in a folder of its own below --out, with every other flag as 'pliant
finetune' has it. sweep.tsv and sweep.json have a row for each that is done: its values, the measures of the best epoch of
the examples kept apart, parameters, seconds and memory; with --seeds means and deviations. With --resume what is done is
not done again, what was stopped goes on, and a grid may have grown.";

/// Combinations at most.
const MOST_CELLS: usize = 10_000;

/// The words after `pliant sweep`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct SweepArgs {
    /// A key of the configuration with the values to try, with commas between, repeatable; as KEY=1,2 or
    /// 'KEY=[a,b],[c]'
    #[arg(long, env = "PLIANT_GRID", value_name = "KEY=VALUES", required = true)]
    grid: Vec<Axis>,
    /// Write the combinations with their folders to standard output and do nothing
    #[arg(long, env = "PLIANT_LIST", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    list: bool,
    #[command(flatten)]
    finetune: FinetuneArgs,
}

/// A key and the values to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The key.
    pub key: String,
    /// Its values as a configuration has them, at least one.
    pub values: Vec<String>,
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = || format!("found {text:?}, wanted KEY=VALUES, as head.hidden=16,64");
        let (key, values) = text.split_once('=').ok_or_else(wanted)?;
        let values: Vec<String> = apart(values)?.into_iter().map(quoted).collect();
        let mut sorted = values.clone();
        sorted.sort_unstable();
        if let Some(twice) = sorted.windows(2).find(|two| two[0] == two[1]) {
            return Err(format!("{key} has the value {} twice", twice[0]));
        }
        if key.trim().is_empty() || values.iter().any(String::is_empty) {
            return Err(wanted());
        }
        Ok(Self { key: key.trim().to_owned(), values })
    }
}

/// Words between commas that stand in no list and no text.
fn apart(text: &str) -> Result<Vec<&str>, String> {
    let (mut words, mut start, mut depth, mut quote) = (Vec::new(), 0, 0usize, None);
    for (place, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), _) if open == letter => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') => quote = Some(letter),
            (None, '[') => depth += 1,
            (None, ']') => {
                depth = depth.checked_sub(1).ok_or_else(|| format!("found ']' without '[' in {text:?}"))?;
            }
            (None, ',') if depth == 0 => {
                words.push(text[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    if depth > 0 || quote.is_some() {
        return Err(format!("found no end of a list or a text in {text:?}"));
    }
    words.push(text[start..].trim());
    Ok(words)
}

/// A list of bare words with quotes, so that a shell needs none; anything else as it is.
fn quoted(word: &str) -> String {
    let Some(inside) = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')) else {
        return word.to_owned();
    };
    let bare = |item: &str| {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
        let is_value = item.parse::<f64>().is_ok() || item == "true" || item == "false";
        !item.is_empty() && !is_value && item.chars().all(is_word)
    };
    let item = |item: &str| {
        let item = item.trim();
        if bare(item) { format!("\"{item}\"") } else { item.to_owned() }
    };
    format!("[{}]", inside.split(',').map(item).collect::<Vec<_>>().join(", "))
}

/// What to try. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct SweepPlan {
    /// What holds for all.
    pub finetune: FinetunePlan,
    /// What differs.
    pub grid: Vec<Axis>,
    /// Only tell the combinations.
    pub list: bool,
}

impl SweepArgs {
    /// Checks what was typed, as far as that goes without opening anything.
    ///
    /// # Errors
    /// Keys that are named twice, and more combinations than make sense.
    pub fn plan(self) -> anyhow::Result<SweepPlan> {
        let usage = |what: String| TaskError::Usage { what };
        let finetune = self.finetune.plan()?;
        for (place, axis) in self.grid.iter().enumerate() {
            let key = &axis.key;
            if self.grid[..place].iter().any(|other| other.key == *key) {
                return Err(
                    usage(format!("--grid has the key {key} twice: name all its values at once")).into()
                );
            }
            let is_set = |word: &String| word.split_once('=').is_some_and(|(set, _)| set.trim() == key);
            if finetune.sets.iter().any(is_set) || finetune.changes.iter().any(|change| change.key == key) {
                let what = format!("--grid has the key {key}, and another flag sets it: leave that out");
                return Err(usage(what).into());
            }
        }
        let cells = self.grid.iter().try_fold(1usize, |cells, axis| cells.checked_mul(axis.values.len()));
        if cells.is_none_or(|cells| cells > MOST_CELLS) {
            let what = format!("--grid has more than {MOST_CELLS} combinations");
            return Err(usage(what).into());
        }
        if finetune.print_config {
            let what = "--print-config is for 'pliant finetune'; --list writes the combinations".to_owned();
            return Err(usage(what).into());
        }
        Ok(SweepPlan { finetune, grid: self.grid, list: self.list })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stand_between_commas() {
        let axis = |text: &str| text.parse::<Axis>();
        let values = |text: &str| axis(text).unwrap().values;
        assert_eq!(values("head.hidden=16, 64"), ["16", "64"]);
        assert_eq!(values("a.b=[key,value],[1, 2.5],['x']"), ["[\"key\", \"value\"]", "[1, 2.5]", "['x']"]);
        assert_eq!(values("a.b=\"x,y\",z"), ["\"x,y\"", "z"]);
        assert_eq!(axis("a.b=1").unwrap().key, "a.b");
        for bad in ["a.b", "=1", "a.b=", "a.b=1,,2", "a.b=[1", "a.b=1]", "a.b=\"1", "a.b=1,1"] {
            assert!(axis(bad).is_err(), "{bad}");
        }
    }
}
