//! `pliant model pull` and `pliant model list`: what was typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};

use crate::hub::{Access, DEFAULT_ENDPOINT, HubError, ModelName, Order};

const EXAMPLES: &str = "\
Examples:
  pliant model pull esm2_t6_8M
  pliant model pull facebook/esm2_t33_650M_UR50D@main --out esm2_650M
  PLIANT_MODELS=/data/models pliant model pull esm2_t6_8M --endpoint https://hub.example.org

A model that is there is not looked up again. Models are kept in the folder of PLIANT_MODELS,
else in ~/.local/share/pliant/models, where --model finds them by the same name. An interrupted
download goes on where it broke off. Private and gated models need a token in HF_TOKEN.";

/// The words after `pliant model pull`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PullArgs {
    /// The model: a short name as esm2_t6_8M, or a repository OWNER/REPO, with @REV for a branch, tag or commit
    #[arg(value_name = "MODEL")]
    model: String,
    /// The folder to make, in the place of one in the model store; it must not exist or be empty
    #[arg(long, env = "PLIANT_OUT", value_name = "DIR")]
    out: Option<PathBuf>,
    /// The hub to ask [default: that of HF_ENDPOINT, else https://huggingface.co]
    #[arg(long, env = "PLIANT_ENDPOINT", value_name = "URL")]
    endpoint: Option<String>,
    /// Ask what the branch or tag means now, though the model is there
    #[arg(long, env = "PLIANT_UPDATE", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    update: bool,
    /// Take PyTorch's weights where there are no safetensors, for 'pliant model import'; needs --out
    #[arg(long, env = "PLIANT_PYTORCH", requires = "out", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pytorch: bool,
    /// Seconds of silence after which a connection counts as broken
    #[arg(long, env = "PLIANT_TIMEOUT", value_name = "SECONDS", default_value_t = 60.0, value_parser = seconds)]
    timeout: f64,
    /// Tries after a failed one, as long as nothing comes
    #[arg(long, env = "PLIANT_RETRIES", value_name = "N", default_value_t = 5)]
    retries: u32,
}

/// The words after `pliant model list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Write one JSON array instead of lines
    #[arg(long, env = "PLIANT_JSON", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub json: bool,
}

impl PullArgs {
    /// What is to be fetched; the token and the usual hub are the environment's.
    ///
    /// # Errors
    /// A name that no model can have.
    pub fn order(self) -> Result<Order, HubError> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let endpoint = self.endpoint.or_else(|| variable("HF_ENDPOINT"));
        let access = Access {
            endpoint: endpoint.unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned()),
            token: variable("HF_TOKEN"),
            timeout: Duration::from_secs_f64(self.timeout),
            retries: self.retries,
        };
        let name = ModelName::parse(&self.model)?;
        Ok(Order { name, access, out: self.out, update: self.update, pytorch: self.pytorch })
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let wanted = || "wanted seconds, from 0.1 to 86400".to_owned();
    let seconds: f64 = text.parse().map_err(|_| wanted())?;
    if (0.1..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err(wanted()) }
}
