// Logits of all pairs of two lists of proteins; the contract stands in mod.rs, of which this takes the first line.
#include "common.cuh"

// Proteins of either list in a block's tile, and units that are held at once.
#define TILE 32
#define DEPTH 32
#define MINE 8

// Brings `DEPTH` units from `unit` on of the proteins first .. first + 32 to shared memory; what lies outside becomes zero.
INLINE void bring(float to[DEPTH][TILE + 1], const float* __restrict__ from, u64 first, u32 proteins, u32 unit,
                  u32 units) {
    for (u32 at = threadIdx.x; at < TILE * DEPTH; at += THREADS) {
        const u32 k = at % DEPTH, protein = at / DEPTH;
        const bool inside = first + protein < proteins && unit + k < units;
        to[k][protein] = inside ? from[(first + protein) * units + unit + k] : 0.0f;
    }
}

// A thread owns the pairs of one second protein with eight first ones, four apart: a sum each, units ascending.
KERNEL(THREADS) pair_logits_forward(const float* __restrict__ first, const float* __restrict__ second,
                                    const float* __restrict__ weights, float* __restrict__ y, u32 rows, u32 columns,
                                    u32 units, float bias) {
    __shared__ float left[DEPTH][TILE + 1], right[DEPTH][TILE + 1];
    const u32 across = threadIdx.x % TILE, down = threadIdx.x / TILE;
    const u64 wide = ((u64)columns + TILE - 1) / TILE, tall = ((u64)rows + TILE - 1) / TILE;
    for (u64 tile = blockIdx.x; tile < wide * tall; tile += gridDim.x) {
        const u64 row = tile / wide * TILE, column = tile % wide * TILE;
        float sums[MINE] = {};
        for (u32 unit = 0; unit < units; unit += DEPTH) {
            __syncthreads();
            bring(left, first, row, rows, unit, units);
            bring(right, second, column, columns, unit, units);
            __syncthreads();
            const u32 count = min(units - unit, (u32)DEPTH);
            for (u32 k = 0; k < count; k++) {
                const float weight = weights[unit + k], own = right[k][across];
#pragma unroll
                for (u32 i = 0; i < MINE; i++) {
                    sums[i] = fmaf(weight, tanhf(left[k][down + 4 * i] + own), sums[i]);
                }
            }
        }
#pragma unroll
        for (u32 i = 0; i < MINE; i++) {
            if (row + down + 4 * i < rows && column + across < columns) {
                y[(row + down + 4 * i) * columns + column + across] = bias + sums[i];
            }
        }
    }
}
