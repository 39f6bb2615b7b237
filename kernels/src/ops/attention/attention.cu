// Attention of packed sequences in plain 32-bit sums, and attention maps; the contract stands in mod.rs. A tensor-core
// path has the same contract and this one for its check.
#include "common.cuh"

// Queries of a block, of which every warp has eight, and keys that are held at once.
#define QUERIES 32
#define KEYS 32
#define MINE 8

// A weight as it multiplies values: rounded where the operands are.
INLINE float as_operand(float weight, const float*) {
    return weight;
}

INLINE float as_operand(float weight, const bf16*) {
    return widen(narrow(weight));
}

// Brings rows first .. first + 32 of one head to shared memory; rows from `end` on become zero.
template <typename T, int STRIDE>
INLINE void bring(float to[32][STRIDE], const T* __restrict__ from, u32 first, u32 end, u32 head, u32 heads,
                  u32 head_width) {
    for (u32 at = threadIdx.x; at < 32 * head_width; at += THREADS) {
        const u32 row = at / head_width, column = at % head_width;
        const u64 place = ((u64)(first + row) * heads + head) * head_width + column;
        to[row][column] = first + row < end ? widen(from[place]) : 0.0f;
    }
}

// out and, where it is not null, lse. tasks holds (first query, first token, end) of stretches of up to 32 queries of
// one sequence, counted from its first token. Keys are taken 32 at a time from the first token of the sequence on:
// lane j has key j of them, with a running maximum and sum for every query. Head widths up to WIDTH.
template <int WIDTH, typename T, typename Y>
INLINE void attend(const u32* __restrict__ tasks, const T* __restrict__ q, const T* __restrict__ k,
                   const T* __restrict__ v, Y* __restrict__ out, float* __restrict__ lse, u32 count, u32 heads,
                   u32 head_width) {
    __shared__ float queries[QUERIES][WIDTH], tile[KEYS][WIDTH + 1], weights[QUERIES][KEYS];
    const u32 lane = lane_of_thread(), mine = threadIdx.x / 32 * MINE;
    for (u64 item = blockIdx.x; item < (u64)count * heads; item += gridDim.x) {
        const u32 head = (u32)(item % heads);
        const u32* task = tasks + 3 * (item / heads);
        const u32 first = task[0], start = task[1], end = task[2];
        float sums[MINE][WIDTH / 32] = {}, largest[MINE], total[MINE];
#pragma unroll
        for (u32 i = 0; i < MINE; i++) {
            largest[i] = minus_infinity();
            total[i] = 0.0f;
        }
        __syncthreads();
        bring<T, WIDTH>(queries, q, first, end, head, heads, head_width);
        for (u32 keys = start; keys < end; keys += KEYS) {
            __syncthreads();
            bring<T, WIDTH + 1>(tile, k, keys, end, head, heads, head_width);
            __syncthreads();
            float scores[MINE] = {};
#pragma unroll 4
            for (u32 column = 0; column < head_width; column++) {
                const float key = tile[lane][column];
#pragma unroll
                for (u32 i = 0; i < MINE; i++) {
                    scores[i] = fmaf(queries[mine + i][column], key, scores[i]);
                }
            }
#pragma unroll
            for (u32 i = 0; i < MINE; i++) {
                const float score = keys + lane < end ? scores[i] : minus_infinity();
                const float now = fmaxf(largest[i], warp_max(score));
                const float weight = expf(score - now), shrink = expf(largest[i] - now);
                total[i] = fmaf(total[i], shrink, warp_sum(weight));
                largest[i] = now;
                weights[mine + i][lane] = as_operand(weight, q);
#pragma unroll
                for (u32 part = 0; part < WIDTH / 32; part++) {
                    sums[i][part] *= shrink;
                }
            }
            __syncthreads();
            bring<T, WIDTH + 1>(tile, v, keys, end, head, heads, head_width);
            __syncthreads();
#pragma unroll 2
            for (u32 key = 0; key < KEYS; key++) {
#pragma unroll
                for (u32 part = 0; part < WIDTH / 32; part++) {
                    const float value = tile[key][lane + 32 * part];
#pragma unroll
                    for (u32 i = 0; i < MINE; i++) {
                        sums[i][part] = fmaf(weights[mine + i][key], value, sums[i][part]);
                    }
                }
            }
        }
#pragma unroll
        for (u32 i = 0; i < MINE; i++) {
            const u64 row = ((u64)first + mine + i) * heads + head;
            if (first + mine + i >= end) {
                continue;
            }
#pragma unroll
            for (u32 part = 0; part < WIDTH / 32; part++) {
                if (lane + 32 * part < head_width) {
                    put(out + row * head_width + lane + 32 * part, sums[i][part] / total[i]);
                }
            }
            if (lse && lane == 0) {
                lse[row] = largest[i] + logf(total[i]);
            }
        }
    }
}

