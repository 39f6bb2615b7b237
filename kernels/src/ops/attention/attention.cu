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

// What only a device has; the shim has its own of all.
#ifdef __CUDACC_RTC__

// A place of shared memory, in bytes.
typedef u32 Shared;

INLINE Shared shared_place(const void* of) {
    return (u32)__cvta_generic_to_shared(of);
}

// Two neighbours as a tensor core takes them, each the nearest bf16, the first in the lower half: the instruction names the
// upper half first. What is computed is never a denormal number, as those of 32 bits are zero.
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

// Four matrices of eight rows of 16 bytes: lane l names row l % 8 of matrix l / 8, and of each matrix it gets the places
// (g, 2t) and its right neighbour.
INLINE void load_matrices(u32* to, Shared row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
}

// The same, of each matrix the places (2t, g) and the one below.
INLINE void load_matrices_turned(u32* to, Shared row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(row)
                 : "memory");
}

// Sends 16 bytes on their way to shared memory, or zeros where there is nothing to read; both begin at multiples of 16.
INLINE void send(Shared to, const void* from, bool inside) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(inside ? 16u : 0u) : "memory");
}

// Waits until all that this thread has sent is there; others know after a barrier.
INLINE void wait_for_sent() {
    asm volatile("cp.async.wait_all;" ::: "memory");
}

#endif

INLINE void put_two(float* to, float first, float second) {
    *(float2*)to = {first, second};
}

INLINE void put_two(bf16* to, float first, float second) {
    *(u32*)to = neighbours(first, second);
}

// log2(e), and its inverse.
#define LOG2_E 1.44269504f
#define LN_2 0.69314718f

// Sends COUNT rows of one head, from `first` on, to shared memory, STRIDE pieces of 16 bytes from row to row; zeros outside of
// head and sequence. Heads are multiples of 8 wide and memory begins at multiples of 256 bytes, so pieces begin at multiples
// of 16.
template <int WIDTH, int COUNT>
INLINE void send_rows(Shared to, const bf16* __restrict__ from, u32 first, u32 end, u32 head, u32 heads,
                      u32 head_width) {
    constexpr u32 PIECES = WIDTH / 8, STRIDE = PIECES + 1, EACH = THREADS / PIECES;
    static_assert(COUNT % EACH == 0, "every thread has as many pieces");
    const u32 piece = threadIdx.x % PIECES, begin = threadIdx.x / PIECES, width = heads * head_width;
    const bf16* place = from + head * head_width + 8 * piece;
#pragma unroll
    for (u32 row = begin; row < begin + COUNT; row += EACH) {
        const bool inside = first + row < end && 8 * piece < head_width;
        send(to + 16 * (row * STRIDE + piece), inside ? place + (u64)(first + row) * width : from, inside);
    }
}

// scores [16·TILES, AT_ONCE] of a warp's queries and the keys at `keys`, a lane's row of the first four matrices.
template <int WIDTH, int TILES, int AT_ONCE>
INLINE void score_keys(float scores[TILES][AT_ONCE / 8][4], const u32 queries[TILES][WIDTH / 16][4], Shared keys) {
#pragma unroll
    for (u32 pair = 0; pair < AT_ONCE / 16; pair++) {
#pragma unroll
        for (u32 step = 0; step < WIDTH / 16; step++) {
            u32 key[4];
            load_matrices(key, keys + 16 * (16 * pair * (WIDTH / 8 + 1) + 2 * step));
#pragma unroll
            for (u32 tile = 0; tile < TILES; tile++) {
                tensor_product(scores[tile][2 * pair], queries[tile][step], key[0], key[1]);
                tensor_product(scores[tile][2 * pair + 1], queries[tile][step], key[2], key[3]);
            }
        }
    }
}

// Turns scores into weights relative to the largest score so far, of one tile of 16 queries: largest holds it times log2(e),
// total the sum of this lane's weights, and what was summed before shrinks.
template <int WIDTH, int AT_ONCE>
INLINE void weigh(float scores[AT_ONCE / 8][4], float sums[WIDTH / 8][4], float* largest, float* total) {
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float now = minus_infinity();
#pragma unroll
        for (u32 keys = 0; keys < AT_ONCE / 8; keys++) {
            now = fmaxf(now, fmaxf(scores[keys][2 * half], scores[keys][2 * half + 1]));
        }
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 1));
        now = fmaxf(now, __shfl_xor_sync(0xffffffffu, now, 2));
        now = fmaxf(largest[half], now * LOG2_E);
        const float shrink = exp2f(largest[half] - now);
        largest[half] = now;
        total[half] *= shrink;
