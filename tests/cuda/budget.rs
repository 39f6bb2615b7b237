//! What kernels may use of a multiprocessor: `kernels/src/cuda/budget.toml`.

use std::collections::BTreeMap;

const TEXT: &str = include_str!("../../kernels/src/cuda/budget.toml");

/// Most registers of a thread, by kernel.
pub(crate) fn budget() -> BTreeMap<&'static str, u32> {
    let lines = TEXT.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', '[']));
    let entry = |line: &'static str| {
        let (name, number) = line.split_once(" = ").expect("a line `kernel = registers`");
        (name, number.parse().expect("a number of registers"))
    };
    lines.map(entry).collect()
}

#[test]
fn every_kernel_has_a_budget_and_nothing_else_has() {
    let named: Vec<&str> = budget().into_keys().collect();
    let sources = pliant_kernels::cuda::SOURCES.iter();
    let mut kernels: Vec<&str> =
        sources.flat_map(|source| source.kernels).map(|kernel| kernel.name).collect();
    kernels.sort_unstable();
    assert_eq!(named, kernels);
}