// Four blocks on a multiprocessor: registers are not to be saved beyond that.
#define ATTENTION(name, width, T, Y)                                                                                  \
    KERNEL(THREADS, 4) name(const u32* tasks, const T* q, const T* k, const T* v, Y* out, float* lse, u32 count,      \
                            u32 heads, u32 head_width) {                                                              \
        attend<width>(tasks, q, k, v, out, lse, count, heads, head_width);                                            \
    }

ATTENTION(attention_32_f32_to_f32, 32, float, float)
ATTENTION(attention_32_f32_to_bf16, 32, float, bf16)
ATTENTION(attention_32_bf16_to_f32, 32, bf16, float)
ATTENTION(attention_32_bf16_to_bf16, 32, bf16, bf16)
ATTENTION(attention_64_f32_to_f32, 64, float, float)
ATTENTION(attention_64_f32_to_bf16, 64, float, bf16)
ATTENTION(attention_64_bf16_to_f32, 64, bf16, float)
ATTENTION(attention_64_bf16_to_bf16, 64, bf16, bf16)
ATTENTION(attention_128_f32_to_f32, 128, float, float)
ATTENTION(attention_128_f32_to_bf16, 128, float, bf16)
ATTENTION(attention_128_bf16_to_f32, 128, bf16, float)
ATTENTION(attention_128_bf16_to_bf16, 128, bf16, bf16)

// q_i · k_j of one head, its columns ascending.
template <typename T>
INLINE float score(const T* __restrict__ q, const T* __restrict__ k, u64 query, u64 key, u32 head, u32 heads,
                   u32 head_width) {
    const T* left = q + (query * heads + head) * head_width;
    const T* right = k + (key * heads + head) * head_width;
    float sum = 0.0f;
    for (u32 column = 0; column < head_width; column++) {
        sum = fmaf(widen(left[column]), widen(right[column]), sum);
    }
    return sum;
}

// Largest score and sum of exponentials [H,L,2] of every query of the sequence of `length` tokens from `start` on. One
// warp takes one query of one head.
template <typename T>
INLINE void statistics(const T* __restrict__ q, const T* __restrict__ k, float* __restrict__ found, u32 start,
                       u32 length, u32 heads, u32 head_width) {
    for (u64 row = first_row(); row < (u64)heads * length; row += row_stride()) {
        const u32 head = (u32)(row / length);
        const u64 query = start + row % length;
        float largest = minus_infinity(), sum = 0.0f;
        for (u32 key = lane_of_thread(); key < length; key += 32) {
            largest = fmaxf(largest, score(q, k, query, start + key, head, heads, head_width));
        }
        largest = warp_max(largest);
        for (u32 key = lane_of_thread(); key < length; key += 32) {
            sum += expf(score(q, k, query, start + key, head, heads, head_width) - largest);
        }
        sum = warp_sum(sum);
        if (lane_of_thread() == 0) {
            found[2 * row] = largest;
            found[2 * row + 1] = sum;
        }
    }
}

