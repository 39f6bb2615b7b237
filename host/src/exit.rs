//! From what happened to an exit code.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done, also where `--on-error skip` left records out |
//! | 2 | the command line is wrong |
//! | 65 | an input, a model or a configuration is wrong |
//! | 66 | an input is not there |
//! | 69 | the device cannot be used |
//! | 70 | a fault of the program itself |
//! | 74 | the system refused to read or write |
//! | 75 | the system is short of something for now, or a training was stopped before its end: try again |
//! | 137 | more memory is needed than there is |

use std::error::Error as StdError;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::process::ExitCode;

use pliant_kernels::KernelError;
use pliant_nn::OptimError;
use pliant_plugin::PluginError;
use pliant_seq::tables::TableError;
use pliant_seq::{CorpusError, InputError, SettingError};
use pliant_store::cache::{CacheFault, FaultKind};
use pliant_store::{Action, StoreError};

use crate::engine;
use crate::hub::HubError;
use crate::screen::ScreenError;
use crate::supervised::HeadError;
use crate::tasks::align::AlignError;
use crate::tasks::gather::GatherError;
use crate::tasks::plot::PlotError;
use crate::tasks::variants::VariantError;
use crate::train::TrainError;
use crate::train::config::ConfigError;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Everything that was asked for is there.
    Done,
    /// It failed, and said why.
    Failed(Code),
}

/// The exit codes of failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The command line is wrong.
    Usage = 2,
    /// An input, a model or a configuration is wrong.
    Data = 65,
    /// An input is not there.
    MissingInput = 66,
    /// The device cannot be used.
    Device = 69,
    /// A fault of the program itself.
    Internal = 70,
    /// The system refused to read or write.
    Io = 74,
    /// The system is short of something for now, or a training was stopped before its end.
    TryAgain = 75,
    /// More memory is needed than there is.
    Memory = 137,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Failed(code) => Self::from(code as u8),
        }
    }
}

/// What a task itself finds wrong. What its rooms find wrong has their own types.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// Flags that are each right and do not go together.
    #[error("{what}")]
    Usage {
        /// What does not fit, and what would.
        what: String,
    },
    /// Some records cannot be computed, and the run is not told to go on without them.
    #[error("{failed} of {headers} records cannot be computed")]
    BadRecords {
        /// Records that failed.
        failed: usize,
        /// Records of the input.
        headers: u64,
        /// The first of them, one line each.
        shown: Vec<String>,
        /// The file that lists all of them.
        list: Option<PathBuf>,
    },
    /// There is nothing to compute.
    #[error("no record to compute: found {headers} headers and {failed} failed records in {inputs}")]
    NoRecords {
        /// Headers of the input.
        headers: u64,
        /// Records that failed.
        failed: usize,
        /// The inputs as they were named.
        inputs: String,
    },
    /// The second reading of the input gave other records than the first.
    #[error("the input changed while it was read: found records {found}, wanted {wanted}")]
    InputChanged {
        /// Hash of the records of the second reading.
        found: String,
        /// Hash of those of the first.
        wanted: String,
    },
    /// A result that is no number.
    #[error("record {id:?}: layer {layer} has a result that is not finite ({value} in column {column})")]
    NotFinite {
        /// The record.
        id: String,
        /// The layer.
        layer: usize,
        /// Column of the value, below C.
        column: usize,
        /// What was found.
        value: f32,
    },
    /// A device that this program or this machine does not have.
    #[error("device {device}: {reason}")]
    NoDevice {
        /// The device as it was typed.
        device: &'static str,
        /// What stands in the way.
        reason: String,
    },
    /// A device gives other results than the processor.
    #[error("{device}: {apart} of {compared} results are not those of the processor")]
    DeviceDisagrees {
        /// The device in words.
        device: String,
        /// Results that are too far apart.
        apart: usize,
        /// All that were compared.
        compared: usize,
    },
    /// The work does not fit into memory.
    #[error("at least {needed_mib} MiB of memory are needed, but {limit_mib} MiB are admitted ({limit})")]
    Memory {
        /// What the weights and the longest record need, in MiB.
        needed_mib: u64,
        /// What there is, in MiB.
        limit_mib: u64,
        /// What sets the limit.
        limit: &'static str,
    },
    /// A cache with entries that are not what was written.
    #[error("the cache {} is damaged: {bad} bad entries{}", path.display(), if *structure { ", and its structure" } else { "" })]
    DamagedCache {
        /// The cache.
        path: PathBuf,
        /// Entries that are damaged.
        bad: usize,
        /// Whether the file is, too.
        structure: bool,
    },
    /// A part of the program ended without a result.
    #[error("the {part} ended early; this is a fault of pliant, please report it")]
    Broken {
        /// Which part.
        part: &'static str,
    },
}

