// What every kernel needs: number types, rounding to bf16, sums and maxima of a warp. Includes nothing, so that the
// run-time compiler needs no toolkit beside it.
//
// How kernels keep the promise of the house, that a row's bits depend on nothing but the row:
// - the text is compiled without contraction (--fmad=false): where products are fused, fmaf says so;
// - a sum over a row belongs to one warp. Lane l adds the elements l, l + 32, … in this order, then lanes 16, 8, 4, 2
//   and 1 apart are added. Neither the number of blocks nor that of threads enters;
// - grids are walked in strides, so any number of blocks gives the same results; there are no atomic operations;
// - denormal numbers are zero (--ftz=true), as on the processor.
#pragma once

typedef unsigned int u32;
typedef unsigned long long u64;

// Threads of a block of all kernels but those of matrix products.
#define THREADS 128

#define KERNEL(...) extern "C" __global__ void __launch_bounds__(__VA_ARGS__)
#define INLINE static __device__ __forceinline__

// bfloat16: the upper half of a 32-bit number.
struct bf16 {
    unsigned short bits;
};

INLINE float widen(float x) {
    return x;
}

INLINE float widen(bf16 x) {
    return __uint_as_float((u32)x.bits << 16);
}

// Nearest bf16, ties to even; denormal numbers become zero of their sign, what is not a number stays so.
INLINE bf16 narrow(float x) {
    const u32 bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu, upper = bits >> 16;
#ifdef __CUDACC_RTC__
    unsigned short nearest;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(nearest) : "f"(x));
#else
    const unsigned short nearest = (unsigned short)((bits + 0x7fffu + (upper & 1u)) >> 16);
#endif
    const u32 special = magnitude > 0x7f800000u ? upper | 0x0040u : upper & 0x8000u;
    const bool usual = magnitude <= 0x7f800000u && magnitude >= 0x00800000u;
    return {usual ? nearest : (unsigned short)special};
}

INLINE void put(float* to, float x) {
    *to = x;
}

INLINE void put(bf16* to, float x) {
    *to = narrow(x);
}

// Four neighbours at once, from and to where a multiple of four of them begins.
struct Four {
    float at[4];
};

INLINE Four four_of(const float* from) {
    const float4 x = *(const float4*)from;
    return {{x.x, x.y, x.z, x.w}};
}

INLINE void put_four(float* to, Four x) {
    *(float4*)to = {x.at[0], x.at[1], x.at[2], x.at[3]};
}

INLINE void put_four(bf16* to, Four x) {
    const u32 first = (u32)narrow(x.at[0]).bits | (u32)narrow(x.at[1]).bits << 16;
    const u32 second = (u32)narrow(x.at[2]).bits | (u32)narrow(x.at[3]).bits << 16;
    *(uint2*)to = {first, second};
}

INLINE float minus_infinity() {
    return __uint_as_float(0xff800000u);
}

INLINE u32 lane_of_thread() {
    return threadIdx.x % 32;
}

// First row of this warp, and the rows to the next one, where every row is one warp's.
INLINE u64 first_row() {
    return ((u64)blockIdx.x * blockDim.x + threadIdx.x) / 32;
}

INLINE u64 row_stride() {
    return (u64)gridDim.x * blockDim.x / 32;
}

// First element of this thread, and the elements to the next one, where every element is one thread's.
INLINE u64 first_element() {
    return (u64)blockIdx.x * blockDim.x + threadIdx.x;
}

INLINE u64 element_stride() {
    return (u64)gridDim.x * blockDim.x;
}

// Sum over the lanes of a full warp, the same bits in all of them.
INLINE float warp_sum(float x) {
    for (int distance = 16; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }
    return x;
}

INLINE u32 warp_sum(u32 x) {
    for (int distance = 16; distance > 0; distance /= 2) {
        x += __shfl_xor_sync(0xffffffffu, x, distance);
    }
    return x;
}

// Maximum over the lanes of a full warp; what is not a number is passed over.
INLINE float warp_max(float x) {
    for (int distance = 16; distance > 0; distance /= 2) {
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, distance));
    }
    return x;
}

// The sequence that holds a row: the last whose first row is not behind it. offsets has count + 1 entries.
INLINE u32 sequence_of(const u32* offsets, u32 count, u32 row) {
    u32 low = 0, high = count;
    while (high - low > 1) {
        const u32 middle = low + (high - low) / 2;
        if (offsets[middle] <= row) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

// 1 / (1 + e^-z)
INLINE float logistic(float z) {
    return 1.0f / (1.0f + expf(-z));
}

INLINE float silu(float z) {
    return z * logistic(z);
}

// x · Φ(x), the exact form.
INLINE float gelu(float x) {
    return x * (0.5f * (1.0f + erff(x * 0.70710678f)));
}
