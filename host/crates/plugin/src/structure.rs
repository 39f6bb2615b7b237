//! What a guest is, told from its bytes before anything is compiled.
//!
//! A few kilobytes of nested components can keep a compiler busy for minutes and take gigabytes, so everything that
//! makes compiling dear is counted first: bytes, functions, the longest of them, local variables, nesting, and how many
//! instances come to life when nested components are brought to life again and again.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind, Encoding,
    FunctionBody, Instance, Parser, Payload, TypeRef, Validator, WasmFeatures,
};

use crate::contract::{HOST, LOG, TYPES};
use crate::error::PluginError;
use crate::limits::Limits;

/// Features that a guest may use. Threads, garbage collection, exceptions, several memories and 64-bit memories are no
/// part of the contract.
pub(crate) fn features() -> WasmFeatures {
    let core = WasmFeatures::WASM2.union(WasmFeatures::RELAXED_SIMD).union(WasmFeatures::TAIL_CALL);
    core.union(WasmFeatures::EXTENDED_CONST).union(WasmFeatures::COMPONENT_MODEL)
}

/// What was counted in a guest.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Structure {
    /// Whether it is a component; else it is a core module.
    pub component: bool,
    /// Bytes of the file.
    pub bytes: u64,
    /// Functions, those of nested modules too.
    pub functions: u64,
    /// Bytes of the code of the longest function.
    pub longest_function: u64,
    /// Local variables of all functions.
    pub locals: u64,
    /// Depth of nested components and modules.
    pub nesting: u64,
    /// Modules and components that come to life.
    pub instances: u64,
    /// Imports, as `instance` or `module field`.
    pub imports: Vec<String>,
    /// Names that it exports.
    pub exports: Vec<String>,
    /// Names of the custom sections of the outermost module or component.
    pub custom_sections: Vec<String>,
}

/// Counts a guest, and refuses one that is too large, too complicated, damaged or that wants something from outside.
///
/// # Errors
/// [`PluginError::Structure`], [`PluginError::Malformed`] and [`PluginError::Import`].
pub fn examine(bytes: &[u8], limits: &Limits) -> Result<Structure, PluginError> {
    let structure = count(bytes, limits)?;
    if let Some(name) = structure.imports.iter().find(|name| !is_offered(name, structure.component)) {
        return Err(PluginError::Import { name: name.clone() });
    }
    Validator::new_with_features(features()).validate_all(bytes).map_err(malformed)?;
    Ok(structure)
}

/// Whether the host has what a guest imports.
fn is_offered(name: &str, component: bool) -> bool {
    if component { name == HOST || name == TYPES } else { name == format!("{HOST} {LOG}") }
}

fn malformed(error: wasmparser::BinaryReaderError) -> PluginError {
    PluginError::Malformed { reason: format!("{} (at byte {})", error.message(), error.offset()) }
}

/// A component that is being read: what its definitions bring to life.
#[derive(Debug, Default)]
struct Level {
    /// Instances that one life of each component of its index space costs.
    components: Vec<u64>,
    /// Instances that one life of this component costs so far, itself included.
    cost: u64,
    is_module: bool,
}

/// Counts without validating: whatever it meets is only added up.
fn count(bytes: &[u8], limits: &Limits) -> Result<Structure, PluginError> {
    let mut found = Structure { bytes: bytes.len() as u64, ..Structure::default() };
    at_most("bytes", found.bytes, limits.file_bytes(), "file_mib")?;
    found.component = match bytes {
        [0, b'a', b's', b'm', 1, 0, 0, 0, ..] => false,
        [0, b'a', b's', b'm', _, 0, 1, 0, ..] => true,
        [0, b'a', b's', b'm', ..] => return Err(not_wasm("a version that is not known")),
        [] => return Err(not_wasm("no byte")),
        _ => return Err(not_wasm("other first bytes than those of WebAssembly")),
    };
    let mut parser = Parser::new(0);
    parser.set_features(features());
    let mut levels: Vec<Level> = Vec::new();
    let mut last = Level::default();
    for payload in parser.parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding, .. } => {
                levels.push(Level { cost: 1, is_module: encoding == Encoding::Module, ..Level::default() });
                found.nesting = found.nesting.max(levels.len() as u64);
                at_most("levels of nesting", found.nesting, limits.nesting, "nesting")?;
            }
            Payload::End(_) => {
                last = levels.pop().unwrap_or_default();
                if let Some(parent) = levels.last_mut().filter(|_| !last.is_module) {
                    parent.components.push(last.cost);
                }
            }
            payload => part(payload, &mut levels, &mut found, limits)?,
        }
    }
    found.instances = last.cost;
    at_most("instances", found.instances, limits.instances, "instances")?;
    Ok(found)
}

