/* Pliant's plugin contract 0.1.0 for C, without a C library: define PLIANT_HEAD or PLIANT_METRIC, include it in one file,
 * and write the functions that it declares under "what you write".
 *
 * clang --target=wasm32 -O3 -msimd128 -mbulk-memory -nostdlib -Wl,--no-entry -Wl,--strip-all -o plugin.wasm plugin.c
 *
 * Memory comes from one arena that grows at its end. What init takes stays; what any other call takes is given back as a
 * whole when its answer has been read. An error is told by returning its text; no error is a null pointer.
 */
#ifndef PLIANT_PLUGIN_H
#define PLIANT_PLUGIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The layout of the structures is that of the contract. */
typedef struct { const char *text; uint32_t length; } pliant_string;
typedef struct { uint32_t rows, columns; const float *data; uint32_t count; } pliant_tensor;
typedef struct { bool there; uint32_t value; } pliant_option;
typedef enum { PLIANT_DEBUG, PLIANT_INFO, PLIANT_WARNING, PLIANT_ERROR } pliant_level;
typedef enum { PLIANT_ROW_PROTEIN, PLIANT_ROW_RESIDUE } pliant_row;
typedef enum { PLIANT_VALUES, PLIANT_LOGITS, PLIANT_PROBABILITIES } pliant_meaning;

#define PLIANT_TEXT(literal) ((pliant_string){(literal), sizeof(literal) - 1})
#define PLIANT_EXPORT(name) __attribute__((export_name(name)))

__attribute__((import_module("pliant:plugin/host@0.1.0"), import_name("log")))
extern void pliant_host_log(int32_t level, const char *text, uint32_t length);

extern uint8_t __heap_base;
static uintptr_t pliant_next, pliant_kept;

/* Memory that is not zeroed; ends the guest where there is none left. */
static void *pliant_take(uint32_t size, uint32_t align) {
  if (!pliant_next) pliant_next = (uintptr_t)&__heap_base;
  uintptr_t at = (pliant_next + align - 1) & ~(uintptr_t)(align - 1);
  uintptr_t there = (uintptr_t)__builtin_wasm_memory_size(0) << 16;
  if (size > UINT32_MAX - 65536 - at) __builtin_trap();
  if (at + size > there && __builtin_wasm_memory_grow(0, (at + size - there + 65535) >> 16) == SIZE_MAX) __builtin_trap();
  pliant_next = at + size;
  return (void *)at;
}

PLIANT_EXPORT("cabi_realloc")
void *pliant_realloc(void *old, uint32_t old_size, uint32_t align, uint32_t size) {
  uint8_t *taken = pliant_take(size, align);
  for (uint32_t i = 0; i < old_size && i < size; i++) taken[i] = ((uint8_t *)old)[i];
  return taken;
}

static uint32_t pliant_length(const char *text) {
  uint32_t length = 0;
  while (text[length]) length++;
  return length;
}

static inline void pliant_log(pliant_level level, const char *text) { pliant_host_log(level, text, pliant_length(text)); }

/* What the arena has now stays. */
static void pliant_keep(void) { pliant_kept = pliant_next; }
static void pliant_release(void) { pliant_next = pliant_kept; }

/* result<tensor, error>, result<list<score>, error> and result<_, error> in memory. */
typedef union {
  struct { uint8_t failed; uint32_t kind; pliant_string message; } error;
  struct { uint8_t failed; pliant_tensor tensor; } tensor;
  struct { uint8_t failed; const void *items; uint32_t count; } list;
} pliant_result;
static pliant_result pliant_answer;

/* The answer where text is null, else the error bad-input. */
static pliant_result *pliant_done(const char *text) {
  pliant_answer.error.failed = text != 0;
  if (text) {
    pliant_answer.error.kind = 0;
    pliant_answer.error.message = (pliant_string){text, pliant_length(text)};
  }
  return &pliant_answer;
}

#ifdef PLIANT_HEAD

typedef struct {
  pliant_string name, version;
  struct { bool pooled, residues, pairs; } takes;
  pliant_option width;                          /* C, where it wants a certain one */
  struct { const pliant_string *names; uint32_t count; } outputs;   /* the K columns */
  uint8_t row, meaning;                         /* pliant_row, pliant_meaning */
} pliant_head;

/* What you write. answer has room for rows * K numbers; offsets has proteins + 1 numbers, and answer K for each residue
 * or each protein, as row says. */
static const char *head_init(const char *config, uint32_t config_length, const uint8_t *weights, uint32_t weights_length);
static void head_describe(pliant_head *head);
static const char *head_predict(const float *vectors, uint32_t rows, uint32_t columns, float *answer);
static const char *head_predict_residues(const float *states, uint32_t columns, const uint32_t *offsets,
                                         uint32_t proteins, float *answer);
static const char *head_predict_pairs(const float *first, const float *second, uint32_t rows, uint32_t columns,
                                      float *answer);

static pliant_head pliant_this;

static float *pliant_room(uint32_t rows) {
  uint32_t columns = pliant_this.outputs.count;
  if (columns && rows > UINT32_MAX / 8 / columns) __builtin_trap();
  pliant_answer.tensor.tensor = (pliant_tensor){rows, columns, pliant_take(rows * columns * 4, 16), rows * columns};
  return (float *)pliant_answer.tensor.tensor.data;
}

