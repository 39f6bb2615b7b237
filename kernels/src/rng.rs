//! Counter-based random numbers: the same value for the same place, on any device, in any order.
//!
//! Philox 4×32 with ten rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).

const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Four random words for one counter under one key.
#[must_use]
pub fn philox(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut words = counter;
    let mut key = key;
    for round in 0..10 {
        if round > 0 {
            key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
        }
        words = mix(words, key);
    }
    words
}

/// One round.
#[inline(always)]
fn mix(words: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let first = u64::from(MULTIPLIERS[0]) * u64::from(words[0]);
    let second = u64::from(MULTIPLIERS[1]) * u64::from(words[2]);
    [
        (second >> 32) as u32 ^ words[1] ^ key[0],
        second as u32,
        (first >> 32) as u32 ^ words[3] ^ key[1],
        first as u32,
    ]
}

/// A stream of random numbers, a pure function of (seed, stream, step, index).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Philox {
    seed: u64,
    stream: u32,
    step: u32,
}

impl Philox {
    /// The stream of one purpose (`stream`, for example an operation or a parameter) at one `step`.
    #[must_use]
    pub fn new(seed: u64, stream: u32, step: u32) -> Self {
        Self { seed, stream, step }
    }

    /// Random word at `index`.
    #[must_use]
    pub fn word(&self, index: u64) -> u32 {
        let block = index / 4;
        let counter = [block as u32, (block >> 32) as u32, self.stream, self.step];
        philox(counter, [self.seed as u32, (self.seed >> 32) as u32])[(index % 4) as usize]
    }

    /// The words of `COUNT` blocks of four from `block` on: `words[j][i]` is the word at `4·(block + i) + j`. Written
    /// lane by lane, so that vectors can do it.
    #[inline(always)]
    #[must_use]
    pub fn words<const COUNT: usize>(&self, block: u64) -> [[u32; COUNT]; 4] {
        let mut words = [[0; COUNT], [0; COUNT], [self.stream; COUNT], [self.step; COUNT]];
        for lane in 0..COUNT {
            let block = block + lane as u64;
            words[0][lane] = block as u32;
            words[1][lane] = (block >> 32) as u32;
        }
        let mut key = [self.seed as u32, (self.seed >> 32) as u32];
        for round in 0..10 {
            if round > 0 {
                key = [key[0].wrapping_add(WEYL[0]), key[1].wrapping_add(WEYL[1])];
            }
            for lane in 0..COUNT {
                let mixed = mix([words[0][lane], words[1][lane], words[2][lane], words[3][lane]], key);
                for word in 0..4 {
                    words[word][lane] = mixed[word];
                }
            }
        }
        words
    }

    /// Uniform number in [0, 1) with 24 random bits at `index`.
    #[must_use]
    pub fn uniform(&self, index: u64) -> f32 {
        (self.word(index) >> 8) as f32 / 16_777_216.0
    }

    /// Standard normal number at `index` (Box and Muller, in `f64`; two words each).
    #[must_use]
    pub fn normal(&self, index: u64) -> f32 {
        let radius = (f64::from(self.word(2 * index)) + 1.0) / 4_294_967_296.0;
        let angle = f64::from(self.word(2 * index + 1)) / 4_294_967_296.0 * std::f64::consts::TAU;
        (libm::sqrt(-2.0 * libm::log(radius)) * libm::cos(angle)) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known answers of the authors' library Random123 (`kat_vectors`, philox4x32 10 rounds).
    #[test]
    fn known_answers() {
        assert_eq!(philox([0; 4], [0; 2]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            philox([u32::MAX; 4], [u32::MAX; 2]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            philox([0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344], [0xa409_3822, 0x299f_31d0]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn blocks_of_words_are_the_words_one_by_one() {
        let stream = Philox::new(0x1234_5678_9abc_def0, 3, 4);
        for block in [0, 5, (1 << 32) - 3] {
            let words = stream.words::<7>(block);
            for index in 0..28_u64 {
                let place = index as usize;
                assert_eq!(words[place % 4][place / 4], stream.word(4 * block + index), "{block} {index}");
            }
        }
    }

    #[test]
    fn normal_has_mean_zero_and_variance_one() {
        let stream = Philox::new(7, 3, 0);
        let values: Vec<f64> = (0..20_000).map(|i| f64::from(stream.normal(i))).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03, "mean {mean}, variance {variance}");
    }
}
