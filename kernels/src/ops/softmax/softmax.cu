// Softmax of rows and its logarithm, forward; the contract stands in mod.rs. One warp takes one row.
#include "common.cuh"

// Largest score of a row, and the sum of the exponentials of all scores less that.
INLINE float2 largest_and_sum(const float* __restrict__ row, u32 classes) {
    float2 result;
    result.x = minus_infinity();
    for (u32 column = lane_of_thread(); column < classes; column += 32) {
        result.x = fmaxf(result.x, row[column]);
    }
    result.x = warp_max(result.x);
    result.y = 0.0f;
    for (u32 column = lane_of_thread(); column < classes; column += 32) {
        result.y += expf(row[column] - result.x);
    }
    result.y = warp_sum(result.y);
    return result;
}

KERNEL(THREADS) softmax_probabilities(const float* __restrict__ x, float* __restrict__ y, u32 rows, u32 classes) {
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = x + row * classes;
        const float2 found = largest_and_sum(from, classes);
        for (u32 column = lane_of_thread(); column < classes; column += 32) {
            y[row * classes + column] = expf(from[column] - found.x) / found.y;
        }
    }
}

KERNEL(THREADS) softmax_logarithms(const float* __restrict__ x, float* __restrict__ y, u32 rows, u32 classes) {
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = x + row * classes;
        const float2 found = largest_and_sum(from, classes);
        const float logarithm = (float)log((double)found.y);
        for (u32 column = lane_of_thread(); column < classes; column += 32) {
            y[row * classes + column] = from[column] - found.x - logarithm;
        }
    }
}
