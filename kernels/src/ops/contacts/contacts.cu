// Contacts from mixed attention maps; the contract stands in mod.rs.
#include "common.cuh"

// -weight_c / t_c of every channel, zero where it saw nothing. One warp takes one channel.
KERNEL(THREADS) contacts_factors(const float* __restrict__ sums, const float* __restrict__ weights,
                                 float* __restrict__ factors, u32 channels, u32 length) {
    for (u64 channel = first_row(); channel < channels; channel += row_stride()) {
        float total = 0.0f;
        for (u32 place = lane_of_thread(); place < length; place += 32) {
            total += sums[channel * length + place];
        }
        total = warp_sum(total);
        if (lane_of_thread() == 0) {
            factors[channel] = total > 0.0f ? -weights[channel] / total : 0.0f;
        }
    }
}

// Probabilities [L,L]: one thread takes one pair. Both products commute, so the map is symmetric bit for bit.
KERNEL(THREADS) contacts_map(const float* __restrict__ map, const float* __restrict__ sums,
                             const float* __restrict__ factors, float* __restrict__ y, u32 channels, u32 length,
                             float bias) {
    for (u64 at = first_element(); at < (u64)length * length; at += element_stride()) {
        const u64 i = at / length, j = at % length;
        float logit = bias + (map[i * length + j] + map[j * length + i]);
        for (u64 channel = 0; channel < channels; channel++) {
            const float* margins = sums + channel * length;
            logit = fmaf(factors[channel], margins[i] * margins[j], logit);
        }
        y[at] = logistic(logit);
    }
}
