// Normalisation by the root of the mean square, forward; the contract stands in mod.rs. One warp takes one row.
#include "common.cuh"

// statistics: q of every row, or null.
template <typename Y>
INLINE void rms_norm(const float* __restrict__ x, const float* __restrict__ gamma, Y* __restrict__ y,
                     float* __restrict__ statistics, u32 rows, u32 width, float epsilon) {
    const u32 lane = lane_of_thread();
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = x + row * width;
        float squares = 0.0f;
        for (u32 column = lane; column < width; column += 32) {
            squares = fmaf(from[column], from[column], squares);
        }
        const float inverse = 1.0f / sqrtf(warp_sum(squares) / (float)width + epsilon);
        for (u32 column = lane; column < width; column += 32) {
            put(y + row * width + column, from[column] * inverse * gamma[column]);
        }
        if (statistics && lane == 0) {
            statistics[row] = inverse;
        }
    }
}

KERNEL(THREADS) rms_norm_f32(const float* x, const float* gamma, float* y, float* statistics, u32 rows, u32 width,
                             float epsilon) {
    rms_norm(x, gamma, y, statistics, rows, width, epsilon);
}

KERNEL(THREADS) rms_norm_bf16(const float* x, const float* gamma, bf16* y, float* statistics, u32 rows, u32 width,
                              float epsilon) {
    rms_norm(x, gamma, y, statistics, rows, width, epsilon);
}
