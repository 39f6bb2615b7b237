//! `adapter_config.json` as Hugging Face PEFT writes it: what is followed, and what is refused by name.

use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::{Map, Value};

use crate::error::ModelError;

/// Keys that change no number of an adapter that is taken as it is.
const WITHOUT_MEANING: [&str; 16] = [
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "inference_mode",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "modules_to_save",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Keys that are followed.
const FOLLOWED: [&str; 11] = [
    "alpha_pattern",
    "exclude_modules",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "peft_type",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
];

/// Beginnings that leave the weights of the model as they are. Others take something out of them, so that the adapter
/// alone does not tell what was trained.
const PLAIN_BEGINNINGS: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct PeftConfig {
    path: PathBuf,
    /// The rank of matrices that no pattern names.
    rank: usize,
    alpha: f64,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    pub(super) rank_stabilised: bool,
    pub(super) dropout: f64,
    chosen: Chosen,
    excluded: Option<Chosen>,
    /// Numbers of blocks from 0; none: all.
    layers: Option<Vec<u64>>,
    /// What finds the number of the block in the path of a module.
    blocks: Vec<Regex>,
}

/// Modules by their paths.
#[derive(Debug)]
enum Chosen {
    /// All linear layers.
    All,
    /// Those whose path is or ends with one of these.
    Ends(Vec<String>),
    /// Those whose whole path is like this.
    Like(Box<Regex>),
}

impl Chosen {
    fn has(&self, module: &str) -> bool {
        match self {
            Self::All => true,
            Self::Like(regex) => regex.is_match(module),
            Self::Ends(ends) => ends.iter().any(|end| {
                module.strip_suffix(end.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }),
        }
    }
}

/// What a value is compared with nothing set.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

impl PeftConfig {
    /// Reads the text of the file `path`.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, ModelError> {
        let problem = |problem: String| ModelError::Adapter { path: path.to_owned(), problem };
        let members: Map<String, Value> =
            serde_json::from_str(text).map_err(|error| problem(format!("is no JSON object: {error}")))?;
        let reader = Reader { path, members: &members };
        reader.refuse_what_is_not_followed()?;
        let rank = reader.number("r")?;
        if rank.fract() != 0.0 || !(1.0..=65_536.0).contains(&rank) {
            return Err(reader.wrong("r", "a whole number from 1 to 65536"));
        }
        let (alpha, dropout) = (
            reader.number("lora_alpha")?,
            members.get("lora_dropout").and_then(Value::as_f64).unwrap_or(0.0),
        );
        if !(0.0..1.0).contains(&dropout) {
            return Err(reader.wrong("lora_dropout", "a number from 0 to below 1"));
        }
        let chosen = reader.chosen("target_modules")?;
        Ok(Self {
            path: path.to_owned(),
            rank: rank as usize,
            alpha,
            ranks: reader.patterns("rank_pattern")?,
            alphas: reader.patterns("alpha_pattern")?,
            rank_stabilised: members.get("use_rslora").is_some_and(|value| *value == Value::Bool(true)),
            dropout,
            chosen: chosen.ok_or_else(|| reader.wrong("target_modules", "names of modules"))?,
            excluded: reader.chosen("exclude_modules")?,
            layers: reader.layers()?,
            blocks: reader.blocks()?,
        })
    }

    /// The rank and α of a module.
    pub(super) fn of(&self, module: &str) -> (usize, f64) {
        let find = |patterns: &[(Regex, f64)]| {
            patterns.iter().find(|(regex, _)| regex.is_match(module)).map(|(_, value)| *value)
        };
        (find(&self.ranks).map_or(self.rank, |rank| rank as usize), find(&self.alphas).unwrap_or(self.alpha))
    }

    /// Whether a module is adapted.
    pub(super) fn has(&self, module: &str) -> bool {
        if !self.chosen.has(module) || self.excluded.as_ref().is_some_and(|excluded| excluded.has(module)) {
            return false;
        }
        let Some(layers) = &self.layers else { return true };
        let block =
            self.blocks.iter().find_map(|regex| regex.captures(module)?.get(1)?.as_str().parse().ok());
        block.is_some_and(|block: u64| layers.contains(&block))
    }

    /// The error about something of the file.
    pub(super) fn problem(&self, problem: String) -> ModelError {
        ModelError::Adapter { path: self.path.clone(), problem }
    }
}

/// The members of a file.
struct Reader<'a> {
    path: &'a Path,
    members: &'a Map<String, Value>,
}

