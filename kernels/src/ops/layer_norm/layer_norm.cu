// Layer normalisation, forward; the contract stands in mod.rs. One warp takes one row and reads it once up to a width of
// HELD; what is beyond is read three times.
#include "common.cuh"

// Numbers of a row that a warp holds in shared memory, where each lane reads those that it wrote.
#define HELD 1280

// statistics: mean of every row, and 1/σ or (ROOT) the unbiased standard deviation; or null.
template <bool ROOT, typename Y>
INLINE void layer_norm(const float* __restrict__ x, const float* __restrict__ gamma, const float* __restrict__ beta,
                       Y* __restrict__ y, float* __restrict__ statistics, u32 rows, u32 width, float epsilon) {
    __shared__ float held[THREADS / 32][HELD];
    const u32 lane = lane_of_thread();
    float* mine = held[threadIdx.x / 32];
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = x + row * width;
        float sum = 0.0f, squares = 0.0f;
        u32 column = lane;
#pragma unroll 8
        for (; column < min(width, HELD); column += 32) {
            mine[column] = from[column];
            sum += mine[column];
        }
        for (; column < width; column += 32) {
            sum += from[column];
        }
        const float mean = warp_sum(sum) / (float)width;
#pragma unroll 4
        for (column = lane; column < min(width, HELD); column += 32) {
            const float distance = mine[column] - mean;
            squares = fmaf(distance, distance, squares);
        }
        for (; column < width; column += 32) {
            const float distance = from[column] - mean;
            squares = fmaf(distance, distance, squares);
        }
        squares = warp_sum(squares);
        const float spread = ROOT ? sqrtf(squares / (float)(width - 1)) : squares / (float)width;
        const float inverse = 1.0f / sqrtf(spread + epsilon);
#pragma unroll 4
        for (column = lane; column < min(width, HELD); column += 32) {
            put(y + row * width + column, fmaf((mine[column] - mean) * inverse, gamma[column], beta[column]));
        }
        for (; column < width; column += 32) {
            put(y + row * width + column, fmaf((from[column] - mean) * inverse, gamma[column], beta[column]));
        }
        if (statistics && lane == 0) {
            statistics[2 * row] = mean;
            statistics[2 * row + 1] = ROOT ? spread : inverse;
        }
    }
}

KERNEL(THREADS) layer_norm_f32(const float* x, const float* gamma, const float* beta, float* y, float* statistics,
                               u32 rows, u32 width, float epsilon) {
    layer_norm<false>(x, gamma, beta, y, statistics, rows, width, epsilon);
}

KERNEL(THREADS) layer_norm_bf16(const float* x, const float* gamma, const float* beta, bf16* y, float* statistics,
                                u32 rows, u32 width, float epsilon) {
    layer_norm<false>(x, gamma, beta, y, statistics, rows, width, epsilon);
}

KERNEL(THREADS) layer_norm_root_f32(const float* x, const float* gamma, const float* beta, float* y,
                                    float* statistics, u32 rows, u32 width, float epsilon) {
    layer_norm<true>(x, gamma, beta, y, statistics, rows, width, epsilon);
}

KERNEL(THREADS) layer_norm_root_bf16(const float* x, const float* gamma, const float* beta, bf16* y,
                                     float* statistics, u32 rows, u32 width, float epsilon) {
    layer_norm<true>(x, gamma, beta, y, statistics, rows, width, epsilon);
}
