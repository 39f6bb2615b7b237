//! A plugin that was let in: checked, compiled, and ready to be brought to life as often as there are threads.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::compile;
use crate::contract::{CONTRACT, World};
use crate::error::PluginError;
use crate::guest::Blueprint;
use crate::head::Head;
use crate::limits::Limits;
use crate::metric::Metric;
use crate::sandbox::Sandbox;

/// What a guest is given as it begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Setup {
    /// A JSON object with every key of its manifest, in the order of their names.
    pub config: String,
    /// The bytes of its weights.
    pub weights: Option<Arc<[u8]>>,
}

/// A compiled guest and what it is given. Clones share what was compiled.
#[derive(Clone)]
pub struct Plugin {
    world: World,
    identity: String,
    blueprint: Blueprint,
    setup: Setup,
}

impl Plugin {
    /// Examines and compiles a guest: a component, or a core module that is encoded as one.
    ///
    /// # Errors
    /// Everything that keeps a guest out: [`PluginError::Structure`], [`PluginError::Malformed`],
    /// [`PluginError::Import`], [`PluginError::Contract`], [`PluginError::Compile`], [`PluginError::CompileLimit`].
    pub fn compile(
        sandbox: &Sandbox,
        bytes: &[u8],
        world: World,
        setup: Setup,
        limits: Limits,
    ) -> Result<Self, PluginError> {
        let component = compile::compile(sandbox, bytes, world, &limits)?;
        let blueprint = Blueprint::new(sandbox, &component, world, limits)?;
        Ok(Self { world, identity: identity(bytes, world, &setup, sandbox), blueprint, setup })
    }

    /// What kind of plugin it is.
    pub fn world(&self) -> World {
        self.world
    }

    /// SHA-256 over all that its answers depend on: guest, world, configuration, weights and how it is run. The key of
    /// what it has answered.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Brings a head to life; each thread needs its own.
    ///
    /// # Errors
    /// What goes wrong as it starts, and what it says about itself that cannot be.
    pub fn head(&self) -> Result<Head, PluginError> {
        self.wanted(World::Head)?;
        Head::new(self.blueprint.clone(), self.setup.clone())
    }

    /// Brings a metric to life; each thread needs its own.
    ///
    /// # Errors
    /// What goes wrong as it starts, and what it says about itself that cannot be.
    pub fn metric(&self) -> Result<Metric, PluginError> {
        self.wanted(World::Metric)?;
        Metric::new(&self.blueprint, &self.setup)
    }

    fn wanted(&self, world: World) -> Result<(), PluginError> {
        if self.world == world {
            return Ok(());
        }
        Err(PluginError::Contract { world: world.name(), reason: format!("it is a {}", self.world) })
    }
}

/// The SHA-256 of `bytes` as hexadecimal digits.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn identity(bytes: &[u8], world: World, setup: &Setup, sandbox: &Sandbox) -> String {
    let mut sum = Sha256::new();
    let weights = setup.weights.as_deref().map_or_else(|| "none".to_owned(), sha256);
    let mode = if sandbox.deterministic() { "counted" } else { "plain" };
    let parts = [CONTRACT, world.name(), mode, &sha256(bytes), &weights, &sha256(setup.config.as_bytes())];
    parts.iter().for_each(|part| sum.update(format!("{part}\n")));
    hexadecimal(&sum.finalize())
}
