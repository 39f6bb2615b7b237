//! `pliant cache …`, and how any command names a cache: what was typed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{ArgAction, Args, Subcommand, ValueEnum};
use pliant_store::StoreError;
use pliant_store::cache::{CacheOptions, Sharing};
use pliant_store::check_targets;

use crate::exit::TaskError;
use crate::machine;

/// How long a batch of results waits for other processes that write, before it is dropped. Batches of eight busy
/// processes wait less than a second for each other.
const WAIT: Duration = Duration::from_secs(20);

const EXAMPLES: &str = "\
Examples:
  pliant cache stats --cache results.sqlite
  pliant cache verify --cache results.sqlite
  pliant cache merge --cache results.sqlite
  pliant cache merge shard_a.sqlite shard_b.sqlite --cache results.sqlite
  pliant cache gc --cache results.sqlite --max-size 20G --max-age 90

Each writes one JSON object to standard output.";

/// The words after `pliant cache`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub action: CacheAction,
}

/// What to do with a cache.
#[derive(Debug, Subcommand)]
pub enum CacheAction {
    /// Count what a cache holds
    Stats(StatsArgs),
    /// Read every byte of a cache and list what is damaged
    Verify(VerifyArgs),
    /// Add the results of shards to a cache
    Merge(MergeArgs),
    /// Remove what was not used for longest, and files that nothing refers to
    Gc(GcArgs),
}

/// The words after `pliant cache stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// Which cache.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// The words after `pliant cache verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Which cache.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Remove what is damaged. Where the file itself is, it moves aside and what can be read goes to a new one
    #[arg(long, env = "PLIANT_REPAIR", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub repair: bool,
}

/// The words after `pliant cache merge`.
#[derive(Debug, Args)]
pub struct MergeArgs {
    /// Shards or other caches, which stay as they are. Without any: those that tasks have left beside the cache, which
    /// are removed when they are in it
    #[arg(value_name = "SHARD")]
    pub shards: Vec<PathBuf>,
    /// Which cache.
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// The words after `pliant cache gc`.
#[derive(Debug, Args)]
pub struct GcArgs {
    /// Which cache.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// Bytes to keep at most, as 500M or 20G
    #[arg(long, env = "PLIANT_MAX_SIZE", value_name = "BYTES", value_parser = bytes)]
    pub max_size: Option<u64>,
    /// Remove what was not used for more days
    #[arg(long, env = "PLIANT_MAX_AGE", value_name = "DAYS")]
    pub max_age: Option<u64>,
    /// Only say what would be removed
    #[arg(long, env = "PLIANT_DRY_RUN", action = ArgAction::SetTrue,
          value_parser = clap::builder::FalseyValueParser::new())]
    pub dry_run: bool,
}

/// The cache of a command that works on one.
#[derive(Debug, Args)]
pub struct PlaceArgs {
    /// The cache
    #[arg(long, env = "PLIANT_CACHE", value_name = "FILE")]
    cache: PathBuf,
    #[command(flatten)]
    sharing: SharingArgs,
}

impl PlaceArgs {
    /// The cache that was named.
    ///
    /// # Errors
    /// An empty name.
    pub fn plan(self) -> Result<CachePlan, TaskError> {
        let Self { cache, sharing } = self;
        let plan = CachePlan::of(Some(cache), &sharing);
        plan.ok_or_else(|| TaskError::Usage { what: "--cache is empty: name a file".to_owned() })
    }
}

/// The cache of a command that can do without.
#[derive(Debug, Args)]
pub struct CacheFlags {
    /// Results that were computed before are taken from this file, and new ones are kept in it
    #[arg(long, env = "PLIANT_CACHE", value_name = "FILE", value_parser = OsStringValueParser::new().map(PathBuf::from))]
    cache: Option<PathBuf>,
    #[command(flatten)]
    sharing: SharingArgs,
}

impl CacheFlags {
    /// The cache that was named; none where the name is empty, as a variable that is set to nothing.
    ///
    /// # Errors
    /// A cache that is one of the `outputs`.
    pub fn plan(&self, outputs: &[&Path]) -> Result<Option<CachePlan>, StoreError> {
        let Some(plan) = CachePlan::of(self.cache.clone(), &self.sharing) else { return Ok(None) };
        for output in outputs {
            // What else is wrong with the place of a cache is no error of a run.
            if let Err(same @ StoreError::SameTarget { .. }) = check_targets(&[output, &plan.path]) {
                return Err(same);
            }
        }
        Ok(Some(plan))
    }
}

#[derive(Debug, Args)]
struct SharingArgs {
    /// How processes share the cache
    #[arg(
        long,
        env = "PLIANT_CACHE_MODE",
        value_name = "MODE",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        help = "How processes share the cache: local (all of one machine write to it), shared (it is only read, and \
                each task leaves a shard beside it, to be merged) or auto (by its file system: shared on a network)"
    )]
    cache_mode: CacheMode,
}

/// How processes share a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum CacheMode {
    /// As its file system asks for.
    #[default]
    Auto,
    /// Processes of one machine write to it together.
    Local,
    /// It is read, and each task adds a shard.
    Shared,
}

/// A cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachePlan {
    /// The database file.
    pub path: PathBuf,
    /// How it is shared.
    pub mode: CacheMode,
}

impl CachePlan {
    fn of(path: Option<PathBuf>, sharing: &SharingArgs) -> Option<Self> {
        let path = path.filter(|path| !path.as_os_str().is_empty())?;
        Some(Self { path, mode: sharing.cache_mode })
    }

    /// How it is opened. A file system that is not known counts as one of this machine.
    pub fn options(&self) -> CacheOptions {
        let on_network = || {
            let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let found = machine::file_system(&self.path)
                .or_else(|| machine::file_system(folder.unwrap_or(Path::new("."))));
            found.is_some_and(|found| found.remote)
        };
        let sharing = match self.mode {
            CacheMode::Local => Sharing::Local,
            CacheMode::Shared => Sharing::Network,
            CacheMode::Auto if on_network() => Sharing::Network,
            CacheMode::Auto => Sharing::Local,
        };
        // What belongs to a cache lies beside the file itself, not beside a link to it.
        let is_link = self.path.symlink_metadata().is_ok_and(|found| found.is_symlink());
        let target = if is_link { self.path.canonicalize().ok() } else { None };
        CacheOptions { path: target.unwrap_or_else(|| self.path.clone()), sharing, wait: WAIT }
    }
}

/// A number of bytes: `500`, or with K, M, G or T for powers of 1,024.
pub(super) fn bytes(text: &str) -> Result<u64, &'static str> {
    const WANTED: &str = "wanted a number of bytes, as 500M or 20G";
    let (digits, shift) = match text.char_indices().next_back() {
        Some((at, 'K')) => (&text[..at], 10),
        Some((at, 'M')) => (&text[..at], 20),
        Some((at, 'G')) => (&text[..at], 30),
        Some((at, 'T')) => (&text[..at], 40),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| WANTED)?;
    number.checked_mul(1 << shift).ok_or(WANTED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!(bytes("0"), Ok(0));
        assert_eq!(bytes("20G"), Ok(20 << 30));
        for wrong in ["", "G", "1.5G", "-1", "1GB", "1é", "99999999999T"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
