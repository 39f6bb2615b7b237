// Soft symmetric alignment of one pair, forward; the contract stands in mod.rs. The kernels run one after another.
#include "common.cuh"

// s [n,m]: one thread takes one pair of residues, columns of both ascending.
KERNEL(THREADS) soft_alignment_similarities(const float* __restrict__ a, const float* __restrict__ b,
                                            float* __restrict__ s, u32 rows, u32 columns, u32 width) {
    for (u64 at = first_element(); at < (u64)rows * columns; at += element_stride()) {
        const float* left = a + at / columns * width;
        const float* right = b + at % columns * width;
        float sum = 0.0f;
        for (u32 k = 0; k < width; k++) {
            sum += fabsf(left[k] - right[k]);
        }
        s[at] = -sum;
    }
}

// Largest similarity of every row, and the sum of the exponentials of all less that: one warp takes one row.
KERNEL(THREADS) soft_alignment_rows(const float* __restrict__ s, float* __restrict__ statistics, u32 rows,
                                    u32 columns) {
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float* from = s + row * columns;
        float largest = minus_infinity(), sum = 0.0f;
        for (u32 column = lane_of_thread(); column < columns; column += 32) {
            largest = fmaxf(largest, from[column]);
        }
        largest = warp_max(largest);
        for (u32 column = lane_of_thread(); column < columns; column += 32) {
            sum += expf(from[column] - largest);
        }
        sum = warp_sum(sum);
        if (lane_of_thread() == 0) {
            statistics[2 * row] = largest;
            statistics[2 * row + 1] = sum;
        }
    }
}

// The same of every column: one thread takes one column, rows ascending.
KERNEL(THREADS) soft_alignment_columns(const float* __restrict__ s, float* __restrict__ statistics, u32 rows,
                                       u32 columns) {
    for (u64 column = first_element(); column < columns; column += element_stride()) {
        float largest = minus_infinity(), sum = 0.0f;
        for (u64 row = 0; row < rows; row++) {
            largest = fmaxf(largest, s[row * columns + column]);
        }
        for (u64 row = 0; row < rows; row++) {
            sum += expf(s[row * columns + column] - largest);
        }
        statistics[2 * column] = largest;
        statistics[2 * column + 1] = sum;
    }
}

// Weights c [n,m] (or null), and the sums of c·s and of c of every row: one warp takes one row.
KERNEL(THREADS) soft_alignment_weights(const float* __restrict__ s, const float* __restrict__ row_statistics,
                                       const float* __restrict__ column_statistics, float* __restrict__ weights,
                                       float* __restrict__ sums, u32 rows, u32 columns) {
    for (u64 row = first_row(); row < rows; row += row_stride()) {
        const float largest = row_statistics[2 * row], total = row_statistics[2 * row + 1];
        float weighted = 0.0f, all = 0.0f;
        for (u64 column = lane_of_thread(); column < columns; column += 32) {
            const float similarity = s[row * columns + column];
            const float by_row = expf(similarity - largest) / total;
            const float by_column =
                expf(similarity - column_statistics[2 * column]) / column_statistics[2 * column + 1];
            const float weight = by_row + by_column - by_row * by_column;
            weighted = fmaf(weight, similarity, weighted);
            all += weight;
            if (weights) {
                weights[row * columns + column] = weight;
            }
        }
        weighted = warp_sum(weighted);
        all = warp_sum(all);
        if (lane_of_thread() == 0) {
            sums[2 * row] = weighted;
            sums[2 * row + 1] = all;
        }
    }
}

// The score, from the sums of all rows, rows ascending in 64 bits: one thread.
KERNEL(THREADS) soft_alignment_score(const float* __restrict__ sums, float* __restrict__ score, u32 rows) {
    if (first_element() == 0) {
        double weighted = 0.0, all = 0.0;
        for (u64 row = 0; row < rows; row++) {
            weighted += (double)sums[2 * row];
            all += (double)sums[2 * row + 1];
        }
        *score = (float)(weighted / all);
    }
}
