//! The engine that all guests of a process share: how they are compiled, and the clock that stops them.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use wasmtime::{Cache, CacheConfig, Config, Engine, OptLevel, WasmBacktraceDetails};

use crate::compile::Compiler;
use crate::error::PluginError;

/// Between two ticks of the clock that stops guests.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Bytes of stack that a guest may use.
const STACK_BYTES: usize = 1 << 20;

/// How guests are run.
#[derive(Debug, Clone, Default)]
pub struct SandboxOptions {
    /// Whether instructions are counted, so that a guest is stopped at the same place on every machine.
    pub deterministic: bool,
    /// The folder of what was compiled before; `None` compiles each time. Who can write to it can run code.
    pub cache: Option<PathBuf>,
    /// The program that compiles in a process of its own; `None` compiles in this one, without bounds of time and memory.
    pub compiler: Option<Compiler>,
}

/// What guests are run in. A clone is the same one.
#[derive(Clone)]
pub struct Sandbox {
    pub(crate) engine: Engine,
    pub(crate) options: SandboxOptions,
}

impl Sandbox {
    /// Makes the engine, and begins its clock.
    ///
    /// # Errors
    /// [`PluginError::Machine`] where the processor or the system is not fit for it.
    pub fn new(options: SandboxOptions) -> Result<Self, PluginError> {
        let refused = |error: wasmtime::Error| PluginError::Machine { reason: format!("{error:#}") };
        let mut config = settings(options.deterministic);
        if let Some(folder) = &options.cache {
            config.cache(Some(cache(folder).map_err(refused)?));
        }
        let engine = Engine::new(&config).map_err(refused)?;
        let weak = engine.weak();
        let clock = move || {
            loop {
                thread::sleep(TICK);
                match weak.upgrade() {
                    Some(engine) => engine.increment_epoch(),
                    None => return,
                }
            }
        };
        let spawned = thread::Builder::new().name("plugin-clock".to_owned()).spawn(clock);
        spawned
            .map_err(|error| PluginError::Machine { reason: format!("no thread for the clock: {error}") })?;
        Ok(Self { engine, options })
    }

    /// Whether instructions are counted.
    pub fn deterministic(&self) -> bool {
        self.options.deterministic
    }
}

/// What is the same for every guest. All of it is part of the key of what was compiled.
fn settings(deterministic: bool) -> Config {
    let mut config = Config::new();
    config
        .cranelift_opt_level(OptLevel::Speed)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .consume_fuel(deterministic)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .wasm_backtrace_max_frames(None)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .wasm_tail_call(true)
        .wasm_component_model(true);
    config
}

fn cache(folder: &Path) -> wasmtime::Result<Cache> {
    let mut config = CacheConfig::new();
    config.with_directory(folder);
    Cache::new(config)
}
