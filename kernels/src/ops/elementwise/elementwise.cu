// Operations on single numbers, forward; the contract stands in mod.rs. One thread takes one number.
#include "common.cuh"

KERNEL(THREADS) elementwise_add(const float* a, const float* b, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = a[at] + b[at];
    }
}

KERNEL(THREADS) elementwise_add_into(const float* __restrict__ x, float* __restrict__ y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] += x[at];
    }
}

KERNEL(THREADS) elementwise_multiply(const float* a, const float* b, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = a[at] * b[at];
    }
}

KERNEL(THREADS) elementwise_distance(const float* a, const float* b, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = fabsf(a[at] - b[at]);
    }
}

// What is not a number stays so.
KERNEL(THREADS) elementwise_relu(const float* x, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = x[at] <= 0.0f ? 0.0f : x[at];
    }
}

KERNEL(THREADS) elementwise_tanh(const float* x, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = tanhf(x[at]);
    }
}

KERNEL(THREADS) elementwise_logistic(const float* x, float* y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = logistic(x[at]);
    }
}

KERNEL(THREADS) elementwise_scale(float* x, u64 count, float factor) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        x[at] *= factor;
    }
}

// (a + b) · SiLU(z), or a · SiLU(z) where b is null.
template <typename Y>
INLINE void gate(const float* __restrict__ a, const float* __restrict__ b, const float* __restrict__ z,
                 Y* __restrict__ y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        const float passing = b ? a[at] + b[at] : a[at];
        put(y + at, passing * silu(z[at]));
    }
}

KERNEL(THREADS) elementwise_gate_f32(const float* a, const float* b, const float* z, float* y, u64 count) {
    gate(a, b, z, y, count);
}

KERNEL(THREADS) elementwise_gate_bf16(const float* a, const float* b, const float* z, bf16* y, u64 count) {
    gate(a, b, z, y, count);
}

KERNEL(THREADS) elementwise_to_bf16(const float* __restrict__ x, bf16* __restrict__ y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = narrow(x[at]);
    }
}

KERNEL(THREADS) elementwise_to_f32(const bf16* __restrict__ x, float* __restrict__ y, u64 count) {
    for (u64 at = first_element(); at < count; at += element_stride()) {
        y[at] = widen(x[at]);
    }
}