PLIANT_EXPORT("pliant:plugin/head@0.1.0#init")
pliant_result *pliant_head_init(const char *config, uint32_t length, uint32_t has, const uint8_t *weights, uint32_t count) {
  const char *text = head_init(config, length, has ? weights : 0, has ? count : 0);
  head_describe(&pliant_this);
  pliant_keep();
  return pliant_done(text);
}
PLIANT_EXPORT("pliant:plugin/head@0.1.0#describe")
pliant_head *pliant_head_describe(void) { return &pliant_this; }

PLIANT_EXPORT("pliant:plugin/head@0.1.0#predict")
pliant_result *pliant_head_predict(uint32_t rows, uint32_t columns, const float *data, uint32_t count) {
  (void)count;
  return pliant_done(head_predict(data, rows, columns, pliant_room(rows)));
}
PLIANT_EXPORT("pliant:plugin/head@0.1.0#predict-residues")
pliant_result *pliant_head_predict_residues(uint32_t rows, uint32_t columns, const float *data, uint32_t count,
                                            const uint32_t *offsets, uint32_t bounds) {
  (void)count;
  float *answer = pliant_room(pliant_this.row == PLIANT_ROW_RESIDUE ? rows : bounds - 1);
  return pliant_done(head_predict_residues(data, columns, offsets, bounds - 1, answer));
}
PLIANT_EXPORT("pliant:plugin/head@0.1.0#predict-pairs")
pliant_result *pliant_head_predict_pairs(uint32_t rows, uint32_t columns, const float *first, uint32_t count,
                                         uint32_t other_rows, uint32_t other_columns, const float *second,
                                         uint32_t other_count) {
  (void)count, (void)other_rows, (void)other_columns, (void)other_count;
  return pliant_done(head_predict_pairs(first, second, rows, columns, pliant_room(rows)));
}
PLIANT_EXPORT("cabi_post_pliant:plugin/head@0.1.0#predict")
void pliant_head_read(pliant_result *answer) { (void)answer; pliant_release(); }
PLIANT_EXPORT("cabi_post_pliant:plugin/head@0.1.0#predict-residues")
void pliant_head_residues_read(pliant_result *answer) { (void)answer; pliant_release(); }
PLIANT_EXPORT("cabi_post_pliant:plugin/head@0.1.0#predict-pairs")
void pliant_head_pairs_read(pliant_result *answer) { (void)answer; pliant_release(); }

#endif

#ifdef PLIANT_METRIC

typedef struct { pliant_string name; bool higher_is_better; } pliant_score_info;
typedef struct {
  pliant_string name, version;
  pliant_option columns;                        /* K, where it wants a certain one */
  struct { const pliant_score_info *infos; uint32_t count; } scores;
} pliant_metric;
typedef struct { pliant_string name; bool defined; double value; } pliant_score;

/* What you write. predictions are [rows, columns], labels [rows, label_columns], not a number where not known; protein i
 * has the rows offsets[i] to offsets[i + 1]. scores has room for as many as metric_describe tells, with their names. */
static const char *metric_init(const char *config, uint32_t config_length);
static void metric_describe(pliant_metric *metric);
static const char *metric_add(const pliant_tensor *predictions, const pliant_tensor *labels, const uint32_t *offsets,
                              uint32_t proteins);
static const char *metric_finish(pliant_score *scores);

static pliant_metric pliant_this;

PLIANT_EXPORT("pliant:plugin/metric@0.1.0#init")
pliant_result *pliant_metric_init(const char *config, uint32_t length) {
  const char *text = metric_init(config, length);
  metric_describe(&pliant_this);
  pliant_keep();
  return pliant_done(text);
}
PLIANT_EXPORT("pliant:plugin/metric@0.1.0#describe")
pliant_metric *pliant_metric_describe(void) { return &pliant_this; }

PLIANT_EXPORT("pliant:plugin/metric@0.1.0#add")
pliant_result *pliant_metric_add(uint32_t rows, uint32_t columns, const float *data, uint32_t count, uint32_t label_rows,
                                 uint32_t label_columns, const float *label_data, uint32_t label_count,
                                 const uint32_t *offsets, uint32_t bounds) {
  pliant_tensor predictions = {rows, columns, data, count}, labels = {label_rows, label_columns, label_data, label_count};
  return pliant_done(metric_add(&predictions, &labels, offsets, bounds - 1));
}
PLIANT_EXPORT("cabi_post_pliant:plugin/metric@0.1.0#add")
void pliant_metric_read(pliant_result *answer) { (void)answer; pliant_release(); }

PLIANT_EXPORT("pliant:plugin/metric@0.1.0#finish")
pliant_result *pliant_metric_finish(void) {
  uint32_t count = pliant_this.scores.count;
  pliant_score *scores = pliant_take(count * sizeof(pliant_score), 8);
  for (uint32_t i = 0; i < count; i++) scores[i].name = pliant_this.scores.infos[i].name;
  pliant_answer.list.items = scores;
  pliant_answer.list.count = count;
  return pliant_done(metric_finish(scores));
}
PLIANT_EXPORT("cabi_post_pliant:plugin/metric@0.1.0#finish")
void pliant_metric_finish_read(pliant_result *answer) { (void)answer; pliant_release(); }

#endif
#endif
