// Rotary position embedding, forward; the contract stands in mod.rs. One block takes one token.
#include "common.cuh"

template <typename Y>
INLINE void rotary(const u32* __restrict__ offsets, const float* __restrict__ cosines, const float* __restrict__ sines,
                   const float* __restrict__ x, Y* __restrict__ y, u32 sequences, u32 tokens, u32 heads,
                   u32 head_width, float scale) {
    const u32 half = head_width / 2;
    for (u32 token = blockIdx.x; token < tokens; token += gridDim.x) {
        const u64 place = (u64)(token - offsets[sequence_of(offsets, sequences, token)]) * half;
        for (u32 pair = threadIdx.x; pair < heads * half; pair += blockDim.x) {
            const u32 j = pair % half;
            const u64 first = ((u64)token * heads + pair / half) * head_width + j;
            const float a = scale * x[first], b = scale * x[first + half];
            const float cosine = cosines[place + j], sine = sines[place + j];
            put(y + first, fmaf(a, cosine, -(b * sine)));
            put(y + first + half, fmaf(b, cosine, a * sine));
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
