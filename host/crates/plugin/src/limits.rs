//! What a guest may take. Every limit has a default and is set by `--limit NAME=NUMBER`; a manifest may ask for less, and for
//! more only where that flag allows it. Whatever is refused names the limit.

use std::collections::BTreeMap;

use crate::error::PluginError;

const MEBIBYTE: u64 = 1 << 20;

/// Limits of one guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// MiB of all linear memories of a running guest together.
    pub memory_mib: u64,
    /// Milliseconds of one call.
    pub call_ms: u64,
    /// Instructions of one call, in deterministic mode alone.
    pub fuel: u64,
    /// MiB of numbers and text that one call may answer.
    pub output_mib: u64,
    /// MiB of numbers that one call is given; more is given in several calls.
    pub batch_mib: u64,
    /// Elements of all tables of a running guest together.
    pub table_elements: u64,
    /// MiB of the file.
    pub file_mib: u64,
    /// Functions in the file, those of nested modules too.
    pub functions: u64,
    /// KiB of the code of one function.
    pub function_kib: u64,
    /// Local variables of all functions together.
    pub locals: u64,
    /// How deep components may be nested.
    pub nesting: u64,
    /// Modules and components that come to life, nested ones as often as they are brought to life.
    pub instances: u64,
    /// Milliseconds that compiling may take.
    pub compile_ms: u64,
    /// MiB that compiling may take.
    pub compile_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory_mib: 256,
            call_ms: 10_000,
            fuel: 10_000_000_000,
            output_mib: 64,
            batch_mib: 4,
            table_elements: 100_000,
            file_mib: 16,
            functions: 20_000,
            function_kib: 512,
            locals: 1_000_000,
            nesting: 4,
            instances: 64,
            compile_ms: 30_000,
            compile_mib: 2048,
        }
    }
}

impl Limits {
    /// What the user gives, and else the less of the default and of what the manifest asks for.
    ///
    /// # Errors
    /// [`PluginError::Setting`] for a name that is no limit, a number out of bounds, and a manifest that asks for more
    /// than is allowed.
    pub fn of(asked: &BTreeMap<String, u64>, given: &BTreeMap<String, u64>) -> Result<Self, PluginError> {
        let mut limits = Self::default();
        for (name, number) in given {
            limits.set(name, *number)?;
        }
        for (name, number) in asked {
            let allowed = limits.get(name).ok_or_else(|| unknown(name))?;
            if *number > allowed {
                return Err(PluginError::Setting {
                    key: format!("limits.{name}"),
                    found: number.to_string(),
                    wanted: format!(
                        "at most {allowed}; to allow the plugin more, give --limit {name}={number}"
                    ),
                });
            }
            if !given.contains_key(name) {
                limits.set(name, *number)?;
            }
        }
        Ok(limits)
    }

    /// The names of all limits.
    pub fn names() -> Vec<&'static str> {
        Self::default().table().into_iter().map(|(name, _, _)| name).collect()
    }

    /// The number of the limit of that name.
    pub fn get(&self, name: &str) -> Option<u64> {
        let mut copy = *self;
        copy.table().into_iter().find(|(known, _, _)| *known == name).map(|(_, number, _)| *number)
    }

    /// Sets the limit of that name.
    ///
    /// # Errors
    /// [`PluginError::Setting`] where there is none, or the number is out of bounds.
    pub fn set(&mut self, name: &str, value: u64) -> Result<(), PluginError> {
        let Some((_, number, most)) = self.table().into_iter().find(|(known, _, _)| *known == name) else {
            return Err(unknown(name));
        };
        if value == 0 || value > most {
            return Err(PluginError::Setting {
                key: format!("limits.{name}"),
                found: value.to_string(),
                wanted: format!("a whole number from 1 to {most}"),
            });
        }
        *number = value;
        Ok(())
    }

    /// The most that can be asked for of each.
    pub(crate) fn most() -> Vec<(&'static str, u64)> {
        Self::default().table().into_iter().map(|(name, _, most)| (name, most)).collect()
    }

    /// Every limit: its name, its place and the most that can be asked for.
    fn table(&mut self) -> [(&'static str, &mut u64, u64); 14] {
        [
            ("memory_mib", &mut self.memory_mib, 4096),
            ("call_ms", &mut self.call_ms, 86_400_000),
            ("fuel", &mut self.fuel, u64::MAX / 2),
            ("output_mib", &mut self.output_mib, 4096),
            ("batch_mib", &mut self.batch_mib, 2048),
            ("table_elements", &mut self.table_elements, 10_000_000),
            ("file_mib", &mut self.file_mib, 1024),
            ("functions", &mut self.functions, 1_000_000),
            ("function_kib", &mut self.function_kib, 7_500),
            ("locals", &mut self.locals, 1_000_000_000),
            ("nesting", &mut self.nesting, 100),
            ("instances", &mut self.instances, 1000),
            ("compile_ms", &mut self.compile_ms, 86_400_000),
            ("compile_mib", &mut self.compile_mib, 1 << 20),
        ]
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        self.memory_mib * MEBIBYTE
    }

    pub(crate) fn output_bytes(&self) -> usize {
        usize::try_from(self.output_mib * MEBIBYTE).unwrap_or(usize::MAX)
    }

    pub(crate) fn batch_values(&self) -> usize {
        usize::try_from(self.batch_mib * MEBIBYTE / 4).unwrap_or(usize::MAX)
    }

    pub(crate) fn file_bytes(&self) -> u64 {
        self.file_mib * MEBIBYTE
    }
}

fn unknown(name: &str) -> PluginError {
    PluginError::Setting {
        key: format!("limits.{name}"),
        found: "a limit that is not known".to_owned(),
        wanted: format!("one of {}", Limits::names().join(", ")),
    }
}
