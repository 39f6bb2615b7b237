// One step of both directions of an LSTM; the contract stands in mod.rs. The host launches a step at a time, for the
// sequences that still run, which come first in `starts` and `lengths`: longest first. Nothing is kept for a backward: training runs on the processor.
#include "common.cuh"

// Sequences and units of a block's tile, and the stretch of the inner dimension that is held at once.
#define LINES 16
#define UNITS 16
#define DEPTH 16
#define TILE_THREADS 256
#define GATES 4

INLINE u64 row_of(u32 start, u32 length, u32 step, u32 reverse) {
    return (u64)start + (reverse ? length - 1 - step : step);
}

// A thread owns one unit of one sequence: its four sums take H in ascending order by fused multiply-add and begin with
// zero, the input is added to them. cells [2,B,H] hold the state between steps.
template <typename W>
INLINE void step_of(const u32* __restrict__ starts, const u32* __restrict__ lengths, const float* __restrict__ forward,
                    const float* __restrict__ reverse, const W* __restrict__ weights, const W* __restrict__ back,
                    float* __restrict__ cells, float* h, u32 live, u32 sequences, u32 hidden, u32 step) {
    __shared__ float states[DEPTH][LINES + 1], with[GATES][DEPTH][UNITS + 1];
    const u32 across = threadIdx.x % UNITS, down = threadIdx.x / UNITS;
    const u64 wide = (hidden + UNITS - 1) / UNITS, tall = (live + LINES - 1) / LINES;
    for (u64 tile = blockIdx.x; tile < 2 * wide * tall; tile += gridDim.x) {
        const u32 turned = (u32)(tile / (wide * tall));
        const u32 line = (u32)(tile / wide % tall) * LINES, unit = (u32)(tile % wide) * UNITS;
        const W* w = turned ? back : weights;
        float sums[GATES] = {};
        for (u32 depth = 0; step > 0 && depth < hidden; depth += DEPTH) {
            __syncthreads();
            {
                const u32 k = across, sequence = line + down;
                float value = 0.0f;
                if (sequence < live && depth + k < hidden) {
                    const u64 row = row_of(starts[sequence], lengths[sequence], step - 1, turned);
                    value = h[row * 2 * hidden + (u64)turned * hidden + depth + k];
                }
                W rounded;
                put(&rounded, value);
                states[k][down] = widen(rounded);
                for (u32 gate = 0; gate < GATES; gate++) {
                    const bool inside = unit + down < hidden && depth + k < hidden;
                    const u64 row = (u64)gate * hidden + unit + down;
                    with[gate][k][down] = inside ? widen(w[row * hidden + depth + k]) : 0.0f;
                }
            }
            __syncthreads();
#pragma unroll
            for (u32 k = 0; k < DEPTH; k++) {
#pragma unroll
                for (u32 gate = 0; gate < GATES; gate++) {
                    sums[gate] = fmaf(states[k][down], with[gate][k][across], sums[gate]);
                }
            }
        }
        if (line + down < live && unit + across < hidden) {
            const u32 sequence = line + down, column = unit + across;
            const u64 row = row_of(starts[sequence], lengths[sequence], step, turned);
            const float* x = (turned ? reverse : forward) + row * GATES * hidden + column;
            const float i = logistic(sums[0] + x[0]), f = logistic(sums[1] + x[hidden]);
            const float g = tanhf(sums[2] + x[2 * (u64)hidden]), o = logistic(sums[3] + x[3 * (u64)hidden]);
            const u64 place = ((u64)turned * sequences + sequence) * hidden + column;
            const float cell = fmaf(f, step > 0 ? cells[place] : 0.0f, i * g);
            cells[place] = cell;
            h[row * 2 * hidden + (u64)turned * hidden + column] = o * tanhf(cell);
        }
    }
}

KERNEL(TILE_THREADS) lstm_step_bf16(const u32* starts, const u32* lengths, const float* forward, const float* reverse,
                                    const bf16* weights, const bf16* back, float* cells, float* h, u32 live,
                                    u32 sequences, u32 hidden, u32 step) {
    step_of(starts, lengths, forward, reverse, weights, back, cells, h, live, sequences, hidden, step);
}

KERNEL(TILE_THREADS) lstm_step_f32(const u32* starts, const u32* lengths, const float* forward, const float* reverse,
                                   const float* weights, const float* back, float* cells, float* h, u32 live,
                                   u32 sequences, u32 hidden, u32 step) {
    step_of(starts, lengths, forward, reverse, weights, back, cells, h, live, sequences, hidden, step);
}
