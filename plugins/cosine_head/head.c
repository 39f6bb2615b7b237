/* How alike two proteins are: the cosine of the angle between their vectors. A head of pairs, without weights. */
#define PLIANT_HEAD
#include "pliant_plugin.h"

static const pliant_string outputs[] = {{"cosine", 6}};

static const char *head_init(const char *config, uint32_t config_length, const uint8_t *weights, uint32_t weights_length) {
  (void)config, (void)config_length, (void)weights, (void)weights_length;
  return 0;
}

static void head_describe(pliant_head *head) {
  head->name = PLIANT_TEXT("cosine-head");
  head->version = PLIANT_TEXT("1.0.0");
  head->takes.pairs = true;
  head->outputs.names = outputs;
  head->outputs.count = 1;
  head->row = PLIANT_ROW_PROTEIN;
  head->meaning = PLIANT_VALUES;
}

static const char *head_predict(const float *vectors, uint32_t rows, uint32_t columns, float *answer) {
  (void)vectors, (void)rows, (void)columns, (void)answer;
  return "this head takes pairs alone";
}

static const char *head_predict_residues(const float *states, uint32_t columns, const uint32_t *offsets,
                                         uint32_t proteins, float *answer) {
  (void)offsets;
  return head_predict(states, proteins, columns, answer);
}

static const char *head_predict_pairs(const float *first, const float *second, uint32_t rows, uint32_t columns,
                                      float *answer) {
  for (uint32_t row = 0; row < rows; row++, first += columns, second += columns) {
    double product = 0, left = 0, right = 0;
    for (uint32_t i = 0; i < columns; i++) {
      product += (double)first[i] * second[i];
      left += (double)first[i] * first[i];
      right += (double)second[i] * second[i];
    }
    double length = __builtin_sqrt(left) * __builtin_sqrt(right);
    /* A vector of zeros has no direction; it is like nothing. */
    double cosine = length > 0 ? product / length : 0;
    answer[row] = (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine);
  }
  return 0;
}
