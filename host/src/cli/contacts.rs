//! `pliant contacts`: what was typed, and the plan that it becomes.

use std::path::PathBuf;

use clap::Args;
use pliant_store::picture::PictureFormat;
use pliant_store::{Format, OutDtype, StoreError, Target, maps};

use crate::cli::reading::{format_named, picture_format_named};
use crate::cli::shared::{DtypeFlag, Long, RunPlan, SourceArgs, WorkArgs};
use crate::exit::TaskError;
use crate::pipeline::contacts::NO_WINDOWS;

const EXAMPLES: &str = "\
Examples:
  pliant contacts proteins.fasta --model esm2_t33_650M --out contacts.npz
  pliant contacts proteins.fasta --model esm2_t33_650M --out contacts.h5 --picture maps

For each protein of L residues a symmetric map [L, L]: the probabilities that two residues lie
less than 8 angstroms apart, as the model's contact head tells them; --contact-head gives what PLUS trained its head for. A map takes L x L numbers, in
memory and in the file. Maps are not kept in a cache: --cache is not used.";

/// The words after `pliant contacts`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ContactsArgs {
    #[command(flatten)]
    source: SourceArgs,
    /// Where the maps go; the suffix names the format: .npz or .h5. '-' is standard output
    #[arg(long, env = "PLIANT_OUT", value_name = "FILE", required_unless_present = "dry_run")]
    out: Option<PathBuf>,
    /// The format of --out where no suffix names it: npz or h5 (for a stream: npz)
    #[arg(long, env = "PLIANT_FORMAT", value_name = "NAME", value_parser = format_named)]
    format: Option<Format>,
    /// A contact head in a file of its own, as PLUS saves it, for a model with a projection of its states (PLUS-RNN, P-ELMo), in
    /// the place of the model's own
    #[arg(long, env = "PLIANT_CONTACT_HEAD", value_name = "FILE")]
    contact_head: Option<PathBuf>,
    #[command(flatten)]
    numbers: DtypeFlag,
    /// Draw each map too, into a file of its own in this folder
    #[arg(long, env = "PLIANT_PICTURE", value_name = "FOLDER")]
    picture: Option<PathBuf>,
    /// The format of pictures
    #[arg(
        long,
        env = "PLIANT_PICTURE_FORMAT",
        value_name = "NAME",
        value_parser = picture_format_named,
        default_value = "png",
        help = "The format of pictures: png or svg"
    )]
    picture_format: PictureFormat,
    #[command(flatten)]
    work: WorkArgs,
}

/// Whose contacts to tell, with what, how and to where. Nothing of it has been opened.
#[derive(Debug, Clone)]
pub struct ContactsPlan {
    /// What every command has.
    pub run: RunPlan,
    /// The maps; nowhere in a dry run that names no file.
    pub out: Option<PathBuf>,
    /// Their format.
    pub format: Format,
    /// Their number type.
    pub dtype: OutDtype,
    /// The file of the head, where the model's own is not to tell them.
    pub contact_head: Option<PathBuf>,
    /// The folder of the pictures, and their format.
    pub pictures: Option<(PathBuf, PictureFormat)>,
    /// Whether a cache was named, which is not used.
    pub cache_unused: bool,
}

impl ContactsArgs {
    /// Checks what was typed, as far as that goes without opening a model or a device.
    ///
    /// # Errors
    /// Flags that do not go together, and outputs that cannot be.
    pub fn plan(self) -> anyhow::Result<ContactsPlan> {
        let format = self.maps_format()?;
        let mut run = self.source.plan(self.work, self.out.as_deref(), &[])?;
        if run.long.policy == Long::Window {
            return Err(TaskError::Usage { what: NO_WINDOWS.to_owned() }.into());
        }
        if let Some(folder) = self.picture.as_deref().filter(|folder| folder.exists() && !folder.is_dir()) {
            let what = format!("--picture {} is no folder: name another", folder.display());
            return Err(TaskError::Usage { what }.into());
        }
        let cache_unused = run.cache.take().is_some();
        let pictures = self.picture.map(|folder| (folder, self.picture_format));
        let (contact_head, dtype) = (self.contact_head, self.numbers.dtype());
        Ok(ContactsPlan { run, out: self.out, format, dtype, contact_head, pictures, cache_unused })
    }

    /// The format of the maps; a stream takes the first that can hold them.
    fn maps_format(&self) -> anyhow::Result<Format> {
        let Some(out) = &self.out else { return Ok(self.format.unwrap_or(Format::Npz)) };
        let format = match (self.format, Format::of_path(out)) {
            (Some(format), _) | (None, Ok(format)) => format,
            (None, Err(_)) if Target::resolve(out)?.is_stream() => Format::Npz,
            (None, Err(StoreError::UnknownFormat { path, .. })) => {
                let known = Format::ALL.into_iter().filter(|format| format.holds_maps());
                let known: Vec<String> = known.map(|format| format!(".{}", format.name())).collect();
                return Err(StoreError::UnknownFormat { path, known: known.join(", ") }.into());
            }
            (None, Err(error)) => return Err(error.into()),
        };
        maps::check_format(out, format)?;
        Ok(format)
    }
}