#pragma unroll
        for (u32 keys = 0; keys < AT_ONCE / 8; keys++) {
#pragma unroll
            for (u32 i = 2 * half; i < 2 * half + 2; i++) {
                scores[keys][i] = exp2f(fmaf(scores[keys][i], LOG2_E, -now));
                total[half] += scores[keys][i];
            }
        }
#pragma unroll
        for (u32 columns = 0; columns < WIDTH / 8; columns++) {
            sums[columns][2 * half] *= shrink;
            sums[columns][2 * half + 1] *= shrink;
        }
    }
}

// sums [16·TILES, WIDTH] += weights · values; `values` names a lane's row of the first four matrices.
template <int WIDTH, int TILES, int AT_ONCE>
INLINE void add_values(float sums[TILES][WIDTH / 8][4], const float weights[TILES][AT_ONCE / 8][4], Shared values) {
#pragma unroll
    for (u32 step = 0; step < AT_ONCE / 16; step++) {
        u32 rounded[TILES][4];
#pragma unroll
        for (u32 tile = 0; tile < TILES; tile++) {
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                const float* two = weights[tile][2 * step + i / 2] + i % 2 * 2;
                rounded[tile][i] = neighbours(two[0], two[1]);
            }
        }
#pragma unroll
        for (u32 pair = 0; pair < WIDTH / 16; pair++) {
            u32 value[4];
            load_matrices_turned(value, values + 16 * (16 * step * (WIDTH / 8 + 1) + 2 * pair));
#pragma unroll
            for (u32 tile = 0; tile < TILES; tile++) {
                tensor_product(sums[tile][2 * pair], rounded[tile], value[0], value[1]);
                tensor_product(sums[tile][2 * pair + 1], rounded[tile], value[2], value[3]);
            }
        }
    }
}

// Writes what a warp found of 16 queries from `query` on, the lane's own first.
template <int WIDTH, typename Y>
INLINE void write_rows(Y* __restrict__ out, float* __restrict__ lse, const float sums[WIDTH / 8][4],
                       const float* largest, const float* total, u32 query, u32 end, u32 head, u32 heads,
                       u32 head_width) {
    const u32 t = lane_of_thread() % 4;
#pragma unroll
    for (u32 half = 0; half < 2; half++) {
        float all = total[half];
        all += __shfl_xor_sync(0xffffffffu, all, 1);
        all += __shfl_xor_sync(0xffffffffu, all, 2);
        const u64 row = (u64)(query + 8 * half) * heads + head;
        if (query + 8 * half >= end) {
            continue;
        }
        if (lse && t == 0) {
            lse[row] = fmaf(largest[half], LN_2, logf(all));
        }
        const float inverse = 1.0f / all;
#pragma unroll
        for (u32 columns = 0; columns < WIDTH / 8; columns++) {
            if (8 * columns < head_width) {
                put_two(out + row * head_width + 8 * columns + 2 * t, sums[columns][2 * half] * inverse,
                        sums[columns][2 * half + 1] * inverse);
            }
        }
    }
}

