// The words of CUDA for a C++ compiler, so that a kernel's text runs on the processor: one block at a time, every
// thread of it as a fiber that runs until it waits for others. Nothing runs at the same time, so what a run gives is
// repeatable; that results do not depend on the order of fibers is shown by running in several orders.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(bytes) __attribute__((aligned(bytes)))

// Shared memory is static memory of its own section, filled with what is not a number before every block.
#define __shared__ static __attribute__((section("shared_memory"), used))

struct float2 {
    float x, y;
};

struct alignas(16) float4 {
    float x, y, z, w;
};

struct alignas(8) uint2 {
    unsigned x, y;
};

struct alignas(16) uint4 {
    unsigned x, y, z, w;
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

namespace harness {

// What the lanes of a block's warps bring to a product of a tensor core.
struct Fragment {
    unsigned a[4], b[2];
};

inline Fragment* fragments() {
    static Fragment held[1024];
    return held;
}

// One of the two bf16 of a word, the lower half first.
inline double half_of(unsigned word, unsigned half) {
    const unsigned bits = half ? word & 0xffff0000u : word << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

} // namespace harness

// The nearest bf16 of both, ties to even, the first in the lower half; what is not a number becomes the one that the
// instruction gives.
inline unsigned neighbours(float first, float second) {
    const auto nearest = [](float value) {
        unsigned bits;
        std::memcpy(&bits, &value, 4);
        return value != value ? 0x7fffu : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    };
    return nearest(first) | nearest(second) << 16;
}

// sums [16,8] += a [16,16] · b [16,8] as mma.m16n8k16 has it, the whole sum at once. PTX names the owner of every place:
// lane / 4 is a's row (or 8 less) and b's column, lane % 4 half the column of a and the row of b (or 8 less).
inline void tensor_product(float* sums, const unsigned* a, unsigned b, unsigned b_below) {
    const unsigned lane = harness::thread().x % 32;
    harness::Fragment* all = harness::fragments() + harness::thread().x / 32 * 32;
    all[lane] = {{a[0], a[1], a[2], a[3]}, {b, b_below}};
    harness::exchange(0xffffffffu, 0u, 0, __LINE__);
    float results[4];
    for (unsigned i = 0; i < 4; i++) {
        const unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        double sum = sums[i];
        for (unsigned k = 0; k < 16; k++) {
            const harness::Fragment& left = all[row % 8 * 4 + k % 8 / 2];
            const harness::Fragment& right = all[column * 4 + k % 8 / 2];
            sum += harness::half_of(left.a[row / 8 + k / 8 * 2], k % 2) * harness::half_of(right.b[k / 8], k % 2);
        }
        results[i] = (float)sum;
    }
    harness::exchange(0xffffffffu, 0u, 0, __LINE__);
    std::memcpy(sums, results, sizeof results);
}

// A place of shared memory.
typedef char* Shared;

inline Shared shared_place(const void* of) {
    return (Shared)of;
}

namespace harness {

// 16 bytes on their way to shared memory, or zeros where there is nothing to read.
struct Sent {
    Shared to;
    const char* from;
};

inline std::vector<Sent>& sent() {
    static std::vector<Sent> all[1024];
    return all[thread().x];
}

// Rows of matrices that the lanes of a block's warps name.
inline Shared* rows() {
    static Shared held[1024];
    return held;
}

// Lane l names row l % 8 of matrix l / 8; PTX names the owner of every place: lane / 4 is the row and lane % 4 half the column,
// or the other way round where matrices are turned.
inline void load_matrices(unsigned* to, Shared row, bool turned) {
    const unsigned lane = thread().x % 32, first = thread().x / 32 * 32;
    rows()[first + lane] = row;
    exchange(0xffffffffu, 0u, 0, __LINE__);
    for (unsigned number = 0; number < 4; number++) {
        to[number] = 0;
        for (unsigned half = 0; half < 2; half++) {
            const unsigned owner = lane / 4, pair = lane % 4 * 2 + half;
            unsigned short bits;
            std::memcpy(&bits, rows()[first + 8 * number + (turned ? pair : owner)] + 2 * (turned ? owner : pair), 2);
            to[number] |= (unsigned)bits << 16 * half;
        }
    }
    exchange(0xffffffffu, 0u, 0, __LINE__);
}

} // namespace harness

inline void load_matrices(unsigned* to, Shared row) {
    harness::load_matrices(to, row, false);
}

inline void load_matrices_turned(unsigned* to, Shared row) {
    harness::load_matrices(to, row, true);
}

// A device may copy at once or as late as when it is waited for: what lay there is gone from now on, and what comes is there
// when this thread waits.
inline void send(Shared to, const void* from, bool inside) {
    if ((uintptr_t)to % 16 || (uintptr_t)from % 16) {
        __builtin_trap();
    }
    std::memset(to, 0xff, 16);
    harness::sent().push_back({to, inside ? (const char*)from : nullptr});
}

inline void wait_for_sent() {
    static const char zeros[16] = {};
    for (const harness::Sent& one : harness::sent()) {
        std::memcpy(one.to, one.from ? one.from : zeros, 16);
    }
    harness::sent().clear();
}

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

#ifdef WORST_FUNCTIONS

// Functions of 32 bits as bad as a device may have them: two units in the last place from the nearest number, the most that
// NVIDIA's manual names for any of these, above or below by what looks like chance and is the same for the same number. What
// is exact everywhere stays so.
namespace harness {

inline float off(float value) {
    unsigned bits;
    std::memcpy(&bits, &value, 4);
    const unsigned magnitude = bits & 0x7fffffffu;
    if (magnitude < 0x00800010u || magnitude > 0x7f7ffff0u || magnitude == 0x3f800000u) {
        return value;
    }
    bits += (bits * 2654435761u >> 31) ? 2u : -2u;
    // No device gives a probability above one.
    if (magnitude < 0x3f800000u && (bits & 0x7fffffffu) > 0x3f800000u) {
        bits = (bits & 0x80000000u) | 0x3f800000u;
    }
    std::memcpy(&value, &bits, 4);
    return value;
}

} // namespace harness

#define expf(x) harness::off(std::exp((float)(x)))
#define exp2f(x) harness::off(std::exp2((float)(x)))
#define erff(x) harness::off(std::erf((float)(x)))
#define tanhf(x) harness::off(std::tanh((float)(x)))
#define logf(x) harness::off(std::log((float)(x)))
#define log1pf(x) harness::off(std::log1p((float)(x)))

#endif

inline unsigned min(unsigned a, unsigned b) {
    return a < b ? a : b;
}
