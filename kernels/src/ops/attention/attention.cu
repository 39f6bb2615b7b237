// Attention of packed sequences in plain 32-bit sums and by tensor cores, and attention maps; the contract stands in mod.rs.
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

// Attention with tensor cores, for bf16 operands; the contract is the plain path's, the order of its sums is not.

// Queries of a block, of which every warp has 16, and keys that are held at once.
#define TENSOR_QUERIES 64
#define TENSOR_KEYS 64

// What only a device has; the shim has its own of both.
#ifdef __CUDACC_RTC__

// Two neighbours as a tensor core takes them, each the nearest bf16, the first in the lower half: the instruction names the
// upper half first. What is added up to weights is never a denormal number, as those of 32 bits are zero.
INLINE u32 neighbours(float first, float second) {
    u32 two;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(two) : "f"(second), "f"(first));
    return two;
}

// sums [16,8] += a [16,16] · b [16,8], spread over the lanes of a warp. With g = lane / 4 and t = lane % 4, a lane has of a
// the places (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8), each with its right neighbour; of b (2t, g) and
// (2t + 8, g), each with the one below; of sums (g, 2t) and (g + 8, 2t) with their right neighbours.
INLINE void tensor_product(float* sums, const u32* a, u32 b, u32 b_below) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b), "r"(b_below));
}

#endif

// Eight neighbouring columns of a row of one head in one load; zeros outside of head and sequence. Heads are multiples of 8
// wide and memory begins at multiples of 256 bytes, so these begin at multiples of 16.
INLINE uint4 eight_of(const bf16* __restrict__ from, u32 row, u32 end, u32 part, u32 head, u32 heads, u32 head_width) {
    const u32 parts = head_width / 8;
    uint4 eight = {0u, 0u, 0u, 0u};
    if (row < end && part < parts) {
        eight = ((const uint4*)from)[((u64)row * heads + head) * parts + part];
    }
    return eight;
}

// Brings rows first .. first + 64 of one head to shared memory.
template <int WIDTH>
INLINE void bring_rows(u32 to[TENSOR_KEYS][WIDTH / 2 + 4], const bf16* __restrict__ from, u32 first, u32 end, u32 head,
                       u32 heads, u32 head_width) {
    for (u32 at = threadIdx.x; at < TENSOR_KEYS * WIDTH / 8; at += THREADS) {
        const u32 row = at / (WIDTH / 8), part = at % (WIDTH / 8);
        *(uint4*)(to[row] + 4 * part) = eight_of(from, first + row, end, part, head, heads, head_width);
    }
}

// The same column by column: a word holds two neighbouring rows. Half of a warp has the same columns of 32 rows.
template <int WIDTH>
INLINE void bring_columns(u32 to[WIDTH][TENSOR_KEYS / 2 + 4], const bf16* __restrict__ from, u32 first, u32 end,
                          u32 head, u32 heads, u32 head_width) {
    for (u32 at = threadIdx.x; at < TENSOR_KEYS / 2 * WIDTH / 8; at += THREADS) {
        const u32 part = at / 32 % (WIDTH / 16) * 2 + at % 2, pair = at / 32 / (WIDTH / 16) * 16 + at / 2 % 16;
        const uint4 above = eight_of(from, first + 2 * pair, end, part, head, heads, head_width);
        const uint4 below = eight_of(from, first + 2 * pair + 1, end, part, head, heads, head_width);
        const u32 uppers[4] = {above.x, above.y, above.z, above.w}, lowers[4] = {below.x, below.y, below.z, below.w};
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            to[8 * part + 2 * i][pair] = (uppers[i] & 0xffffu) | lowers[i] << 16;
            to[8 * part + 2 * i + 1][pair] = uppers[i] >> 16 | (lowers[i] & 0xffff0000u);
        }
    }
}