// out and, where it is not null, lse. tasks as for the plain path, of up to 64·TILES queries, 16·TILES for each warp. Keys are
// taken AT_ONCE at a time from the first token of the sequence on, the next ones on their way meanwhile. A lane has two
// queries of every 16, and of each eight keys two neighbours, whose weights it adds in ascending order; the four lanes that
// share a query add theirs at the end. Rows of shared memory are 16 bytes longer than a head, so that eight of them begin in
// different banks.
template <int WIDTH, int TILES, int AT_ONCE, typename Y>
INLINE void attend_by_tensors(const u32* __restrict__ tasks, const bf16* __restrict__ q, const bf16* __restrict__ k,
                              const bf16* __restrict__ v, Y* __restrict__ out, float* __restrict__ lse, u32 count,
                              u32 heads, u32 head_width) {
    constexpr u32 STRIDE = WIDTH / 8 + 1, ROWS = AT_ONCE * STRIDE, QUERIES_HELD = 64 * TILES;
    static_assert(QUERIES_HELD <= 2 * AT_ONCE, "queries wait where the second keys and values will be");
    // Keys and values of this turn and of the next.
    __shared__ uint4 held[4 * ROWS];
    const u32 lane = lane_of_thread(), mine = threadIdx.x / 32 * 16 * TILES;
    const Shared room = shared_place(held);
    // A lane's row of four matrices: two below each other and two beside, in the one order and in the other.
    const u32 beside = 16 * ((lane / 16 * 8 + lane % 8) * STRIDE + lane / 8 % 2);
    const u32 below = 16 * ((lane / 8 % 2 * 8 + lane % 8) * STRIDE + lane / 16);
    for (u64 item = blockIdx.x; item < (u64)count * heads; item += gridDim.x) {
        const u32 head = (u32)(item % heads);
        const u32* task = tasks + 3 * (item / heads);
        const u32 first = task[0], start = task[1], end = task[2];
        __syncthreads();
        send_rows<WIDTH, QUERIES_HELD>(room + 32 * ROWS, q, first, end, head, heads, head_width);
        send_rows<WIDTH, AT_ONCE>(room, k, start, end, head, heads, head_width);
        send_rows<WIDTH, AT_ONCE>(room + 16 * ROWS, v, start, end, head, heads, head_width);
        wait_for_sent();
        __syncthreads();
        u32 queries[TILES][WIDTH / 16][4];
        float sums[TILES][WIDTH / 8][4] = {}, largest[TILES][2], total[TILES][2] = {};
#pragma unroll
        for (u32 tile = 0; tile < TILES; tile++) {
            largest[tile][0] = largest[tile][1] = minus_infinity();
#pragma unroll
            for (u32 step = 0; step < WIDTH / 16; step++) {
                const u32 row = mine + 16 * tile;
                load_matrices(queries[tile][step], room + 32 * ROWS + below + 16 * (row * STRIDE + 2 * step));
            }
        }
        u32 turn = 0;
        for (u32 keys = start; keys < end; keys += AT_ONCE, turn ^= 1u) {
            const Shared here = room + turn * 32 * ROWS, there = room + (turn ^ 1u) * 32 * ROWS;
            // What this turn needs is there for all, and nobody reads any more what the last one needed.
            wait_for_sent();
            __syncthreads();
            if (keys + AT_ONCE < end) {
                send_rows<WIDTH, AT_ONCE>(there, k, keys + AT_ONCE, end, head, heads, head_width);
                send_rows<WIDTH, AT_ONCE>(there + 16 * ROWS, v, keys + AT_ONCE, end, head, heads, head_width);
            }
            // A warp without queries only helps to bring keys and values.
            if (first + mine >= end) {
                continue;
            }
            float scores[TILES][AT_ONCE / 8][4] = {};
            score_keys<WIDTH, TILES, AT_ONCE>(scores, queries, here + beside);
#pragma unroll
            for (u32 tile = 0; tile < TILES; tile++) {
                if (keys + AT_ONCE > end) {
#pragma unroll
                    for (u32 at = 0; at < AT_ONCE / 2; at++) {
                        const bool inside = keys + at / 4 * 8 + lane % 4 * 2 + at % 2 < end;
                        scores[tile][at / 4][at % 4] = inside ? scores[tile][at / 4][at % 4] : minus_infinity();
                    }
                }
                weigh<WIDTH, AT_ONCE>(scores[tile], sums[tile], largest[tile], total[tile]);
            }
            add_values<WIDTH, TILES, AT_ONCE>(sums, scores, here + 16 * ROWS + below);
        }
        if (first + mine >= end) {
            continue;
        }
#pragma unroll
        for (u32 tile = 0; tile < TILES; tile++) {
            const u32 query = first + mine + 16 * tile + lane / 4;
            write_rows<WIDTH>(out, lse, sums[tile], largest[tile], total[tile], query, end, head, heads, head_width);
        }
    }
}

// Queries of a block: 128, and 64 of the widest heads, whose sums fill the registers.
#define BY_TENSORS(name, width, tiles, keys, Y, blocks)                                                               \
    KERNEL(THREADS, blocks) name(const u32* tasks, const bf16* q, const bf16* k, const bf16* v, Y* out, float* lse,   \
                                 u32 count, u32 heads, u32 head_width) {                                              \
        attend_by_tensors<width, tiles, keys>(tasks, q, k, v, out, lse, count, heads, head_width);                    \
    }

BY_TENSORS(attention_tensor_16_to_f32, 16, 2, 64, float, 3)
BY_TENSORS(attention_tensor_16_to_bf16, 16, 2, 64, bf16, 3)
BY_TENSORS(attention_tensor_32_to_f32, 32, 2, 64, float, 3)
BY_TENSORS(attention_tensor_32_to_bf16, 32, 2, 64, bf16, 3)
BY_TENSORS(attention_tensor_64_to_f32, 64, 2, 64, float, 2)
BY_TENSORS(attention_tensor_64_to_bf16, 64, 2, 64, bf16, 2)
BY_TENSORS(attention_tensor_128_to_f32, 128, 1, 32, float, 2)
BY_TENSORS(attention_tensor_128_to_bf16, 128, 1, 32, bf16, 2)

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