impl TaskError {
    fn code(&self) -> Code {
        match self {
            Self::Usage { .. } => Code::Usage,
            Self::BadRecords { .. }
            | Self::NoRecords { .. }
            | Self::InputChanged { .. }
            | Self::DamagedCache { .. }
            | Self::NotFinite { .. } => Code::Data,
            Self::NoDevice { .. } | Self::DeviceDisagrees { .. } => Code::Device,
            Self::Memory { .. } => Code::Memory,
            Self::Broken { .. } => Code::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::BadRecords { list, .. } => {
                let all = list.as_ref().map(|list| format!("; all are listed in {}", list.display()));
                let all = all.unwrap_or_default();
                return Some(format!("correct them, or leave them out with --on-error skip{all}"));
            }
            Self::NoRecords { .. } => "give at least one FASTA record: a line '>id' and residues below it",
            Self::InputChanged { .. } => "run again when nothing writes to the input any more",
            Self::NotFinite { .. } => {
                "check the weights with 'pliant model verify'; with --precision bf16 try f32"
            }
            Self::DamagedCache { .. } => "'pliant cache verify --repair' removes what is damaged",
            Self::NoDevice { .. } => "use --device cpu or --device auto",
            Self::DeviceDisagrees { .. } => "do not compute on it; please report the lines above",
            Self::Memory { .. } => {
                "give the task more memory, or lower --max-batch-tokens, or choose another --long for the longest records"
            }
            Self::Usage { .. } | Self::Broken { .. } => return None,
        };
        Some(text.to_owned())
    }

    fn details(&self) -> Vec<String> {
        let Self::BadRecords { failed, shown, .. } = self else { return Vec::new() };
        let mut details = shown.clone();
        if *failed > shown.len() {
            details.push(format!("and {} more", failed - shown.len()));
        }
        details
    }
}

/// An error made ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What went wrong.
    pub message: String,
    /// Its parts, one line each.
    pub details: Vec<String>,
    /// Why, outermost first.
    pub causes: Vec<String>,
    /// What to do about it.
    pub hint: Option<String>,
    /// How the program ends.
    pub code: Code,
}

/// Makes an error ready to be shown.
pub fn report(error: &anyhow::Error) -> Report {
    let message = error.to_string();
    let mut causes: Vec<String> = Vec::new();
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        // Some errors carry the words of their cause themselves.
        if !causes.last().unwrap_or(&message).contains(&text) {
            causes.push(text);
        }
    }
    let task = error.chain().find_map(|cause| cause.downcast_ref::<TaskError>());
    let parts = error.chain().find_map(|cause| cause.downcast_ref::<GatherError>());
    let hub = error.chain().find_map(|cause| cause.downcast_ref::<HubError>());
    let variants = error.chain().find_map(|cause| cause.downcast_ref::<VariantError>());
    let pair = error.chain().find_map(|cause| cause.downcast_ref::<AlignError>());
    let hint = task.and_then(TaskError::hint).or_else(|| parts.and_then(GatherError::hint));
    let plot = error.chain().find_map(|cause| cause.downcast_ref::<PlotError>());
    let training = error.chain().find_map(|cause| cause.downcast_ref::<TrainError>());
    let head = error.chain().find_map(|cause| cause.downcast_ref::<HeadError>());
    let kernel = error.chain().find_map(|cause| cause.downcast_ref::<KernelError>());
    let screen = error.chain().find_map(|cause| cause.downcast_ref::<ScreenError>());
    let table = error.chain().find_map(|cause| match cause.downcast_ref::<InputError>() {
        Some(InputError::Table(table)) => Some(table.as_ref()),
        _ => cause.downcast_ref::<TableError>(),
    });
    let hint = hint
        .or_else(|| kernel.and_then(kernel_hint))
        .or_else(|| variants.and_then(VariantError::hint))
        .or_else(|| pair.and_then(AlignError::hint))
        .or_else(|| plot.and_then(PlotError::hint))
        .or_else(|| training.and_then(TrainError::hint))
        .or_else(|| head.and_then(HeadError::hint))
        .or_else(|| screen.and_then(ScreenError::hint))
        .or_else(|| table.and_then(table_hint));
    Report {
        details: task
            .map(TaskError::details)
            .or(hub.map(HubError::details))
            .or(plot.map(PlotError::details))
            .unwrap_or_default(),
        hint: hint.or(hub.and_then(HubError::hint)),
        code: code(error),
        message,
        causes,
    }
}

