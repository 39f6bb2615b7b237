//! A guest that is alive: its store, its limits, and calls into it.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::{Component, ComponentNamedList, Func, Instance, InstancePre, Lift, Linker, Lower};
use wasmtime::{ResourceLimiter, Store, Trap};

use crate::contract::{GuestError, HOST, LOG, LogLevel, TYPES, World};
use crate::error::PluginError;
use crate::limits::Limits;
use crate::sandbox::{Sandbox, TICK};

/// Lines of a guest that are kept until somebody takes them.
const LOG_LINES: usize = 1000;

/// Letters of a line, and of a name, that are kept.
pub(crate) const LINE_CHARS: usize = 1000;

/// Memories and tables of a guest at most.
const MEMORIES: usize = 64;

/// A line that a guest has written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub level: LogLevel,
    /// The words, cut and without control characters.
    pub message: String,
}

/// What belongs to one store.
pub(crate) struct Inside {
    limits: Limits,
    memory: u64,
    elements: u64,
    log: Vec<LogLine>,
}

/// Why the host has stopped a guest in the middle of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Memory,
    Table,
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "no more memory",
            Self::Table => "no more elements of tables",
        })
    }
}

impl std::error::Error for Stop {}

impl ResourceLimiter for Inside {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let memory = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if memory > self.limits.memory_bytes() {
            return Err(Stop::Memory.into());
        }
        self.memory = memory;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current) as u64);
        if elements > self.limits.table_elements {
            return Err(Stop::Table.into());
        }
        self.elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        usize::try_from(self.limits.instances).unwrap_or(usize::MAX)
    }

    fn tables(&self) -> usize {
        MEMORIES
    }

    fn memories(&self) -> usize {
        MEMORIES
    }
}

/// A compiled guest with everything that it imports.
#[derive(Clone)]
pub(crate) struct Blueprint {
    sandbox: Sandbox,
    world: World,
    limits: Limits,
    /// The functions of the world are exports of this instance.
    pre: Arc<InstancePre<Inside>>,
}

