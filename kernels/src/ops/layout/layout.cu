// Rows of a matrix picked out or put back, of which one block takes one, and columns copied, of which one thread takes a
// number; the contract stands in mod.rs.
#include "common.cuh"

template <typename T>
INLINE void gather_rows(const u32* __restrict__ rows, const T* __restrict__ x, T* __restrict__ y, u32 count,
                        u32 width) {
    for (u32 place = blockIdx.x; place < count; place += gridDim.x) {
        const T* from = x + (u64)rows[place] * width;
        for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
            y[(u64)place * width + column] = from[column];
        }
    }
}

KERNEL(THREADS) layout_gather_f32(const u32* rows, const float* x, float* y, u32 count, u32 width) {
    gather_rows(rows, x, y, count, width);
}

KERNEL(THREADS) layout_gather_bf16(const u32* rows, const bf16* x, bf16* y, u32 count, u32 width) {
    gather_rows(rows, x, y, count, width);
}

// No row comes twice, so no two blocks add to one.
KERNEL(THREADS) layout_scatter(const u32* __restrict__ rows, const float* __restrict__ dy, float* __restrict__ dx,
                               u32 count, u32 width) {
    for (u32 place = blockIdx.x; place < count; place += gridDim.x) {
        float* to = dx + (u64)rows[place] * width;
        for (u32 column = threadIdx.x; column < width; column += blockDim.x) {
            to[column] += dy[(u64)place * width + column];
        }
    }
}

// Columns of the matrices, and the first that are read and written.
KERNEL(THREADS) layout_columns(const float* __restrict__ x, float* __restrict__ y, u64 count, u32 width, u32 from,
                               u32 from_first, u32 to, u32 to_first) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        const u64 row = at / width, column = at % width;
        y[row * to + to_first + column] = x[row * from + from_first + column];
    }
}
