// Linear layer on plain 32-bit sums, and the last steps of a product that a library made; the contract stands in
// mod.rs. It is the fallback and the check of cuBLASLt, whose own GELU is not the exact one.
#include "common.cuh"

// What happens to a finished sum.
#define STORE 0u
#define GELU 1u
#define RESIDUAL 2u

// Rows and columns of a block's tile, and the stretch of the inner dimension that is held at once.
#define TILE 64
#define DEPTH 16
#define TILE_THREADS 256

// Where a finished sum goes. bias, kept (sums before the GELU) and residual may be null.
template <typename Y>
INLINE void finish(float sum, const float* bias, float* kept, const float* residual, Y* y, u64 row, u32 column,
                   u32 columns, u32 epilogue) {
    const u64 at = row * columns + column;
    if (bias) {
        sum += bias[column];
    }
    if (epilogue == GELU) {
        if (kept) {
            kept[at] = sum;
        }
        sum = gelu(sum);
    } else if (epilogue == RESIDUAL) {
        sum += residual[at];
    }
    put(y + at, sum);
}

// Brings 64 rows of a matrix [rows, inner], from `first` on, to shared memory; what lies outside becomes zero.
template <typename T>
INLINE void bring(float to[DEPTH][TILE + 1], const T* __restrict__ from, u64 first, u64 rows, u32 depth, u32 inner) {
    for (u32 at = threadIdx.x; at < TILE * DEPTH; at += TILE_THREADS) {
        const u32 k = at % DEPTH, row = at / DEPTH;
        const bool inside = first + row < rows && depth + k < inner;
        to[k][row] = inside ? widen(from[(first + row) * inner + depth + k]) : 0.0f;
    }
}

// y = epilogue(x·Wᵀ + b): one sum per output, the inner dimension ascending by fused multiply-add. A thread owns the
// outputs 16 rows and 16 columns apart.
template <typename T, typename Y>
INLINE void linear(const T* __restrict__ x, const T* __restrict__ weights, const float* __restrict__ bias,
                   float* __restrict__ kept, const float* __restrict__ residual, Y* __restrict__ y, u32 rows,
                   u32 columns, u32 inner, u32 epilogue) {
    __shared__ float left[DEPTH][TILE + 1], right[DEPTH][TILE + 1];
    const u32 across = threadIdx.x % 16, down = threadIdx.x / 16;
    const u64 wide = (columns + TILE - 1) / TILE, tiles = wide * ((rows + TILE - 1) / TILE);
    for (u64 tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        const u64 first_row = tile / wide * TILE, first_column = tile % wide * TILE;
        float sums[4][4] = {};
        for (u32 depth = 0; depth < inner; depth += DEPTH) {
            __syncthreads();
            bring(left, x, first_row, rows, depth, inner);
            bring(right, weights, first_column, columns, depth, inner);
            __syncthreads();
#pragma unroll 4
            for (u32 k = 0; k < DEPTH; k++) {
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
#pragma unroll
                    for (u32 j = 0; j < 4; j++) {
                        sums[i][j] = fmaf(left[k][down + 16 * i], right[k][across + 16 * j], sums[i][j]);
                    }
                }
            }
        }
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                const u64 row = first_row + down + 16 * i, column = first_column + across + 16 * j;
                if (row < rows && column < columns) {
                    finish(sums[i][j], bias, kept, residual, y, row, (u32)column, columns, epilogue);
                }
            }
        }
    }
}

KERNEL(TILE_THREADS) linear_f32_to_f32(const float* x, const float* weights, const float* bias, float* kept,
                                       const float* residual, float* y, u32 rows, u32 columns, u32 inner,
                                       u32 epilogue) {
    linear(x, weights, bias, kept, residual, y, rows, columns, inner, epilogue);
}

KERNEL(TILE_THREADS) linear_f32_to_bf16(const float* x, const float* weights, const float* bias, float* kept,
                                        const float* residual, bf16* y, u32 rows, u32 columns, u32 inner,
                                        u32 epilogue) {
    linear(x, weights, bias, kept, residual, y, rows, columns, inner, epilogue);
}

KERNEL(TILE_THREADS) linear_bf16_to_f32(const bf16* x, const bf16* weights, const float* bias, float* kept,
                                        const float* residual, float* y, u32 rows, u32 columns, u32 inner,
                                        u32 epilogue) {
    linear(x, weights, bias, kept, residual, y, rows, columns, inner, epilogue);
}

KERNEL(TILE_THREADS) linear_bf16_to_bf16(const bf16* x, const bf16* weights, const float* bias, float* kept,
                                         const float* residual, bf16* y, u32 rows, u32 columns, u32 inner,
                                         u32 epilogue) {
    linear(x, weights, bias, kept, residual, y, rows, columns, inner, epilogue);
}

// The last step alone, for sums [rows, columns] that a library left without bias. y may be the sums' own memory. One warp
// takes one row; where nothing but the sums is read, four neighbours go together.
template <typename Y>
INLINE void finish_all(const float* sums, const float* bias, float* kept, const float* residual, Y* y, u32 rows,
                       u32 columns, u32 epilogue) {
    if (columns % 4 == 0 && !bias && !kept && epilogue != RESIDUAL) {
#pragma unroll 2
        for (u64 at = first_element(); at < (u64)rows * (columns / 4); at += element_stride()) {
            Four x = four_of(sums + 4 * at);
            if (epilogue == GELU) {
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    x.at[i] = gelu(x.at[i]);
                }
            }
            put_four(y + 4 * at, x);
        }
        return;
    }
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        for (u32 column = lane_of_thread(); column < columns; column += 32) {
            finish(sums[row * columns + column], bias, kept, residual, y, row, column, columns, epilogue);
        }
    }
}

KERNEL(THREADS) linear_epilogue_to_f32(const float* sums, const float* bias, float* kept, const float* residual,
                                       float* y, u32 rows, u32 columns, u32 epilogue) {
    finish_all(sums, bias, kept, residual, y, rows, columns, epilogue);
}

KERNEL(THREADS) linear_epilogue_to_bf16(const float* sums, const float* bias, float* kept, const float* residual,
                                        bf16* y, u32 rows, u32 columns, u32 epilogue) {
    finish_all(sums, bias, kept, residual, y, rows, columns, epilogue);
}
