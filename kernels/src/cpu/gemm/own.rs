//! How a product is shared out when every task packs its own rows.

use super::tile::PANEL;

/// Bytes of packed rows that one core keeps to itself: half of the second-level cache of today's servers, whose
/// other half takes the panels on their way through.
const OWN_BYTES: usize = 512 * 1024;

/// Strips for which a panel is worth loading from memory.
const OWN_STRIPS_WANTED: usize = 16;

/// Strips for which a panel is worth loading from the third-level cache.
const OWN_STRIPS_LEAST: usize = 4;

/// Bytes of panels that stay in a third-level cache.
const OWN_PANEL_BYTES: usize = 8 * 1024 * 1024;

/// How rows and panels are shared out when every task packs its own rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    /// Stretches of rows, as even as whole strips allow.
    pub(super) chunks: usize,
    /// Stretches of panels; each packs the rows again.
    pub(super) groups: usize,
}

impl Own {
    /// The sharing, where own rows pay: when enough strips of packed rows stay in the second-level cache of a
    /// core that a panel is worth loading for them, or all panels stay in the third-level cache. Packed rows then
    /// never travel from core to core.
    pub(super) fn of(
        strips: usize,
        (height, strip_length): (usize, usize),
        panels: usize,
        threads: usize,
    ) -> Option<Self> {
        let most = OWN_BYTES / (4 * height * strip_length);
        let panel_bytes = 4 * PANEL * strip_length * panels;
        if most < OWN_STRIPS_LEAST || (most < OWN_STRIPS_WANTED && panel_bytes > OWN_PANEL_BYTES) {
            return None;
        }
        let chunks = strips.div_ceil(most).next_multiple_of(threads);
        if strips / chunks >= OWN_STRIPS_WANTED.min(most / 2) {
            return Some(Self { chunks, groups: 1 });
        }
        Some(Self { chunks: strips.div_ceil(most), groups: threads.min(panels) })
    }

    /// Strips of the largest stretch.
    pub(super) fn strips(self, strips: usize) -> usize {
        strips.div_ceil(self.chunks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_rows_are_shared_out_evenly_and_fit() {
        for (strips, threads, chunks, groups) in
            [(1, 2, 1, 2), (19, 2, 1, 2), (37, 2, 2, 1), (293, 2, 12, 1), (293, 16, 16, 1), (293, 64, 11, 10)]
        {
            assert_eq!(
                Own::of(strips, (14, 320), 10, threads),
                Some(Own { chunks, groups }),
                "{strips} {threads}"
            );
        }
        for (strips, inner) in [(1, 1), (300, 1), (300, 1280), (40, 2300)] {
            for threads in [1, 2, 3, 16] {
                let own = Own::of(strips, (14, inner), 10, threads).unwrap();
                let most =
                    (0..own.chunks).map(|c| (c + 1) * strips / own.chunks - c * strips / own.chunks).max();
                assert_eq!(most, Some(own.strips(strips)));
                assert!(own.strips(strips) * 14 * 4 * inner <= OWN_BYTES, "{strips} {inner} {threads}");
            }
        }
    }

    /// Wide rows, or panels too large for any cache, are packed once for all threads.
    #[test]
    fn wide_rows_are_packed_for_all() {
        assert_eq!(Own::of(300, (14, 2400), 10, 2), None);
        assert_eq!(Own::of(300, (14, 1280), 160, 2), None);
    }
}
