// Cross-entropy of class scores with integer targets, losses of rows; the contract stands in mod.rs. One warp takes one
// row.
#include "common.cuh"

// Target of a row that does not count.
#define IGNORE 0xffffffffu

KERNEL(THREADS) cross_entropy_losses(const float* __restrict__ logits, const u32* __restrict__ targets,
                                     float* __restrict__ losses, u32 rows, u32 classes) {
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = logits + row * classes;
        float largest = minus_infinity(), sum = 0.0f;
        for (u32 column = lane_of_thread(); column < classes; column += 32) {
            largest = fmaxf(largest, from[column]);
        }
        largest = warp_max(largest);
        for (u32 column = lane_of_thread(); column < classes; column += 32) {
            sum += expf(from[column] - largest);
        }
        sum = warp_sum(sum);
        const u32 target = targets[row];
        if (lane_of_thread() == 0) {
            losses[row] =
                target == IGNORE ? 0.0f : (float)(log((double)sum) + (double)largest - (double)from[target]);
        }
    }
}
