// Depthwise causal filter with SiLU, forward; the contract stands in mod.rs. `reverse` walks every sequence from its end.
#include "common.cuh"

// u = SiLU(b + Σ_k w_k ⊙ x_{i-(K-1)+k}). One block takes one row. carry: the K-1 rows before the first sequence met, or
// null where it begins here.
KERNEL(THREADS) conv1d_forward(const u32* __restrict__ offsets, const float* __restrict__ x,
                               const float* __restrict__ w, const float* __restrict__ b,
                               const float* __restrict__ carry, float* __restrict__ u, u32 sequences, u32 tokens,
                               u32 width, u32 filter, u32 reverse) {
    for (u32 row = blockIdx.x; row < tokens; row += gridDim.x) {
        const u32 sequence = sequence_of(offsets, sequences, row);
        const u32 start = offsets[sequence], last = offsets[sequence + 1] - 1;
        const u32 step = reverse ? last - row : row - start;
        const bool continues = carry && sequence == (reverse ? sequences - 1 : 0);
        for (u32 e = threadIdx.x; e < width; e += blockDim.x) {
            float sum = b[e];
            for (u32 k = 0; k < filter; k++) {
                const u32 back = filter - 1 - k;
                float value = 0.0f;
                if (step >= back) {
                    const u32 source = reverse ? row + back : row - back;
                    value = x[(u64)source * width + e];
                } else if (continues) {
                    value = carry[(u64)(step + k) * width + e];
                }
                sum = fmaf(w[(u64)e * filter + k], value, sum);
            }
            u[(u64)row * width + e] = silu(sum);
        }
    }
}

// What the last sequence met leaves behind: its last K-1 rows, before them those of the carry it came with (null where
// it began here) or zeros. One thread takes one number.
KERNEL(THREADS) conv1d_carry(const u32* __restrict__ offsets, const float* __restrict__ x,
                             const float* __restrict__ carry, float* __restrict__ left, u32 sequences, u32 width,
                             u32 filter, u32 reverse) {
    const u32 sequence = reverse ? 0 : sequences - 1;
    const u32 start = offsets[sequence], end = offsets[sequence + 1], length = end - start;
    for (u64 at = first_element(); at < (u64)(filter - 1) * width; at += element_stride()) {
        const u32 place = (u32)(at / width), e = (u32)(at % width);
        float value = 0.0f;
        if (length + place + 1 >= filter) {
            const u32 step = length + place + 1 - filter;
            value = x[(u64)(reverse ? end - 1 - step : start + step) * width + e];
        } else if (carry && sequences == 1) {
            value = carry[(u64)(place + length) * width + e];
        }
        left[at] = value;
    }
}
