//! Where a run computes: the device that was asked for or that is there, said to the user, and its share of a GPU.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use pliant_kernels::cuda::{self, CudaSettings, Facts};
use pliant_kernels::{CpuPath, Device, KernelError, Precision};
use pliant_models::About;

use crate::cli::print::Printer;
use crate::cli::shared::{ComputePlan, CudaPlan, DeviceChoice};
use crate::exit::TaskError;

/// Time between two looks for a share that others hold.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Bytes of memory on a GPU that no pack may fill: workspaces, tables, what others take meanwhile.
const SPARE_BYTES: u64 = 256 << 20;

/// Tokens of a pack that give the largest GPUs enough to do; more would only make results wait.
const MOST_TOKENS: usize = 65_536;

/// Fewest tokens of a pack that are worth a pass.
const LEAST_TOKENS: usize = 1024;

/// A device, and the share of it that this run holds as long as this lives.
pub struct Place {
    /// Where to compute.
    pub device: Device,
    _share: Option<File>,
}

/// Opens the device of a run. One that is chosen for the user is named with the reason; one that was asked for is taken
/// or is an error.
///
/// # Errors
/// A device that is not there or cannot be used.
pub fn open(plan: &ComputePlan, print: &Printer) -> anyhow::Result<Place> {
    let cpu = || Ok(Place { device: Device::cpu_with(plan.threads, plan.cpu_path)?, _share: None });
    match plan.device {
        DeviceChoice::Cpu => cpu(),
        DeviceChoice::Cuda(ordinal) => gpu(ordinal, &plan.cuda, print),
        DeviceChoice::Auto => {
            let (place, why) = match reason_for_cpu(plan) {
                Some(why) => (cpu()?, why),
                None => match gpu(None, &plan.cuda, print) {
                    Ok(place) => (place, "the driver offers it".to_owned()),
                    Err(error) => (cpu()?, format!("no GPU can be used: {error:#}")),
                },
            };
            print.note(&format!("device auto: {}, as {why}", place.device.describe()));
            Ok(place)
        }
    }
}

/// Why a run that leaves it open computes on the processor; `None` where there is no reason.
fn reason_for_cpu(plan: &ComputePlan) -> Option<String> {
    if plan.precision == Precision::Int8 {
        return Some("no GPU computes in int8".to_owned());
    }
    match cuda::driver().and_then(|driver| driver.devices()) {
        Ok(0) => Some("the CUDA driver sees no GPU".to_owned()),
        Ok(_) if !cuda::PROVEN => Some(
            "no GPU has run the kernels of this version yet; --device cuda takes it nonetheless".to_owned(),
        ),
        Ok(_) => None,
        Err(KernelError::Library { name, .. }) => Some(format!("{name} is not there")),
        Err(error) => Some(error.to_string()),
    }
}

/// A device that was asked for by name is there or is an error, before anything else is looked at.
///
/// # Errors
/// What is missing, and what to install.
pub fn check(plan: &ComputePlan) -> anyhow::Result<()> {
    let DeviceChoice::Cuda(ordinal) = plan.device else { return Ok(()) };
    Facts::of(cuda::driver()?, ordinal.unwrap_or(0))?.architecture()?;
    Ok(())
}

/// The device of a training: the processor.
///
/// # Errors
/// [`TaskError::NoDevice`] where a GPU was asked for, and a path that the processor lacks.
pub fn for_training(
    choice: DeviceChoice,
    cpu_path: CpuPath,
    threads: usize,
    print: &Printer,
) -> anyhow::Result<Device> {
    if let DeviceChoice::Cuda(_) = choice {
        let reason = "this version trains on the processor only".to_owned();
        return Err(TaskError::NoDevice { device: "cuda", reason }.into());
    }
    let device = Device::cpu_with(threads, cpu_path)?;
    if choice == DeviceChoice::Auto {
        let why = "this version trains on the processor only";
        print.note(&format!("device auto: {}, as {why}", device.describe()));
    }
    Ok(device)
}