impl Reader<'_> {
    fn wrong(&self, key: &str, wanted: &str) -> ModelError {
        let found = self.members.get(key).map_or_else(|| "missing".to_owned(), Value::to_string);
        let problem = format!("\"{key}\" is {found}, wanted {wanted}");
        ModelError::Adapter { path: self.path.to_owned(), problem }
    }

    /// Refuses what would change numbers and is not done here.
    fn refuse_what_is_not_followed(&self) -> Result<(), ModelError> {
        if self.members.get("peft_type").and_then(Value::as_str) != Some("LORA") {
            return Err(self.wrong("peft_type", "\"LORA\": no other adapters are read"));
        }
        if self.members.get("bias").is_some_and(|bias| *bias != "none") {
            return Err(self.wrong("bias", "\"none\": biases that are trained beside adapters are not read"));
        }
        match self.members.get("init_lora_weights") {
            None | Some(Value::Null | Value::Bool(_)) => {}
            Some(Value::String(text)) if PLAIN_BEGINNINGS.contains(&text.as_str()) => {}
            _ => {
                let wanted = "true: an adapter that began with a part of the model's own weights has to be converted \
                              by peft when it is saved";
                return Err(self.wrong("init_lora_weights", wanted));
            }
        }
        let known = |key: &&String| {
            let key = key.as_str();
            key == "bias" || FOLLOWED.contains(&key) || WITHOUT_MEANING.contains(&key)
        };
        let set = self.members.iter().filter(|(key, value)| !known(key) && !is_nothing(value));
        match set.map(|(key, _)| key).next() {
            Some(key) => Err(self.wrong(key, "nothing: this is not supported")),
            None => Ok(()),
        }
    }

    fn number(&self, key: &str) -> Result<f64, ModelError> {
        let number = self.members.get(key).and_then(Value::as_f64).filter(|number| number.is_finite());
        number.ok_or_else(|| self.wrong(key, "a number"))
    }

    fn regex(&self, key: &str, text: &str) -> Result<Regex, ModelError> {
        Regex::new(text).map_err(|_| self.wrong(key, "patterns without look-around and back references"))
    }

    /// Patterns of the paths of modules, each for the whole path or the end of it, with their numbers.
    fn patterns(&self, key: &str) -> Result<Vec<(Regex, f64)>, ModelError> {
        let members = match self.members.get(key) {
            None | Some(Value::Null) => return Ok(Vec::new()),
            Some(Value::Object(members)) => members,
            Some(_) => return Err(self.wrong(key, "an object of patterns and numbers")),
        };
        let pattern = |(text, value): (&String, &Value)| {
            let number = value.as_f64().filter(|number| number.is_finite() && *number > 0.0);
            let number =
                number.ok_or_else(|| self.wrong(key, "an object of patterns and numbers above 0"))?;
            Ok((self.regex(key, &format!("^(?:.*\\.)?(?:{text})$"))?, number))
        };
        members.iter().map(pattern).collect()
    }

    fn chosen(&self, key: &str) -> Result<Option<Chosen>, ModelError> {
        Ok(Some(match self.members.get(key) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) if text == "all-linear" => Chosen::All,
            Some(Value::String(text)) => Chosen::Like(Box::new(self.regex(key, &format!("^(?:{text})$"))?)),
            Some(Value::Array(values)) => {
                let ends = values.iter().map(|value| value.as_str().map(str::to_owned));
                let ends: Option<Vec<String>> = ends.collect();
                Chosen::Ends(ends.ok_or_else(|| self.wrong(key, "a list of names"))?)
            }
            Some(_) => return Err(self.wrong(key, "a pattern or a list of names")),
        }))
    }

    fn layers(&self) -> Result<Option<Vec<u64>>, ModelError> {
        let wanted = || self.wrong("layers_to_transform", "a whole number or a list of them");
        match self.members.get("layers_to_transform") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(values)) => {
                let layers: Option<Vec<u64>> = values.iter().map(Value::as_u64).collect();
                layers.map(Some).ok_or_else(wanted)
            }
            Some(value) => value.as_u64().map(|layer| Some(vec![layer])).ok_or_else(wanted),
        }
    }

    /// What finds the number of a block: the first number in a path, or the one behind the names given.
    fn blocks(&self) -> Result<Vec<Regex>, ModelError> {
        const KEY: &str = "layers_pattern";
        let names: Vec<&str> = match self.members.get(KEY) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(name)) if name.is_empty() => Vec::new(),
            Some(Value::String(name)) => vec![name],
            Some(Value::Array(values)) => values.iter().filter_map(Value::as_str).collect(),
            Some(_) => return Err(self.wrong(KEY, "a name or a list of names")),
        };
        if names.is_empty() {
            return Ok(vec![self.regex(KEY, "^.*?\\.[^.]*\\.(\\d+)\\.")?]);
        }
        names.iter().map(|name| self.regex(KEY, &format!("^.*\\.{name}\\.(\\d+)\\."))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(change: Value) -> Result<PeftConfig, String> {
        let mut config =
            json!({"peft_type": "LORA", "r": 8, "lora_alpha": 32, "target_modules": ["key", "value"]});
        for (key, value) in change.as_object().unwrap() {
            config[key] = value.clone();
        }
        PeftConfig::parse(Path::new("adapter_config.json"), &config.to_string())
            .map_err(|error| error.to_string())
    }

    fn chosen(change: Value) -> Vec<&'static str> {
        let modules = [
            "encoder.layer.1.attention.self.key",
            "encoder.layer.2.attention.self.key",
            "encoder.layer.2.attention.output.dense",
            "encoder.layer.2.output.dense",
            "encoder.layer.12.intermediate.dense",
            "pooler.dense",
        ];
        let config = read(change).unwrap();
        modules.into_iter().filter(|module| config.has(module)).collect()
    }

    #[test]
    fn modules_are_chosen_as_peft_chooses_them() {
        let [first, second, output, fc2, fc1, pooler] = [
            "encoder.layer.1.attention.self.key",
            "encoder.layer.2.attention.self.key",
            "encoder.layer.2.attention.output.dense",
            "encoder.layer.2.output.dense",
            "encoder.layer.12.intermediate.dense",
            "pooler.dense",
        ];
        assert_eq!(chosen(json!({})), [first, second]);
        assert_eq!(chosen(json!({"layers_to_transform": 2})), [second]);
        assert_eq!(chosen(json!({"target_modules": ["output.dense"]})), [output, fc2]);
        assert_eq!(chosen(json!({"target_modules": ["dense"]})), [output, fc2, fc1, pooler]);
        assert_eq!(
            chosen(json!({"target_modules": ["dense"], "layers_to_transform": [2, 12]})),
            [output, fc2, fc1]
        );
        assert_eq!(
            chosen(json!({"target_modules": ["dense"], "exclude_modules": ["pooler.dense", "output.dense"]})),
            [fc1]
        );
        assert_eq!(chosen(json!({"target_modules": r".*layer\.[2-9]\.attention.*"})), [second, output]);
        assert_eq!(chosen(json!({"target_modules": "all-linear"})).len(), 6);
        let layers = json!({"layers_to_transform": [1], "layers_pattern": "layer"});
        assert_eq!(chosen(layers), [first]);
    }

    #[test]
    fn patterns_give_ranks_and_alphas() {
        let config = read(
            json!({"rank_pattern": {"layer.1.attention.self.key": 2, "value": 4}, "alpha_pattern": {"key": 1}}),
        );
        let config = config.unwrap();
        assert_eq!(config.of("encoder.layer.1.attention.self.key"), (2, 1.0));
        assert_eq!(config.of("encoder.layer.11.attention.self.key"), (8, 1.0));
        assert_eq!(config.of("encoder.layer.1.attention.self.value"), (4, 32.0));
    }

    #[test]
    fn what_is_not_followed_is_refused_by_name() {
        for (change, wanted) in [
            (json!({"peft_type": "IA3"}), "\"peft_type\" is \"IA3\", wanted \"LORA\""),
            (json!({"use_dora": true}), "\"use_dora\" is true, wanted nothing"),
            (json!({"bias": "lora_only"}), "\"bias\" is \"lora_only\", wanted \"none\""),
            (json!({"lora_bias": true}), "\"lora_bias\" is true"),
            (json!({"fan_in_fan_out": true}), "\"fan_in_fan_out\" is true"),
            (json!({"init_lora_weights": "pissa"}), "\"init_lora_weights\" is \"pissa\""),
            (json!({"layer_replication": [[0, 2]]}), "\"layer_replication\""),
            (json!({"target_parameters": ["a"]}), "\"target_parameters\""),
            (json!({"trainable_token_indices": [1]}), "\"trainable_token_indices\""),
            (json!({"something_new": 3}), "\"something_new\" is 3"),
            (json!({"r": 0}), "\"r\" is 0"),
            (json!({"lora_alpha": null}), "\"lora_alpha\" is null, wanted a number"),
            (json!({"target_modules": null}), "\"target_modules\" is null"),
            (json!({"target_modules": "(?=x)"}), "without look-around"),
            (json!({"rank_pattern": {"key": 0}}), "\"rank_pattern\""),
            (json!({"layers_to_transform": "1"}), "\"layers_to_transform\" is \"1\""),
        ] {
            let refused = read(change).unwrap_err();
            assert!(refused.contains(wanted), "{refused}");
        }
    }
}
