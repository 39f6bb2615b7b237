// Rows of a matrix picked out; the contract stands in mod.rs. One block takes one row.
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