/// The GPU with a number, or the first that has a share left.
///
/// # Errors
/// A driver, library or GPU that is not there.
pub fn gpu(ordinal: Option<usize>, plan: &CudaPlan, print: &Printer) -> anyhow::Result<Place> {
    let driver = cuda::driver()?;
    let candidates = match ordinal {
        Some(ordinal) => vec![Facts::of(driver, ordinal)?],
        None => {
            let count = driver.devices()?.max(1);
            (0..count).map(|ordinal| Facts::of(driver, ordinal)).collect::<Result<_, _>>()?
        }
    };
    let (facts, share) = match plan.slots {
        None => (&candidates[0], None),
        Some(slots) => shared(&candidates, slots, print)?,
    };
    let (products, attention) = (plan.products, plan.attention);
    let (kernels, times) = (kernel_folder(), named("PLIANT_GPU_TIMES").is_some());
    let settings = CudaSettings { ordinal: facts.ordinal, products, attention, kernels, times };
    Ok(Place { device: Device::cuda(&settings)?, _share: share })
}

/// Waits for a share of one of the GPUs. A share is a lock on a file of the GPU's id, which is the same for every process
/// whatever CUDA_VISIBLE_DEVICES says; the system frees it when the process ends, however it ends.
fn shared<'a>(
    candidates: &'a [Facts],
    slots: usize,
    print: &Printer,
) -> anyhow::Result<(&'a Facts, Option<File>)> {
    let folder = lock_folder();
    make_folder(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let mut told = false;
    loop {
        for facts in candidates {
            for slot in 0..slots {
                let path = folder.join(format!("{}.{slot}.lock", facts.uuid));
                let file = lock_file(&path).with_context(|| format!("cannot open {}", path.display()))?;
                if file.try_lock().is_ok() {
                    return Ok((facts, Some(file)));
                }
            }
        }
        if !told {
            let names: Vec<String> =
                candidates.iter().map(|facts| format!("cuda:{} ({})", facts.ordinal, facts.name)).collect();
            print.note(&format!(
                "waiting for {}: {slots} processes compute there already, as --gpu-slots admits",
                names.join(", ")
            ));
            told = true;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// The path that a variable names; one that is set to nothing names none.
fn named(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The folder of locks: one for all users of a machine, unless it is named.
fn lock_folder() -> PathBuf {
    named("PLIANT_GPU_LOCKS").unwrap_or_else(|| PathBuf::from("/tmp/pliant-gpu-locks"))
}

/// A folder in which everybody may make files and nobody remove those of others, as `/tmp` itself.
fn make_folder(folder: &Path) -> std::io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new().recursive(true).mode(0o777).create(folder)?;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o1777))
}

/// A file to lock. Whoever made it, everybody can open it to read, which is enough.
fn lock_file(path: &Path) -> std::io::Result<File> {
    match OpenOptions::new().read(true).open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            match OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    OpenOptions::new().read(true).open(path)
                }
                made => made,
            }
        }
        found => found,
    }
}

/// Where compiled kernels are kept; nowhere where neither the user nor the system names a folder.
pub fn kernel_folder() -> Option<PathBuf> {
    let cache = || named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")));
    named("PLIANT_KERNELS").or_else(|| Some(cache()?.join("pliant/kernels")))
}

/// Tokens of a pack on a device: what was asked for, or on a GPU what its free memory holds at so many bytes a token,
/// between [`LEAST_TOKENS`] and [`MOST_TOKENS`].
pub fn batch_tokens(
    device: &Device,
    plan: &ComputePlan,
    about: &About,
    bytes_per_token: u64,
) -> Result<usize, KernelError> {
    match (device, plan.batch_tokens) {
        (Device::Cuda(cuda), None) => {
            let (free, _) = cuda.memory()?;
            let room = (free as u64).saturating_sub(SPARE_BYTES) / 4 * 3;
            let tokens = usize::try_from(room / bytes_per_token.max(1)).unwrap_or(MOST_TOKENS);
            Ok(tokens.clamp(LEAST_TOKENS, MOST_TOKENS))
        }
        _ => Ok(plan.batch_tokens(about)),
    }
}