/// What to do about a table without a column.
fn table_hint(error: &TableError) -> Option<String> {
    let TableError::NoColumn { found, .. } = error else { return None };
    let text = if found.contains(';') && !found.contains(", ") {
        "put commas or tabs between the cells, in the place of semicolons"
    } else {
        "name the columns in the first line; options such as --sequence-column and --label-column choose others, where the \
         command has them"
    };
    Some(text.to_owned())
}

/// What to do about a device.
fn kernel_hint(error: &KernelError) -> Option<String> {
    let text = match error {
        KernelError::OutOfMemory { .. } => {
            "lower --max-batch-tokens, choose another --long for the longest records or --precision bf16, or free the GPU's \
             memory of other programs"
        }
        // Libraries say themselves what to install.
        KernelError::Library { name, .. } if name.contains("driver") => "or use --device cpu",
        KernelError::Device { device, .. } if device.starts_with("cuda") => {
            "'pliant doctor' tells what there is; or use --device cpu"
        }
        _ => return None,
    };
    Some(text.to_owned())
}

/// Whether the program that read our standard output has ended, which is its right.
pub fn reader_left(error: &anyhow::Error) -> bool {
    let broken = |cause: &io::Error| cause.kind() == ErrorKind::BrokenPipe;
    let to_stdout = |cause: &(dyn StdError + 'static)| match cause.downcast_ref::<StoreError>() {
        Some(StoreError::Io { action: Action::Write, path, .. }) => {
            path.as_os_str() == "-" || path.as_os_str() == "/dev/stdout"
        }
        Some(_) => false,
        None => cause.is::<PrintError>(),
    };
    error.chain().any(to_stdout)
        && error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(broken))
}

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output")]
pub struct PrintError {
    /// What the system said.
    #[from]
    source: io::Error,
}

/// The exit code of an error: the first cause with a meaning of its own decides.
fn code(error: &anyhow::Error) -> Code {
    error
        .chain()
        .find_map(own_code)
        .or_else(|| error.chain().find_map(|cause| cause.downcast_ref::<io::Error>().map(io_code)))
        .or_else(|| error.chain().find_map(engine::error_code))
        .unwrap_or(Code::Internal)
}

