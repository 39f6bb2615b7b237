//! A model in memory, kept: as a folder of its own, or as its weights alone.

use std::path::Path;

use pliant_nn::checkpoint::CONFIG;
use pliant_nn::{read_live, write_live};

use crate::Loaded;
use crate::error::ModelError;
use crate::folder::{NewFolder, write_text};

/// The weights in a model folder.
const WEIGHTS: &str = "model.safetensors";

impl Loaded {
    /// Writes the model as it is now as the model folder `out`, which may exist when it is empty: the config completed,
    /// 32-bit weights under canonical names, and the text of `vocab.txt`. It appears whole or not at all.
    ///
    /// # Errors
    /// [`ModelError`] for a folder that cannot be made and a file that cannot be written.
    pub fn save(&self, vocabulary: &str, out: &Path) -> Result<(), ModelError> {
        let folder = NewFolder::create(out)?;
        write_live(&folder.path(WEIGHTS), &self.live)?;
        folder.write("vocab.txt", vocabulary)?;
        folder.write(CONFIG, &self.config)?;
        folder.commit()
    }

    /// Writes the files of [`Loaded::save`] into a folder that is there, and that its owner brings to light when it is
    /// whole.
    ///
    /// # Errors
    /// As [`Loaded::save`].
    pub fn save_into(&self, vocabulary: &str, folder: &Path) -> Result<(), ModelError> {
        self.save_weights(&folder.join(WEIGHTS))?;
        write_text(&folder.join("vocab.txt"), vocabulary)?;
        write_text(&folder.join(CONFIG), &self.config)
    }

    /// Writes the weights as they are now, in 32 bits, as one safetensors file.
    ///
    /// # Errors
    /// As [`Loaded::save`].
    pub fn save_weights(&self, path: &Path) -> Result<(), ModelError> {
        Ok(write_live(path, &self.live)?)
    }

    /// Gives a model for training the weights of a file that [`Loaded::save_weights`] wrote of the same model. The file
    /// is checked whole before the first weight changes.
    ///
    /// # Errors
    /// [`ModelError::Checkpoint`] naming file and tensor for one that is missing, too many, of another shape or
    /// damaged.
    pub fn restore_weights(&self, path: &Path) -> Result<(), ModelError> {
        Ok(read_live(path, &self.live)?)
    }
}
