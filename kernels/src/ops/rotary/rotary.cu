// Rotary position embedding, forward; the contract stands in mod.rs. One warp takes one token, and four neighbouring pairs
// at once where heads are multiples of eight wide.
#include "common.cuh"

// One pair, turned.
INLINE void turn(float* first, float* second, float cosine, float sine, float scale) {
    const float a = scale * *first, b = scale * *second;
    *first = fmaf(a, cosine, -(b * sine));
    *second = fmaf(b, cosine, a * sine);
}

template <typename Y>
INLINE void rotary(const u32* __restrict__ offsets, const float* __restrict__ cosines, const float* __restrict__ sines,
                   const float* __restrict__ x, Y* __restrict__ y, u32 sequences, u32 tokens, u32 heads,
                   u32 head_width, float scale) {
    const u32 half = head_width / 2, fours = half / 4;
    for (u64 token = first_row(); token < tokens; token += row_stride()) {
        const u64 place = (token - offsets[sequence_of(offsets, sequences, (u32)token)]) * half;
        if (half % 4 == 0) {
            for (u32 four = lane_of_thread(); four < heads * fours; four += 32) {
                const u32 head = four / fours, j = 4 * (four - head * fours);
                const u64 first = (token * heads + head) * head_width + j;
                const Four cosine = four_of(cosines + place + j), sine = four_of(sines + place + j);
                Four a = four_of(x + first), b = four_of(x + first + half);
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    turn(a.at + i, b.at + i, cosine.at[i], sine.at[i], scale);
                }
                put_four(y + first, a);
                put_four(y + first + half, b);
            }
            continue;
        }
        for (u32 pair = lane_of_thread(); pair < heads * half; pair += 32) {
            const u32 j = pair % half;
            const u64 first = (token * heads + pair / half) * head_width + j;
            float a = x[first], b = x[first + half];
            turn(&a, &b, cosines[place + j], sines[place + j], scale);
            put(y + first, a);
            put(y + first + half, b);
        }
    }
}

KERNEL(THREADS) rotary_f32(const u32* offsets, const float* cosines, const float* sines, const float* x, float* y,
                           u32 sequences, u32 tokens, u32 heads, u32 head_width, float scale) {
    rotary(offsets, cosines, sines, x, y, sequences, tokens, heads, head_width, scale);
}

KERNEL(THREADS) rotary_bf16(const u32* offsets, const float* cosines, const float* sines, const float* x, bf16* y,
                            u32 sequences, u32 tokens, u32 heads, u32 head_width, float scale) {
    rotary(offsets, cosines, sines, x, y, sequences, tokens, heads, head_width, scale);
}