/// The code of errors whose type says it all.
fn own_code(cause: &(dyn StdError + 'static)) -> Option<Code> {
    if let Some(task) = cause.downcast_ref::<TaskError>() {
        return Some(task.code());
    }
    if let Some(input) = cause.downcast_ref::<InputError>() {
        return Some(input_code(input));
    }
    if let Some(store) = cause.downcast_ref::<StoreError>() {
        return Some(store_code(store));
    }
    if let Some(parts) = cause.downcast_ref::<GatherError>() {
        return Some(match parts {
            GatherError::NoLengths { .. } | GatherError::ScoresAsText { .. } => Code::Usage,
            _ => Code::Data,
        });
    }
    if let Some(plot) = cause.downcast_ref::<PlotError>() {
        return Some(match plot {
            PlotError::NoSuchKey { .. } => Code::Usage,
            PlotError::BadLines { .. } | PlotError::Nothing { .. } | PlotError::TooWide => Code::Data,
        });
    }
    if let Some(hub) = cause.downcast_ref::<HubError>() {
        return hub.code();
    }
    if let Some(plugin) = cause.downcast_ref::<PluginError>() {
        return crate::plugins::code(plugin);
    }
    if let Some(fault) = cause.downcast_ref::<CacheFault>() {
        return Some(cache_code(fault));
    }
    if let Some(corpus) = cause.downcast_ref::<CorpusError>() {
        return corpus_code(corpus);
    }
    if let Some(table) = cause.downcast_ref::<TableError>() {
        return match table {
            // Its cause has the code.
            TableError::Input(_) => None,
            TableError::Options { .. } | TableError::Fraction { .. } => Some(Code::Usage),
            _ => Some(Code::Data),
        };
    }
    if matches!(cause.downcast_ref(), Some(SettingError::Sampler { .. })) {
        return Some(Code::Usage);
    }
    if let Some(code) = training_code(cause) {
        return code;
    }
    if cause.is::<OptimError>() || cause.is::<SettingError>() {
        return Some(Code::Data);
    }
    if cause.is::<VariantError>() || cause.is::<AlignError>() {
        return Some(Code::Data);
    }
    cause.downcast_ref().map(kernel_code)
}

fn kernel_code(error: &KernelError) -> Code {
    match error {
        KernelError::Device { .. } | KernelError::Library { .. } | KernelError::Compile { .. } => {
            Code::Device
        }
        KernelError::OutOfMemory { .. } => Code::Memory,
        KernelError::File { .. } => Code::Io,
        // A model with sizes that no kernel has.
        KernelError::Unsupported { .. } => Code::Data,
        KernelError::Size { .. } | KernelError::Index { .. } => Code::Internal,
    }
}

/// The code of errors of trainings and of what they lead to, where it does not lie in the cause.
fn training_code(cause: &(dyn StdError + 'static)) -> Option<Option<Code>> {
    if let Some(training) = cause.downcast_ref::<TrainError>() {
        return Some(training.code());
    }
    if let Some(head) = cause.downcast_ref::<HeadError>() {
        return Some(head.code());
    }
    if let Some(screen) = cause.downcast_ref::<ScreenError>() {
        return Some(screen.code());
    }
    cause.downcast_ref::<ConfigError>().map(ConfigError::code)
}

fn input_code(error: &InputError) -> Code {
    match error {
        InputError::Missing { .. } | InputError::Folder { .. } => Code::MissingInput,
        InputError::StdinTwice => Code::Usage,
        InputError::Damaged { .. }
        | InputError::NotFasta { .. }
        | InputError::Table(_)
        | InputError::NotHash { .. }
        | InputError::NoHashes { .. } => Code::Data,
        InputError::Open { source, .. }
        | InputError::Spool { source, .. }
        | InputError::Read { source, .. } => match io_code(source) {
            // It was there a moment ago.
            Code::MissingInput => Code::Io,
            code => code,
        },
    }
}

/// `None` where the cause decides.
fn corpus_code(error: &CorpusError) -> Option<Code> {
    match error {
        CorpusError::Input(_) | CorpusError::Table(_) => None,
        CorpusError::Fraction { .. } => Some(Code::Usage),
        CorpusError::Empty { .. }
        | CorpusError::SmallFamilies { .. }
        | CorpusError::NoPairs { .. }
        | CorpusError::TooMany { .. }
        | CorpusError::OneSided { .. }
        | CorpusError::AllHeldOut { .. } => Some(Code::Data),
    }
}

fn store_code(error: &StoreError) -> Code {
    match error {
        StoreError::Io { action, source, .. } => match (action, io_code(source)) {
            (Action::Read, code) => code,
            (_, code @ (Code::TryAgain | Code::Memory)) => code,
            _ => Code::Io,
        },
        StoreError::MissingFolder { .. } | StoreError::IsFolder { .. } => Code::Io,
        StoreError::SameTarget { .. }
        | StoreError::UnknownFormat { .. }
        | StoreError::NoResidues { .. }
        | StoreError::NoMaps { .. }
        | StoreError::OneTable { .. } => Code::Usage,
        StoreError::Narrow { .. }
        | StoreError::NulInId { .. }
        | StoreError::Twice { .. }
        | StoreError::TooLarge { .. }
        | StoreError::NotVectors { .. }
        | StoreError::WrongWidth { .. }
        | StoreError::NotATable { .. }
        | StoreError::Malformed { .. } => Code::Data,
        StoreError::Plan { .. }
        | StoreError::Count { .. }
        | StoreError::Shape { .. }
        | StoreError::Layers { .. }
        | StoreError::Broken { .. } => Code::Internal,
    }
}

fn cache_code(fault: &CacheFault) -> Code {
    match fault.kind() {
        FaultKind::Missing => Code::MissingInput,
        FaultKind::Data => Code::Data,
        FaultKind::Busy => Code::TryAgain,
        FaultKind::Io => Code::Io,
    }
}

fn io_code(error: &io::Error) -> Code {
    match error.kind() {
        ErrorKind::NotFound => Code::MissingInput,
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof => Code::Data,
        ErrorKind::OutOfMemory => Code::Memory,
        ErrorKind::WouldBlock
        | ErrorKind::TimedOut
        | ErrorKind::Interrupted
        | ErrorKind::ResourceBusy
        | ErrorKind::StaleNetworkFileHandle => Code::TryAgain,
        _ => Code::Io,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context as _;

    fn store_io(kind: ErrorKind) -> StoreError {
        StoreError::io(Action::Write, std::path::Path::new("out.npz"), io::Error::from(kind))
    }

    #[test]
    fn the_code_is_found_below_any_context() {
        let missing = InputError::Missing { file: "a.fasta".into() };
        let folder = CorpusError::from(InputError::Folder { file: "a".into() });
        let cases: [(anyhow::Error, Code); 11] = [
            (anyhow::Error::new(missing).context("reading").context("embed"), Code::MissingInput),
            (anyhow::Error::new(folder).context("pretrain"), Code::MissingInput),
            (CorpusError::Fraction { fraction: 2.0 }.into(), Code::Usage),
            (CorpusError::AllHeldOut { sequences: 1 }.into(), Code::Data),
            (store_io(ErrorKind::StorageFull).into(), Code::Io),
            (store_io(ErrorKind::NotFound).into(), Code::Io),
            (store_io(ErrorKind::TimedOut).into(), Code::TryAgain),
            (io::Error::from(ErrorKind::OutOfMemory).into(), Code::Memory),
            (KernelError::Device { device: "cpu".into(), reason: "x".into() }.into(), Code::Device),
            (TaskError::Usage { what: "x".into() }.into(), Code::Usage),
            (anyhow::anyhow!("nobody knows"), Code::Internal),
        ];
        for (error, wanted) in cases {
            assert_eq!(code(&error), wanted, "{error:#}");
        }
    }

    #[test]
    fn a_cause_that_the_message_repeats_is_shown_once() {
        let denied = io::Error::from(ErrorKind::PermissionDenied);
        let error = anyhow::Error::new(InputError::Open { file: "a".into(), source: denied });
        assert_eq!(report(&error).causes, Vec::<String>::new());
        let error: anyhow::Error = store_io(ErrorKind::StorageFull).into();
        assert_eq!(report(&error).causes, ["no storage space"]);
    }

    #[test]
    fn only_our_own_standard_output_may_break() {
        let broken = || io::Error::from(ErrorKind::BrokenPipe);
        let to = |path: &str| StoreError::io(Action::Write, std::path::Path::new(path), broken());
        assert!(reader_left(&to("-").into()));
        assert!(reader_left(&anyhow::Error::new(PrintError::from(broken()))));
        assert!(!reader_left(&to("fifo").into()));
        assert!(!reader_left(&broken().into()));
        let context = Err::<(), _>(to("-")).context("writing").err();
        assert!(context.is_some_and(|error| reader_left(&error)));
    }

    #[test]
    fn a_long_list_is_cut_and_says_so() {
        let error = TaskError::BadRecords {
            failed: 12,
            headers: 20,
            shown: vec!["a".to_owned(); 10],
            list: Some("out.failures.tsv".into()),
        };
        let report = report(&error.into());
        assert_eq!(report.details.len(), 11);
        assert_eq!(report.details.last().map(String::as_str), Some("and 2 more"));
        assert!(report.hint.is_some_and(|hint| hint.contains("out.failures.tsv")));
    }
}
