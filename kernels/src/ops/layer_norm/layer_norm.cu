// Layer normalisation, forward; the contract stands in mod.rs. One warp takes one row and reads it three times.
#include "common.cuh"

// statistics: mean and 1/σ of every row, or null.
template <typename Y>
INLINE void layer_norm(const float* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
                       Y* __restrict__ y, float* __restrict__ statistics, u32 rows, u32 width, float epsilon) {
    const u32 lane = lane_of_thread();
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = x + row * width;
        float sum = 0.0f, squares = 0.0f;
        for (u32 column = lane; column < width; column += 32) {
            sum += from[column];
        }
        const float mean = warp_sum(sum) / (float)width;
        for (u32 column = lane; column < width; column += 32) {
            const float distance = from[column] - mean;
            squares = fmaf(distance, distance, squares);
        }
        const float inverse = 1.0f / sqrtf(warp_sum(squares) / (float)width + epsilon);
        for (u32 column = lane; column < width; column += 32) {
            put(y + row * width + column, fmaf((from[column] - mean) * inverse, gamma[column], beta[column]));
        }
        if (statistics && lane == 0) {
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = inverse;
        }
    }
}

KERNEL(THREADS) layer_norm_f32(const float* x, const float* gamma, const float* beta, float* y, float* statistics,
                               u32 rows, u32 width, float epsilon) {
    layer_norm(x, gamma, beta, y, statistics, rows, width, epsilon);
}

KERNEL(THREADS) layer_norm_bf16(const float* x, const float* gamma, const float* beta, bf16* y, float* statistics,
                                u32 rows, u32 width, float epsilon) {
    layer_norm(x, gamma, beta, y, statistics, rows, width, epsilon);
}