// p_hij from the statistics of its row.
template <typename T>
INLINE float probability(const T* __restrict__ q, const T* __restrict__ k, const float* __restrict__ found, u64 i,
                         u64 j, u32 head, u32 start, u32 length, u32 heads, u32 head_width) {
    const float* row = found + 2 * ((u64)head * length + i);
    return expf(score(q, k, start + i, start + j, head, heads, head_width) - row[0]) / row[1];
}

// Attention maps [H,L,L]: one thread takes one probability.
template <typename T>
INLINE void maps(const T* __restrict__ q, const T* __restrict__ k, const float* __restrict__ found,
                 float* __restrict__ out, u32 start, u32 length, u32 heads, u32 head_width) {
    const u64 square = (u64)length * length;
    for (u64 at = first_element(); at < heads * square; at += element_stride()) {
        const u64 i = at % square / length, j = at % length;
        out[at] = probability(q, k, found, i, j, (u32)(at / square), start, length, heads, head_width);
    }
}

// Adds Σ_h weight_h · p_hij to the map of the `residues` tokens from `first` (counted from the sequence's start) on,
// heads ascending. One thread takes one pair.
template <typename T>
INLINE void mix(const T* __restrict__ q, const T* __restrict__ k, const float* __restrict__ found,
                const float* __restrict__ weights, float* __restrict__ map, u32 first, u32 residues, u32 start,
                u32 length, u32 heads, u32 head_width) {
    for (u64 at = first_element(); at < (u64)residues * residues; at += element_stride()) {
        const u64 i = first + at / residues, j = first + at % residues;
        float sum = map[at];
        for (u32 head = 0; head < heads; head++) {
            const float p = probability(q, k, found, i, j, head, start, length, heads, head_width);
            sum = fmaf(weights[head], p, sum);
        }
        map[at] = sum;
    }
}

// Σ_j p_hij + Σ_j p_hji over the residues, [H,residues]. One warp takes one residue of one head.
template <typename T>
INLINE void margins(const T* __restrict__ q, const T* __restrict__ k, const float* __restrict__ found,
                    float* __restrict__ sums, u32 first, u32 residues, u32 start, u32 length, u32 heads,
                    u32 head_width) {
    for (u64 row = first_row(); row < (u64)heads * residues; row += row_stride()) {
        const u32 head = (u32)(row / residues);
        const u64 i = first + row % residues;
        float across = 0.0f, down = 0.0f;
        for (u32 other = lane_of_thread(); other < residues; other += 32) {
            const u64 j = first + other;
            across += probability(q, k, found, i, j, head, start, length, heads, head_width);
            down += probability(q, k, found, j, i, head, start, length, heads, head_width);
        }
        across = warp_sum(across);
        down = warp_sum(down);
        if (lane_of_thread() == 0) {
            sums[row] = across + down;
        }
    }
}

#define MAPS(type, T)                                                                                                 \
    KERNEL(THREADS) attention_statistics_##type(const T* q, const T* k, float* found, u32 start, u32 length,          \
                                                u32 heads, u32 head_width) {                                          \
        statistics(q, k, found, start, length, heads, head_width);                                                    \
    }                                                                                                                 \
    KERNEL(THREADS) attention_maps_##type(const T* q, const T* k, const float* found, float* out, u32 start,          \
                                          u32 length, u32 heads, u32 head_width) {                                    \
        maps(q, k, found, out, start, length, heads, head_width);                                                     \
    }                                                                                                                 \
    KERNEL(THREADS) attention_mix_##type(const T* q, const T* k, const float* found, const float* weights,            \
                                         float* map, u32 first, u32 residues, u32 start, u32 length, u32 heads,       \
                                         u32 head_width) {                                                            \
        mix(q, k, found, weights, map, first, residues, start, length, heads, head_width);                            \
    }                                                                                                                 \
    KERNEL(THREADS) attention_margins_##type(const T* q, const T* k, const float* found, float* sums, u32 first,      \
                                             u32 residues, u32 start, u32 length, u32 heads, u32 head_width) {        \
        margins(q, k, found, sums, first, residues, start, length, heads, head_width);                                \
    }

MAPS(f32, float)
MAPS(bf16, bf16)
