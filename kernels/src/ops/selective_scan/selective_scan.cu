// The selective scan of Mamba-1, forward; the contract stands in mod.rs. `reverse` walks every sequence from its end.
#include "common.cuh"

// States that a thread holds at once: channels with more are walked once for every 16.
#define STATES 16

// Steps whose input and output weights a block holds at once.
#define STEPS 32

// ln(1 + e^x), linear above 20.
INLINE float softplus(float x) {
    return x > 20.0f ? x : log1pf(expf(x));
}

// One thread walks one channel of one sequence, one block 128 channels of it. carry: state of the sequence that
// continues into the first row met, or null where it begins here; left: state that the last row met leaves, or null.
KERNEL(THREADS) selective_scan_forward(const u32* __restrict__ offsets, const float* __restrict__ u,
                                       const float* __restrict__ delta, const float* __restrict__ bc,
                                       const float* __restrict__ a_log, const float* __restrict__ d,
                                       const float* __restrict__ carry, float* __restrict__ left,
                                       float* __restrict__ y, u32 sequences, u32 width, u32 states, u32 reverse) {
    __shared__ float weights[STEPS][2 * STATES];
    const u32 groups = (width + THREADS - 1) / THREADS;
    for (u64 task = blockIdx.x; task < (u64)sequences * groups; task += gridDim.x) {
        const u32 sequence = (u32)(task / groups), e = (u32)(task % groups) * THREADS + threadIdx.x;
        const u32 start = offsets[sequence], length = offsets[sequence + 1] - start;
        const bool mine = e < width;
        const bool enters = carry && sequence == (reverse ? sequences - 1 : 0);
        const bool leaves = left && sequence == (reverse ? 0 : sequences - 1);
        for (u32 first = 0; first < states; first += STATES) {
            const u32 count = min(states - first, (u32)STATES);
            const u64 place = (u64)e * states + first;
            float rates[STATES], state[STATES];
#pragma unroll
            for (u32 n = 0; n < STATES; n++) {
                const bool held = mine && n < count;
                // e^(Δ A) = 2^(Δ A log2 e)
                rates[n] = held ? -expf(a_log[place + n]) * 1.44269504f : 0.0f;
                state[n] = held && enters ? carry[place + n] : 0.0f;
            }
            for (u32 border = 0; border < length; border += STEPS) {
                const u32 steps = min(length - border, (u32)STEPS);
                __syncthreads();
                for (u32 at = threadIdx.x; at < steps * 2 * STATES; at += THREADS) {
                    const u32 step = border + at / (2 * STATES), n = at % STATES, half = at / STATES % 2;
                    const u64 row = start + (reverse ? length - 1 - step : step);
                    weights[at / (2 * STATES)][at % (2 * STATES)] =
                        n < count ? bc[(2 * row + half) * states + first + n] : 0.0f;
                }
                __syncthreads();
                for (u32 step = 0; mine && step < steps; step++) {
                    const u32 done = border + step;
                    const u64 at = (u64)(start + (reverse ? length - 1 - done : done)) * width + e;
                    const float time = softplus(delta[at]), input = u[at];
                    const float rise = time * input;
                    float even = 0.0f, odd = 0.0f;
#pragma unroll
                    for (u32 n = 0; n < STATES; n += 2) {
                        state[n] = fmaf(exp2f(time * rates[n]), state[n], rise * weights[step][n]);
                        state[n + 1] = fmaf(exp2f(time * rates[n + 1]), state[n + 1], rise * weights[step][n + 1]);
                        even = fmaf(state[n], weights[step][STATES + n], even);
                        odd = fmaf(state[n + 1], weights[step][STATES + n + 1], odd);
                    }
                    y[at] = (first == 0 ? d[e] * input : y[at]) + (even + odd);
                }
            }
#pragma unroll
            for (u32 n = 0; n < STATES; n++) {
                if (mine && leaves && n < count) {
                    left[place + n] = state[n];
                }
            }
        }
    }
}