/// One section of the module or component that was begun last.
fn part(
    payload: Payload<'_>,
    levels: &mut [Level],
    found: &mut Structure,
    limits: &Limits,
) -> Result<(), PluginError> {
    let outermost = levels.len() == 1;
    match payload {
        Payload::CodeSectionStart { count, .. } => {
            found.functions += u64::from(count);
            at_most("functions", found.functions, limits.functions, "functions")?;
        }
        Payload::CodeSectionEntry(body) => function(&body, found, limits)?,
        Payload::ImportSection(section) if outermost => {
            for import in section.into_imports() {
                let import = import.map_err(malformed)?;
                found.imports.push(format!("{} {}", import.module, import.name));
                if matches!(import.ty, TypeRef::Memory(_) | TypeRef::Table(_) | TypeRef::Global(_)) {
                    return Err(PluginError::Import { name: format!("{} {}", import.module, import.name) });
                }
            }
        }
        Payload::ExportSection(section) if outermost => {
            for export in section {
                found.exports.push(export.map_err(malformed)?.name.to_owned());
            }
        }
        Payload::ComponentExportSection(section) => {
            for export in section {
                let export = export.map_err(malformed)?;
                if export.kind == ComponentExternalKind::Component {
                    return Err(foreign("exports a component"));
                }
                if outermost {
                    found.exports.push(export.name.name.to_owned());
                }
            }
        }
        Payload::CustomSection(section) if outermost => found.custom_sections.push(section.name().to_owned()),
        other => component_part(other, levels, found, limits)?,
    }
    Ok(())
}

/// A section that only components have.
fn component_part(
    payload: Payload<'_>,
    levels: &mut [Level],
    found: &mut Structure,
    limits: &Limits,
) -> Result<(), PluginError> {
    match payload {
        Payload::ComponentImportSection(section) => {
            for import in section {
                let import = import.map_err(malformed)?;
                if matches!(import.ty, wasmparser::ComponentTypeRef::Component(_)) {
                    return Err(foreign("imports a component"));
                }
                if levels.len() == 1 {
                    found.imports.push(import.name.name.to_owned());
                }
            }
        }
        Payload::InstanceSection(section) => {
            for instance in section {
                if let Instance::Instantiate { .. } = instance.map_err(malformed)? {
                    lives(levels, 1, limits)?;
                }
            }
        }
        Payload::ComponentInstanceSection(section) => {
            for instance in section {
                if let ComponentInstance::Instantiate { component_index, .. } = instance.map_err(malformed)? {
                    let cost = levels.last().and_then(|level| level.components.get(component_index as usize));
                    let cost =
                        *cost.ok_or_else(|| foreign("brings a component to life that it does not define"))?;
                    lives(levels, cost, limits)?;
                }
            }
        }
        Payload::ComponentAliasSection(section) => {
            for alias in section {
                name_again(&alias.map_err(malformed)?, levels)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// A component that gets one more index, or none that can be counted.
fn name_again(alias: &ComponentAlias<'_>, levels: &mut [Level]) -> Result<(), PluginError> {
    match alias {
        ComponentAlias::InstanceExport { kind: ComponentExternalKind::Component, .. } => {
            Err(foreign("takes a component out of an instance"))
        }
        ComponentAlias::Outer { kind: ComponentOuterAliasKind::Component, count, index } => {
            let level = levels.len().checked_sub(1 + *count as usize);
            let cost = level.and_then(|level| levels[level].components.get(*index as usize)).copied();
            let cost = cost.ok_or_else(|| foreign("names a component that is not there"))?;
            if let Some(level) = levels.last_mut() {
                level.components.push(cost);
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// `cost` more instances in a life of the component that is being read.
fn lives(levels: &mut [Level], cost: u64, limits: &Limits) -> Result<(), PluginError> {
    let Some(level) = levels.last_mut() else { return Ok(()) };
    level.cost = level.cost.saturating_add(cost);
    at_most("instances", level.cost, limits.instances, "instances")
}

fn function(body: &FunctionBody<'_>, found: &mut Structure, limits: &Limits) -> Result<(), PluginError> {
    let bytes = body.range().len() as u64;
    found.longest_function = found.longest_function.max(bytes);
    at_most("bytes in a function", bytes, limits.function_kib << 10, "function_kib")?;
    for local in body.get_locals_reader().map_err(malformed)? {
        found.locals = found.locals.saturating_add(u64::from(local.map_err(malformed)?.0));
    }
    at_most("local variables", found.locals, limits.locals, "locals")
}

fn at_most(what: &'static str, found: u64, most: u64, limit: &'static str) -> Result<(), PluginError> {
    if found > most { Err(PluginError::Structure { what, found, most, limit }) } else { Ok(()) }
}

fn not_wasm(found: &str) -> PluginError {
    PluginError::Malformed { reason: format!("found {found}, wanted a component or a core module") }
}

fn foreign(what: &str) -> PluginError {
    PluginError::Malformed {
        reason: format!(
            "it {what}, so its instances cannot be counted: compose it into one component that does not"
        ),
    }
}
