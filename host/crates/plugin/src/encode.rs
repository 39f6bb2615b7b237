//! From a core module to a component, in this process.
//!
//! Compilers make core modules. One whose language has bindings for the contract says its types in a section
//! `component-type`; for one that does not, as for a C file with the names of the contract, the types of the world that
//! its manifest names are added.

use std::panic::{AssertUnwindSafe, catch_unwind};

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::contract::{WIT, World};
use crate::error::PluginError;
use crate::structure::Structure;

/// What the names of sections with types begin with.
const TYPE_SECTION: &str = "component-type";

/// The bytes of a component: those given, or a core module encoded as one.
///
/// # Errors
/// [`PluginError::Contract`] where a module does not export what the world wants, or with other types.
pub(crate) fn component(bytes: &[u8], structure: &Structure, world: World) -> Result<Vec<u8>, PluginError> {
    if structure.component {
        return Ok(bytes.to_vec());
    }
    let refused = |reason: String| PluginError::Contract { world: world.name(), reason };
    let has_types = structure.custom_sections.iter().any(|name| name.starts_with(TYPE_SECTION));
    // The encoder is not proven against hostile bytes.
    let encoded = catch_unwind(AssertUnwindSafe(|| {
        let mut module = bytes.to_vec();
        if !has_types {
            add_types(&mut module, world)?;
        }
        let encoder = ComponentEncoder::default().validate(true).reject_legacy_names(false);
        encoder
            .module(&module)
            .and_then(|mut encoder| encoder.encode())
            .map_err(|error| refused(format!("{error:#}")))
    }));
    encoded.unwrap_or_else(|_| {
        Err(refused("its types are damaged beyond what their reader can take".to_owned()))
    })
}

/// Appends the types of the contract.
fn add_types(module: &mut Vec<u8>, world: World) -> Result<(), PluginError> {
    let broken = |reason: String| PluginError::Contract { world: world.name(), reason };
    let mut resolve = Resolve::default();
    let package = resolve.push_str("plugin.wit", WIT).map_err(|error| broken(format!("{error:#}")))?;
    let id =
        resolve.select_world(&[package], Some(world.name())).map_err(|error| broken(format!("{error:#}")))?;
    embed_component_metadata(module, &resolve, id, StringEncoding::UTF8)
        .map_err(|error| broken(format!("{error:#}")))
}
