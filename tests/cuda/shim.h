// The words of CUDA for a C++ compiler, so that a kernel's text runs on the processor: one block at a time, every
// thread of it as a fiber that runs until it waits for others. Nothing runs at the same time, so what a run gives is
// repeatable; that results do not depend on the order of fibers is shown by running in several orders.
#pragma once

#include <cmath>
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)

// Shared memory is static memory of its own section, filled with what is not a number before every block.
#define __shared__ static __attribute__((section("shared_memory"), used))

struct float2 {
    float x, y;
};

struct Place {
    unsigned x, y, z;
};

namespace harness {

extern Place block, threads_of_block, blocks;
const Place& thread();

enum Kind { BLOCK, XOR };

// Waits for the threads that `mask` names (all of the block for BLOCK) to come to the same line with the same mask, and
// gives what the partner brought.
unsigned meet(Kind kind, unsigned mask, unsigned value, unsigned partner, int line);

// The compiler must not keep numbers of shared memory in registers across a meeting.
template <typename T> inline T exchange(unsigned mask, T value, unsigned partner, int line) {
    static_assert(sizeof(T) == 4, "lanes exchange words");
    unsigned word;
    std::memcpy(&word, &value, 4);
    __asm__ volatile("" ::: "memory");
    word = meet(XOR, mask, word, partner, line);
    __asm__ volatile("" ::: "memory");
    std::memcpy(&value, &word, 4);
    return value;
}

inline void barrier(int line) {
    __asm__ volatile("" ::: "memory");
    meet(BLOCK, 0, 0, 0, line);
    __asm__ volatile("" ::: "memory");
}

} // namespace harness

#define threadIdx (harness::thread())
#define blockIdx (harness::block)
#define blockDim (harness::threads_of_block)
#define gridDim (harness::blocks)

#define __syncthreads() harness::barrier(__LINE__)
#define __shfl_xor_sync(mask, value, distance) harness::exchange(mask, value, distance, __LINE__)

inline float __uint_as_float(unsigned bits) {
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

inline unsigned __float_as_uint(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    return bits;
}

inline unsigned min(unsigned a, unsigned b) {
    return a < b ? a : b;
}