impl Blueprint {
    pub(crate) fn new(
        sandbox: &Sandbox,
        component: &Component,
        world: World,
        limits: Limits,
    ) -> Result<Self, PluginError> {
        let broken = |error: wasmtime::Error| PluginError::Contract {
            world: world.name(),
            reason: format!("{error:#}"),
        };
        let mut linker: Linker<Inside> = Linker::new(&sandbox.engine);
        linker.instance(TYPES).map_err(broken)?;
        let mut host = linker.instance(HOST).map_err(broken)?;
        host.func_wrap(LOG, |mut store, (level, message): (LogLevel, String)| {
            let log = &mut store.data_mut().log;
            if log.len() < LOG_LINES {
                log.push(LogLine { level, message: plain(&message) });
            }
            Ok(())
        })
        .map_err(broken)?;
        let pre = Arc::new(linker.instantiate_pre(component).map_err(broken)?);
        let instance = component.get_export_index(None, world.export());
        for function in world.functions() {
            if instance.and_then(|index| component.get_export_index(Some(&index), function)).is_none() {
                let reason = format!("it does not export {} with the function {function}", world.export());
                return Err(PluginError::Contract { world: world.name(), reason });
            }
        }
        Ok(Self { sandbox: sandbox.clone(), world, limits, pre })
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Brings a guest to life.
    pub(crate) fn live(&self) -> Result<Guest, PluginError> {
        let inside = Inside { limits: self.limits, memory: 0, elements: 0, log: Vec::new() };
        let mut store = Store::new(&self.sandbox.engine, inside);
        store.limiter(|inside| inside);
        store.set_hostcall_fuel(self.limits.output_bytes());
        let mut guest = Guest { store, blueprint: self.clone(), functions: Vec::new() };
        guest.arm("start")?;
        let instance = self.pre.instantiate(&mut guest.store);
        let instance = instance.map_err(|error| guest.reason("start", &error))?;
        guest.functions = self.functions(&mut guest.store, instance)?;
        Ok(guest)
    }

    fn functions(
        &self,
        store: &mut Store<Inside>,
        instance: Instance,
    ) -> Result<Vec<(&'static str, Func)>, PluginError> {
        let missing = |function: &str| PluginError::Contract {
            world: self.world.name(),
            reason: format!("{} has no function {function}", self.world.export()),
        };
        let exports = instance.get_export_index(&mut *store, None, self.world.export());
        let mut functions = Vec::new();
        for &name in self.world.functions() {
            let index =
                exports.and_then(|exports| instance.get_export_index(&mut *store, Some(&exports), name));
            let function = index.and_then(|index| instance.get_func(&mut *store, index));
            functions.push((name, function.ok_or_else(|| missing(name))?));
        }
        Ok(functions)
    }
}

/// A guest that is alive. After any error of [`Guest::call`] but the guest's own it is dead.
pub(crate) struct Guest {
    store: Store<Inside>,
    blueprint: Blueprint,
    functions: Vec<(&'static str, Func)>,
}

impl Guest {
    /// Calls a function of the world whose answer may be an error of the guest's own.
    pub(crate) fn ask<P, R>(&mut self, call: &'static str, parameters: P) -> Result<R, PluginError>
    where
        P: ComponentNamedList + Lower,
        R: Lift + wasmtime::component::ComponentType + Send + Sync + 'static,
    {
        let (answer,): (Result<R, GuestError>,) = self.call(call, parameters)?;
        answer.map_err(|error| {
            let (kind, message) = match error {
                GuestError::BadInput(message) => ("bad input", message),
                GuestError::Unsupported(message) => ("unsupported", message),
                GuestError::Internal(message) => ("internal", message),
            };
            PluginError::Refused { call, kind, message: plain(&message) }
        })
    }

    /// Calls a function of the world.
    pub(crate) fn call<P, R>(&mut self, call: &'static str, parameters: P) -> Result<R, PluginError>
    where
        P: ComponentNamedList + Lower,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let world = self.blueprint.world;
        let other = |reason: String| PluginError::Contract { world: world.name(), reason };
        let function = self.functions.iter().find(|(name, _)| *name == call).map(|(_, function)| *function);
        let function = function.ok_or_else(|| other(format!("there is no function {call}")))?;
        let typed = function
            .typed::<P, R>(&self.store)
            .map_err(|error| other(format!("{call} has other types: {error:#}")))?;
        self.arm(call)?;
        typed.call(&mut self.store, parameters).map_err(|error| self.reason(call, &error))
    }

    /// The lines that it has written since they were taken last.
    pub(crate) fn take_log(&mut self) -> Vec<LogLine> {
        std::mem::take(&mut self.store.data_mut().log)
    }

    /// Gives a call its time, and its instructions where they are counted.
    fn arm(&mut self, call: &'static str) -> Result<(), PluginError> {
        let Blueprint { limits, sandbox, .. } = &self.blueprint;
        let ticks = limits.call_ms.div_ceil(TICK.as_millis() as u64).saturating_add(1);
        let (fuel, deterministic) = (limits.fuel, sandbox.deterministic());
        self.store.set_epoch_deadline(ticks);
        if deterministic {
            let set = self.store.set_fuel(fuel);
            set.map_err(|error| PluginError::Trap { call, reason: format!("{error:#}") })?;
        }
        Ok(())
    }

    /// What an error of the engine means.
    fn reason(&self, call: &'static str, error: &wasmtime::Error) -> PluginError {
        let limits = &self.blueprint.limits;
        let limit = |most: String, limit| PluginError::Limit { call, most, limit };
        match (error.downcast_ref::<Stop>(), error.downcast_ref::<Trap>()) {
            (Some(Stop::Memory), _) => limit(format!("{} MiB of memory", limits.memory_mib), "memory_mib"),
            (Some(Stop::Table), _) => {
                limit(format!("{} elements of tables", limits.table_elements), "table_elements")
            }
            (_, Some(Trap::Interrupt)) => limit(format!("{} ms", limits.call_ms), "call_ms"),
            (_, Some(Trap::OutOfFuel)) => limit(format!("{} instructions", limits.fuel), "fuel"),
            (_, Some(trap)) => PluginError::Trap { call, reason: trap.to_string() },
            _ => {
                let reason = format!("{error:#}");
                // The engine has no type for this one.
                if reason.contains("hostcall") {
                    return limit(format!("{} MiB of answer", limits.output_mib), "output_mib");
                }
                PluginError::Trap { call, reason }
            }
        }
    }
}

/// Words of a guest, fit to be shown: cut, and without what a terminal would obey.
pub(crate) fn plain(text: &str) -> String {
    let shown = text.chars().take(LINE_CHARS);
    shown.map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
