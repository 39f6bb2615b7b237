//! What can be wrong with logs.

/// Why logs are not drawn.
#[derive(Debug, thiserror::Error)]
pub enum PlotError {
    /// Lines that are no lines of a log.
    #[error("{count} bad {} in {file}", if *count == 1 { "line" } else { "lines" })]
    BadLines {
        /// The log.
        file: String,
        /// How many there are.
        count: u64,
        /// The first of them with the number of their line and what is wrong.
        shown: Vec<String>,
    },
    /// A name that no log has.
    #[error("no log has a number called {key}: found {found}")]
    NoSuchKey {
        /// The name that was asked for.
        key: String,
        /// Those that are there.
        found: String,
    },
    /// Logs without a number to draw.
    #[error("nothing to draw of {keys}: found no number{}", if *log { " above zero" } else { "" })]
    Nothing {
        /// The names that were asked for.
        keys: String,
        /// Whether only numbers above zero have a place.
        log: bool,
    },
    /// Numbers that have no place in one picture.
    #[error("nothing to draw: the numbers are too far apart for one picture, or have no step to stand at")]
    TooWide,
}

impl PlotError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::BadLines { .. } => {
                "a log holds one JSON object a line, with a number under 'step', as 'pliant pretrain' writes it"
            }
            Self::NoSuchKey { .. } => "--y takes names that stand in the logs",
            Self::Nothing { log: true, .. } => "leave out --log-y",
            Self::Nothing { log: false, .. } | Self::TooWide => return None,
        };
        Some(text.to_owned())
    }

    /// Its parts, one line each.
    pub fn details(&self) -> Vec<String> {
        let Self::BadLines { shown, count, .. } = self else { return Vec::new() };
        let more = count.saturating_sub(shown.len() as u64);
        let more = (more > 0).then(|| format!("and {more} more"));
        shown.iter().cloned().chain(more).collect()
    }
}
