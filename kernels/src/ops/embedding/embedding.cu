// Token embedding with the token dropout of masked language models; the contract stands in mod.rs.
#include "common.cuh"

// Factor of every token's row: zero for masks, (1 - f) / (1 - M/L) for the others. One warp takes one sequence.
KERNEL(THREADS) embedding_factors(const u32* __restrict__ offsets, const u32* __restrict__ ids,
                                  float* __restrict__ factors, u32 sequences, u32 mask_id, float train_fraction) {
    const float kept = 1.0f - train_fraction;
    for (u64 sequence = first_row(); sequence < sequences; sequence += row_stride()) {
        const u32 start = offsets[sequence], end = offsets[sequence + 1];
        u32 masks = 0;
        for (u32 token = start + lane_of_thread(); token < end; token += 32) {
            masks += ids[token] == mask_id ? 1u : 0u;
        }
        const float observed = (float)warp_sum(masks) / (float)(end - start);
        const float factor = kept / (1.0f - observed);
        for (u32 token = start + lane_of_thread(); token < end; token += 32) {
            factors[token] = ids[token] == mask_id ? 0.0f : factor;
        }
    }
}

// y_t = factor_t · E[id_t]; rows are copied where there are no factors. One block takes one token.
KERNEL(THREADS) embedding_rows(const u32* __restrict__ ids, const float* __restrict__ table,
                               const float* __restrict__ factors, float* __restrict__ y, u32 tokens, u32 width) {
    for (u32 token = blockIdx.x; token < tokens; token += gridDim.x) {
        const float* from = table + (u64)ids[token] * width;
        float* to = y + (u64)token * width;
        const float factor = factors ? factors[token] : 1.0f;
        for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
            to[column] = factor == 0.0f ? 0.0f : factor * from[column];
        }
    }
}
