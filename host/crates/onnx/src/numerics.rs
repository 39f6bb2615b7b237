//! The name of the class of numbers that tract computes on this machine.
//!
//! tract chooses kernels by the instructions of a processor and by whose it is, and sums of other kernels may differ in their
//! last bits; so both stand in the name, with tract's version.

use std::env;
use std::fs;

use tract_onnx::prelude::tract_linalg::isa;

use crate::error::OnnxError;

/// The version of tract; a test compares it with what is locked.
pub(crate) const VERSION: &str = "0.23.9";

/// How variables begin that change what tract computes.
const VARIABLES: &str = "TRACT_";

/// Where Linux says whose the processor is.
const PROCESSORS: &str = "/proc/cpuinfo";

/// The keys there: of x86-64, and of aarch64.
const KEYS: [&str; 3] = ["vendor_id", "CPU implementer", "CPU part"];

/// The name of the class, such as `tract-0.23.9-x86_64-avx-avx2-fma-f16c-avx512f-AuthenticAMD`.
#[must_use]
pub fn numerics() -> String {
    let mut name = format!("tract-{VERSION}");
    for feature in isa::native().iter() {
        name.push('-');
        name.push_str(feature.name());
    }
    for word in maker(&fs::read_to_string(PROCESSORS).unwrap_or_default()) {
        name.push('-');
        name.push_str(&word);
    }
    name
}

/// Whose the first processor is, letters and digits alone.
fn maker(text: &str) -> Vec<String> {
    let first = text.split("\n\n").next().unwrap_or_default();
    let value = |key: &str| {
        let line =
            first.lines().find(|line| line.split(':').next().is_some_and(|name| name.trim() == key))?;
        let value = line.split_once(':')?.1;
        let word: String = value.chars().filter(char::is_ascii_alphanumeric).collect();
        Some(word).filter(|word| !word.is_empty())
    };
    KEYS.into_iter().filter_map(value).collect()
}

/// Refuses a surrounding that changes what tract computes, as nothing would tell.
pub(crate) fn check_environment() -> Result<(), OnnxError> {
    let found = env::vars_os().find(|(name, _)| name.to_string_lossy().starts_with(VARIABLES));
    found.map_or(Ok(()), |(name, value)| {
        let [name, value] = [name, value].map(|text| text.to_string_lossy().into_owned());
        Err(OnnxError::Environment { name, value })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_holds_version_instructions_and_maker() {
        let x86 =
            "processor\t: 0\nvendor_id\t: AuthenticAMD\nmodel\t: 1\n\nprocessor\t: 1\nvendor_id\t: Other\n";
        assert_eq!(maker(x86), ["AuthenticAMD"]);
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n";
        assert_eq!(maker(arm), ["0x41", "0xd0c"]);
        assert!(maker("").is_empty());
        let name = numerics();
        assert!(name.starts_with(&format!("tract-{VERSION}-{}", env::consts::ARCH)), "{name}");
        assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{name}");
    }

    #[test]
    fn the_version_is_the_one_that_is_locked() {
        let lock = include_str!("../../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-onnx\"\nversion = \"{VERSION}\"\n")));
    }
}
