//! Everything of a run that is no weight and no moment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A number that is written and read without losing a bit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Exact(pub f64);

impl From<Exact> for String {
    fn from(Exact(number): Exact) -> Self {
        format!("{number:?}")
    }
}

impl TryFrom<String> for Exact {
    type Error = std::num::ParseFloatError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map(Self)
    }
}

/// Where a run is: with weights and moments all that the next step depends on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Steps done.
    pub step: u64,
    /// What a run that goes on must have in common with its beginning.
    pub origin: Origin,
    /// What has been learnt from so far.
    pub seen: Seen,
    /// What will stand in the next line of the log, so far.
    pub interval: Interval,
    /// The last look at held-out sequences, and its step.
    pub held_out: Option<HeldOut>,
    /// The best one.
    pub best: Option<HeldOut>,
    /// The best one by its second number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<HeldOut>,
    /// How many came after the best, where that may end the run.
    #[serde(default, skip_serializing_if = "is_none")]
    pub waited: u64,
    /// The loss of the last line of the log.
    pub loss: Option<Exact>,
    /// Time spent in training, in thousandths of a second.
    pub milliseconds: u64,
}

/// What decides the numbers of a run beside its steps.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Keys of the configuration, with their values as TOML.
    pub settings: BTreeMap<String, String>,
    /// Digest of what the weights began with.
    pub model: String,
    /// Digest of the sequences that are learnt from.
    pub train: String,
    /// Digest of those kept apart, empty where there are none.
    pub held_out: String,
    /// Step of the end of the schedule; 0 where it has none.
    pub schedule_end: u64,
    /// The numerics class of the device.
    pub numerics: String,
}

impl Origin {
    /// The first thing that is not as in `wanted`: its name, what it is here, and what there.
    pub fn difference(&self, wanted: &Self) -> Option<(String, String, String)> {
        let none = || "not there".to_owned();
        let names = self.settings.keys().chain(wanted.settings.keys());
        let of = |origin: &Self, name: &String| origin.settings.get(name).cloned().unwrap_or_else(none);
        let settings = names.map(|name| (format!("\"{name}\""), of(self, name), of(wanted, name)));
        let (schedule, digest) =
            (schedule_end, |text: &String| if text.is_empty() { none() } else { text.clone() });
        let rest = [
            ("the model of \"model.config\" or \"model.init\"", digest(&self.model), digest(&wanted.model)),
            ("the digest of the sequences of \"data.train\"", digest(&self.train), digest(&wanted.train)),
            ("the digest of the held-out sequences", digest(&self.held_out), digest(&wanted.held_out)),
            (
                "the end of the schedule (\"schedule.steps\", else \"run.steps\")",
                schedule(self),
                schedule(wanted),
            ),
            (
                "the numerics class of the device (--cpu-path)",
                digest(&self.numerics),
                digest(&wanted.numerics),
            ),
        ];
        let rest = rest.map(|(what, found, wanted)| (what.to_owned(), found, wanted));
        settings.chain(rest).find(|(_, found, wanted)| found != wanted)
    }
}

fn schedule_end(origin: &Origin) -> String {
    if origin.schedule_end == 0 { "none".to_owned() } else { format!("step {}", origin.schedule_end) }
}

/// What has been learnt from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seen {
    /// Tokens.
    pub tokens: u64,
    /// Residues among them.
    pub residues: u64,
    /// Passes over the sequences that are over.
    pub epoch: u64,
}

/// Sums over the steps since the last line of the log.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Steps.
    pub steps: u64,
    /// Tokens.
    pub tokens: u64,
    /// Residues told, or what else the loss is a mean of.
    pub places: u64,
    /// Losses of those.
    pub losses: Exact,
    /// Norms of the gradients of the steps.
    pub norms: Exact,
    /// Time, in thousandths of a second.
    pub milliseconds: u64,
    /// What else stands in the line, by its name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Sum>,
}

/// A mean on its way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sum {
    /// The sum of what it is the mean of.
    pub sum: Exact,
    /// The number of those.
    pub count: u64,
}

/// What sequences that are not learnt from say.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeldOut {
    /// Its step.
    pub step: u64,
    /// The loss: of residues that are to be told the mean cross-entropy, in natural units.
    pub loss: Exact,
    /// The same of those that were hidden behind the mask token.
    pub masked_loss: Option<Exact>,
    /// Further numbers by their names; `None` for one that is not known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<String, Option<Exact>>,
    /// The number by which it is better or worse than another, less is better; `None`: the loss.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<Exact>,
    /// A second such number, by which the best one is kept too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other: Option<Exact>,
}

impl HeldOut {
    /// The number by which it is better or worse than another; less is better, and what is no number is worst.
    pub fn rank(&self) -> f64 {
        ranking(self.rank.unwrap_or(self.loss))
    }

    /// The second such number, where there is one.
    pub fn other_rank(&self) -> Option<f64> {
        self.other.map(ranking)
    }
}

fn ranking(Exact(rank): Exact) -> f64 {
    if rank.is_nan() { f64::INFINITY } else { rank }
}

fn is_none(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lose_nothing() {
        for number in [0.1, 1.0 / 3.0, 2.8907117912, f64::MIN_POSITIVE, 1e300, -0.0, 123_456_789.123_456_78] {
            let text = serde_json::to_string(&Exact(number)).unwrap();
            let Exact(read) = serde_json::from_str(&text).unwrap();
            assert_eq!(read.to_bits(), number.to_bits(), "{text}");
        }
        assert!(serde_json::from_str::<Exact>("\"x\"").is_err());
    }

    #[test]
    fn the_first_difference_is_named() {
        let origin = |seed: &str| Origin {
            settings: BTreeMap::from([("run.seed".to_owned(), seed.to_owned())]),
            train: "abc".to_owned(),
            ..Origin::default()
        };
        assert_eq!(origin("1").difference(&origin("1")), None);
        let found = origin("1").difference(&origin("2")).unwrap();
        assert_eq!(found, ("\"run.seed\"".to_owned(), "1".to_owned(), "2".to_owned()));
        let other = Origin { train: "abd".to_owned(), ..origin("1") };
        assert!(origin("1").difference(&other).unwrap().0.contains("data.train"));
        let other = Origin { settings: BTreeMap::new(), ..origin("1") };
        assert_eq!(origin("1").difference(&other).unwrap().2, "not there");
    }
}
