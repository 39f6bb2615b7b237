// Ordered levels from one score, forward; the contract stands in mod.rs.
#include "common.cuh"

// Logits [R,K]: one thread takes one number.
KERNEL(THREADS) ordinal_logits(const float* __restrict__ scores, const float* __restrict__ weights,
                               const float* __restrict__ shifts, float* __restrict__ logits, u32 rows,
                               u32 thresholds) {
    for (u64 at = first_element(); at < (u64)rows * thresholds; at += element_stride()) {
        const u64 row = at / thresholds, threshold = at % thresholds;
        logits[at] = scores[row] * weights[threshold] + shifts[threshold];
    }
}

// Probabilities [R,K+1]: one thread takes one row, levels ascending, in 64 bits.
KERNEL(THREADS) ordinal_levels(const float* __restrict__ logits, float* __restrict__ probabilities, u32 rows,
                               u32 thresholds) {
    for (u64 row = first_element(); row < rows; row += element_stride()) {
        const float* from = logits + row * thresholds;
        float* to = probabilities + row * (thresholds + 1);
        double sum = 0.0;
        for (u32 turn = 0; turn < 2; turn++) {
            double up = 1.0;
            for (u32 level = 0; level <= thresholds; level++) {
                const double power = level < thresholds ? exp(-(double)from[level]) : 0.0;
                const double above = level < thresholds ? 1.0 / (1.0 + power) : 0.0;
                const double below = level < thresholds ? 1.0 / (1.0 + 1.0 / power) : 1.0;
                if (turn == 0) {
                    sum += up * below;
                } else {
                    to[level] = (float)(up * below / sum);
                }
                up = above;
            }
        }
    }
}
