//! Every way in which this machine can run a kernel.

use pliant_kernels::{CpuPath, Device};
use std::sync::OnceLock;

/// A device for every path that this processor has, with one, two and three threads.
///
/// # Panics
/// When a device cannot be opened.
pub fn devices() -> &'static [Device] {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| {
        let (here, missing): (Vec<_>, Vec<_>) = CpuPath::ALL.into_iter().partition(|path| path.available());
        for path in missing {
            report(&format!("SKIPPED: this processor cannot run the path {}", path.name()));
        }
        let open = |path, threads| match Device::cpu_with(threads, path) {
            Ok(device) => device,
            Err(error) => panic!("{error}"),
        };
        here.into_iter().flat_map(|path| [1, 2, 3].map(|threads| open(path, threads))).collect()
    })
}

#[allow(clippy::print_stderr, reason = "what a test leaves out must be seen")]
fn report(line: &str) {
    eprintln!("{line}");
}

/// The device's vector path.
///
/// # Panics
/// For devices that are no processor.
#[must_use]
pub fn path(device: &Device) -> CpuPath {
    match device {
        Device::Cpu(cpu) => cpu.path(),
        Device::Cuda(_) => panic!("{} has no path of the processor", device.describe()),
    }
}
