// Features of pairs of residues, forward; the contract stands in mod.rs. One thread takes one column of one pair.
#include "common.cuh"

template <typename Y>
INLINE void pair_features(const float* __restrict__ z, Y* __restrict__ features, u32 length, u32 width) {
    for (u64 at = first_element(); at < (u64)length * length * width; at += element_stride()) {
        const u64 pair = at / width, column = at % width;
        const float a = z[pair / length * width + column], b = z[pair % length * width + column];
        put(features + pair * 2 * width + column, fabsf(a - b));
        put(features + pair * 2 * width + width + column, a * b);
    }
}

KERNEL(THREADS) pair_features_f32(const float* z, float* features, u32 length, u32 width) {
    pair_features(z, features, length, width);
}

KERNEL(THREADS) pair_features_bf16(const float* z, bf16* features, u32 length, u32 width) {
    pair_features(z, features, length, width);
}
