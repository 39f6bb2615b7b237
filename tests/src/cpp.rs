//! CUDA kernels as C++ for the processor.

use std::process::Command;
use std::sync::OnceLock;

/// Products are fused where the text says so, as on the device. The compiler's own checks of jumps between stacks do
/// not know fibers.
pub const FLAGS: [&str; 6] = [
    "-std=c++17",
    "-O1",
    "-ffp-contract=off",
    "-fno-strict-aliasing",
    "-Wno-unknown-pragmas",
    "-U_FORTIFY_SOURCE",
];

/// The first C++ compiler that runs; where there is none, says so once.
pub fn compiler() -> Option<&'static str> {
    static COMPILER: OnceLock<Option<String>> = OnceLock::new();
    let find = || {
        let named = std::env::var("CXX").ok().filter(|name| !name.is_empty());
        let names = named.into_iter().chain(["g++", "clang++", "c++"].map(str::to_owned));
        let runs = |name: &String| {
            Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
        };
        let found = names.into_iter().find(runs);
        if found.is_none() {
            report("SKIPPED: no CUDA kernel was run on the processor (g++ or clang++ is needed)");
        }
        found
    };
    COMPILER.get_or_init(find).as_deref()
}

#[allow(clippy::print_stderr, reason = "what a test leaves out must be seen")]
fn report(line: &str) {
    eprintln!("{line}");
}
