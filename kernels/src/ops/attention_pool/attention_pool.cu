// Attention pooling over token ranges, forward; the contract stands in mod.rs. spans holds the first token and the end of
// every range; weights of tokens outside of ranges are left as they are.
#include "common.cuh"

// Softmax of the scores of a range: one warp takes one sequence.
KERNEL(THREADS) attention_pool_weights(const u32* __restrict__ spans, const float* __restrict__ scores,
                                       float* __restrict__ weights, u32 sequences) {
    for (u64 sequence = first_row(); sequence < sequences; sequence += row_stride()) {
        const u32 start = spans[2 * sequence], end = spans[2 * sequence + 1];
        float largest = minus_infinity(), sum = 0.0f;
        for (u32 token = start + lane_of_thread(); token < end; token += 32) {
            largest = fmaxf(largest, scores[token]);
        }
        largest = warp_max(largest);
        for (u32 token = start + lane_of_thread(); token < end; token += 32) {
            sum += expf(scores[token] - largest);
        }
        sum = warp_sum(sum);
        for (u32 token = start + lane_of_thread(); token < end; token += 32) {
            weights[token] = expf(scores[token] - largest) / sum;
        }
    }
}

// Weighted sums: one thread takes one column of one sequence, tokens ascending.
KERNEL(THREADS) attention_pool_states(const u32* __restrict__ spans, const float* __restrict__ x,
                                      const float* __restrict__ weights, float* __restrict__ y, u32 sequences,
                                      u32 width) {
    for (u64 at = first_element(); at < (u64)sequences * width; at += element_stride()) {
        const u64 sequence = at / width, column = at % width;
        float sum = 0.0f;
        for (u32 token = spans[2 * sequence]; token < spans[2 * sequence + 1]; token++) {
            sum = fmaf(weights[token], x[(u64)token * width + column], sum);
        }
        y[at] = sum;
    }
}
