// The filter over the places of a map, forward; the contract stands in mod.rs. One warp takes one place and output.
#include "common.cuh"

KERNEL(THREADS) conv2d_forward(const float* __restrict__ x, const float* __restrict__ weights,
                               const float* __restrict__ shifts, float* __restrict__ y, u32 height, u32 breadth,
                               u32 inputs, u32 outputs, u32 side) {
    const u32 reach = side / 2;
    const u64 results = (u64)height * breadth * outputs;
    for (u64 result = first_row(); result < results; result += row_stride()) {
        const u64 place = result / outputs, output = result % outputs;
        const u32 row = (u32)(place / breadth), column = (u32)(place % breadth);
        const float* square = weights + output * inputs * side * side;
        float sum = 0.0f;
        // Numbers of the square: rows, columns, channels. What lies outside of the map wraps around and is too large.
        for (u32 tap = lane_of_thread(); tap < side * side * inputs; tap += 32) {
            const u32 channel = tap % inputs, v = tap / inputs % side, u = tap / inputs / side;
            const u32 from = row + u - reach, at = column + v - reach;
            if (from < height && at < breadth) {
                const float input = x[((u64)from * breadth + at) * inputs + channel];
                sum = fmaf(square[((u64)channel * side + u) * side + v], input, sum);
            }
        }
        sum = warp_sum(sum);
        if (lane_of_thread() == 0) {
            y[result] = sum + shifts[output];
        }
    }
}
