//! How far a fast path may stand from its oracle.

/// Allowed distance of a result from its reference: `absolute + relative · |reference|`.
///
/// The constant of each operation stands in its contract together with its reason, and the tests show
/// that it bites: a reference moved by ten times the tolerance must be refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Tolerance {
    /// Part that does not depend on the size of the reference.
    pub absolute: f64,
    /// Part that grows with the size of the reference.
    pub relative: f64,
}

impl Tolerance {
    /// Largest distance allowed at `reference`.
    #[must_use]
    pub fn at(&self, reference: f64) -> f64 {
        self.absolute + self.relative * reference.abs()
    }
}
