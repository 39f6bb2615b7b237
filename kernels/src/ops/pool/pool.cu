// Pooling over token ranges, forward; the contract stands in mod.rs. One thread takes one column of one sequence.
// spans holds the first token and the end of every range.
#include "common.cuh"

// Sum of a range, or its mean.
template <bool MEAN>
INLINE void pool_sums(const u32* __restrict__ spans, const float* __restrict__ x, float* __restrict__ y,
                      u32 sequences, u32 width) {
    for (u64 at = first_element(); at < (u64)sequences * width; at += element_stride()) {
        const u64 sequence = at / width, column = at % width;
        const u32 start = spans[2 * sequence], end = spans[2 * sequence + 1];
        float sum = 0.0f;
        for (u32 token = start; token < end; token++) {
            sum += x[(u64)token * width + column];
        }
        y[at] = MEAN ? sum / (float)(end - start) : sum;
    }
}

KERNEL(THREADS) pool_mean(const u32* spans, const float* x, float* y, u32 sequences, u32 width) {
    pool_sums<true>(spans, x, y, sequences, width);
}

KERNEL(THREADS) pool_sum(const u32* spans, const float* x, float* y, u32 sequences, u32 width) {
    pool_sums<false>(spans, x, y, sequences, width);
}

KERNEL(THREADS) pool_cls(const u32* __restrict__ spans, const float* __restrict__ x, float* __restrict__ y,
                         u32 sequences, u32 width) {
    for (u64 at = first_element(); at < (u64)sequences * width; at += element_stride()) {
        y[at] = x[(u64)spans[2 * (at / width)] * width + at % width];
    }
}

// places: token rows of the maxima, or null.
KERNEL(THREADS) pool_max(const u32* __restrict__ spans, const float* __restrict__ x, float* __restrict__ y,
                         u32* __restrict__ places, u32 sequences, u32 width) {
    for (u64 at = first_element(); at < (u64)sequences * width; at += element_stride()) {
        const u64 sequence = at / width, column = at % width;
        u32 best = spans[2 * sequence];
        float largest = x[(u64)best * width + column];
        for (u32 token = best + 1; token < spans[2 * sequence + 1]; token++) {
            const float value = x[(u64)token * width + column];
            if (value > largest) {
                largest = value;
                best = token;
            }
        }
        y[at] = largest;
        if (places) {
            places[at] = best;
        }
    }
}