// out and, where it is not null, lse. tasks as for the plain path, of up to 64 queries. Keys are taken 64 at a time from
// the first token of the sequence on; a lane has two queries, and of each eight times two neighbouring keys, whose
// weights it adds in ascending order; the four lanes that share a query add theirs at the end.
template <int WIDTH, typename Y>
INLINE void attend_by_tensors(const u32* __restrict__ tasks, const bf16* __restrict__ q, const bf16* __restrict__ k,
                              const bf16* __restrict__ v, Y* __restrict__ out, float* __restrict__ lse, u32 count,
                              u32 heads, u32 head_width) {
    __shared__ __align__(16) u32 rows[TENSOR_KEYS][WIDTH / 2 + 4];
    __shared__ u32 columns[WIDTH][TENSOR_KEYS / 2 + 4];
    const u32 g = lane_of_thread() / 4, t = lane_of_thread() % 4, mine = threadIdx.x / 32 * 16;
    for (u64 item = blockIdx.x; item < (u64)count * heads; item += gridDim.x) {
        const u32 head = (u32)(item % heads);
        const u32* task = tasks + 3 * (item / heads);
        const u32 first = task[0], start = task[1], end = task[2];
        float sums[WIDTH / 8][4] = {}, largest[2] = {minus_infinity(), minus_infinity()}, total[2] = {};
        u32 queries[WIDTH / 16][4];
        __syncthreads();
        bring_rows<WIDTH>(rows, q, first, end, head, heads, head_width);
        __syncthreads();
#pragma unroll
        for (u32 step = 0; step < WIDTH / 16; step++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                queries[step][i] = rows[mine + g + i % 2 * 8][8 * step + t + i / 2 * 4];
            }
        }
        for (u32 keys = start; keys < end; keys += TENSOR_KEYS) {
            __syncthreads();
            bring_rows<WIDTH>(rows, k, keys, end, head, heads, head_width);
            bring_columns<WIDTH>(columns, v, keys, end, head, heads, head_width);
            __syncthreads();
            float scores[TENSOR_KEYS / 8][4] = {};
#pragma unroll
            for (u32 tile = 0; tile < TENSOR_KEYS / 8; tile++) {
#pragma unroll
                for (u32 step = 0; step < WIDTH / 16; step++) {
                    const u32* key = rows[8 * tile + g] + 8 * step + t;
                    tensor_product(scores[tile], queries[step], key[0], key[4]);
                }
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    scores[tile][i] = keys + 8 * tile + 2 * t + i % 2 < end ? scores[tile][i] : minus_infinity();
                }
            }
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                float now = largest[half];
#pragma unroll
                for (u32 tile = 0; tile < TENSOR_KEYS / 8; tile++) {
                    now = fmaxf(now, fmaxf(scores[tile][2 * half], scores[tile][2 * half + 1]));
                }
                now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
                now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
                const float shrink = expf(largest[half] - now);
                total[half] *= shrink;
                largest[half] = now;
#pragma unroll
                for (u32 tile = 0; tile < TENSOR_KEYS / 8; tile++) {
#pragma unroll
                    for (u32 i = 2 * half; i < 2 * half + 2; i++) {
                        scores[tile][i] = expf(scores[tile][i] - now);
                        total[half] += scores[tile][i];
                    }
                }
#pragma unroll
                for (u32 tile = 0; tile < WIDTH / 8; tile++) {
                    sums[tile][2 * half] *= shrink;
                    sums[tile][2 * half + 1] *= shrink;
                }
            }
#pragma unroll
            for (u32 step = 0; step < TENSOR_KEYS / 16; step++) {
                u32 weights[4];
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    const float* two = scores[2 * step + i / 2] + i % 2 * 2;
                    weights[i] = neighbours(two[0], two[1]);
                }
#pragma unroll
                for (u32 tile = 0; tile < WIDTH / 8; tile++) {
                    const u32* value = columns[8 * tile + g] + 8 * step + t;
                    tensor_product(sums[tile], weights, value[0], value[4]);
                }
            }
        }
#pragma unroll
        for (u32 half = 0; half < 2; half++) {
            float all = total[half];
            all += __shfl_xor_sync(0xffffffffu, all, 1);
            all += __shfl_xor_sync(0xffffffffu, all, 2);
            const u32 query = first + mine + g + 8 * half;
            const u64 row = (u64)query * heads + head;
            if (query < end && lse && t == 0) {
                lse[row] = largest[half] + logf(all);
            }
#pragma unroll
            for (u32 tile = 0; tile < WIDTH / 8; tile++) {
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    const u32 column = 8 * tile + 2 * t + i;
                    if (query < end && column < head_width) {
                        put(out + row * head_width + column, sums[tile][2 * half + i] / all);
                    }
                }
            }
        }
    }
}

#define BY_TENSORS(name, width, Y, blocks)                                                                            \
    KERNEL(THREADS, blocks) name(const u32* tasks, const bf16* q, const bf16* k, const bf16* v, Y* out, float* lse,   \
                                 u32 count, u32 heads, u32 head_width) {                                              \
        attend_by_tensors<width>(tasks, q, k, v, out, lse, count, heads, head_width);                                 \
    }

BY_TENSORS(attention_tensor_16_to_f32, 16, float, 4)
BY_TENSORS(attention_tensor_16_to_bf16, 16, bf16, 4)
BY_TENSORS(attention_tensor_32_to_f32, 32, float, 4)
BY_TENSORS(attention_tensor_32_to_bf16, 32, bf16, 4)
BY_TENSORS(attention_tensor_64_to_f32, 64, float, 4)
BY_TENSORS(attention_tensor_64_to_bf16, 64, bf16, 4)
BY_TENSORS(attention_tensor_128_to_f32, 128, float, 2)
BY_TENSORS(attention_tensor_128_to_bf16, 128, bf16, 2)

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
