// A stand-in for libcublasLt.so.12: products in plain loops on the stand-in of the driver. What it proposes first are
// algorithms that pliant must refuse: with the inner dimension split, and with a reduction between blocks. Their sums, and
// those of rows that do not come in a multiple of 128, depend on the number of rows, so that whoever uses them is found.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>

typedef unsigned long long Address;

enum { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15 };
enum { F32 = 0, BF16 = 14 };

struct Description {
    int compute, scale, transpose_a, epilogue;
    Address bias;
};

struct Layout {
    int type;
    uint64_t down, across;
    int64_t step;
};

struct Preference {
    size_t workspace;
    unsigned reductions, alignment_a, alignment_d;
};

struct Algorithm {
    uint64_t data[8]; // mark, splits, reduction, alignments of weights and of bias
};

struct Proposal {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

static const uint64_t MARK = 0x5354414e44494e; // STANDIN

static void* of_driver(const char* name) {
    static void* driver = dlopen("libcuda.so.1", RTLD_NOW);
    void* found = driver ? dlsym(driver, name) : nullptr;
    if (!found) {
        std::fprintf(stderr, "STAND-IN PRODUCTS: the stand-in of the driver is not there\n");
        std::_Exit(99);
    }
    return found;
}

extern "C" size_t cublasLtGetVersion() {
    return 1;
}

extern "C" int cublasLtCreate(void** handle) {
    *handle = std::malloc(1);
    return SUCCESS;
}

extern "C" int cublasLtDestroy(void* handle) {
    std::free(handle);
    return SUCCESS;
}

extern "C" int cublasLtMatmulDescCreate(void** made, int compute, int scale) {
    *made = new Description{compute, scale, 0, 1, 0};
    return compute == 68 && scale == F32 ? SUCCESS : NOT_SUPPORTED;
}

extern "C" int cublasLtMatmulDescSetAttribute(void* made, int which, const void* value, size_t bytes) {
    Description* description = (Description*)made;
    switch (which) {
    case 3: std::memcpy(&description->transpose_a, value, 4); return bytes == 4 ? SUCCESS : INVALID_VALUE;
    case 7: std::memcpy(&description->epilogue, value, 4); return bytes == 4 ? SUCCESS : INVALID_VALUE;
    case 8: std::memcpy(&description->bias, value, 8); return bytes == 8 ? SUCCESS : INVALID_VALUE;
    default: return NOT_SUPPORTED;
    }
}

extern "C" int cublasLtMatmulDescDestroy(void* made) {
    delete (Description*)made;
    return SUCCESS;
}

extern "C" int cublasLtMatrixLayoutCreate(void** made, int type, uint64_t down, uint64_t across, int64_t step) {
    *made = new Layout{type, down, across, step};
    return step >= (int64_t)down ? SUCCESS : INVALID_VALUE;
}

extern "C" int cublasLtMatrixLayoutDestroy(void* made) {
    delete (Layout*)made;
    return SUCCESS;
}

extern "C" int cublasLtMatmulPreferenceCreate(void** made) {
    *made = new Preference{0, 7, 256, 256};
    return SUCCESS;
}

extern "C" int cublasLtMatmulPreferenceSetAttribute(void* made, int which, const void* value, size_t) {
    Preference* preference = (Preference*)made;
    switch (which) {
    case 1: std::memcpy(&preference->workspace, value, 8); return SUCCESS;
    case 3: std::memcpy(&preference->reductions, value, 4); return SUCCESS;
    case 5: std::memcpy(&preference->alignment_a, value, 4); return SUCCESS;
    case 8: std::memcpy(&preference->alignment_d, value, 4); return SUCCESS;
    default: return NOT_SUPPORTED;
    }
}

extern "C" int cublasLtMatmulPreferenceDestroy(void* made) {
    delete (Preference*)made;
    return SUCCESS;
}

static bool fits(const Description* description, const Layout* a, const Layout* b, const Layout* c, const Layout* d) {
    return description->transpose_a == 1 && a->down == b->down && d->down == a->across && d->across == b->across &&
           c->down == d->down && c->across == d->across && a->type == b->type && c->type == F32 && d->type == F32;
}

extern "C" int cublasLtMatmulAlgoGetHeuristic(void*, void* description, void* a, void* b, void* c, void* d, void* asked,
                                              int wanted, Proposal* proposals, int* found) {
    const Preference* preference = (Preference*)asked;
    if (!fits((Description*)description, (Layout*)a, (Layout*)b, (Layout*)c, (Layout*)d) || wanted < 4) {
        return INVALID_VALUE;
    }
    // A number of columns that no algorithm is for, so that the plain kernel is reached as well, and one for which there is
    // none as long as reductions are filtered.
    if (((Layout*)d)->down == 7 || (((Layout*)d)->down == 20 && !preference->reductions)) {
        *found = 0;
        return NOT_SUPPORTED;
    }
    const uint64_t settings[4][2] = {{4, 0}, {1, 2}, {1, 0}, {1, 0}};
    for (int number = 0; number < 4; number++) {
        proposals[number] = Proposal();
        proposals[number].algorithm.data[0] = MARK;
        proposals[number].algorithm.data[1] = settings[number][0];
        proposals[number].algorithm.data[2] = settings[number][1];
        proposals[number].algorithm.data[3] = preference->alignment_a;
        proposals[number].algorithm.data[4] = preference->alignment_d;
        proposals[number].state = number == 2 ? NOT_SUPPORTED : SUCCESS;
    }
    *found = 4;
    return SUCCESS;
}

extern "C" int cublasLtMatmulAlgoConfigGetAttribute(const Algorithm* algorithm, int which, void* value, size_t bytes,
                                                    size_t* written) {
    if (algorithm->data[0] != MARK || bytes != 4 || (which != 2 && which != 3)) {
        return INVALID_VALUE;
    }
    const uint32_t number = (uint32_t)algorithm->data[which - 1];
    std::memcpy(value, &number, 4);
    *written = 4;
    return SUCCESS;
}

extern "C" int cublasLtMatmulAlgoCheck(void*, void* description, void* a, void* b, void* c, void* d, const Algorithm* algorithm,
                                       Proposal* takes) {
    if (algorithm->data[0] != MARK ||
        !fits((Description*)description, (Layout*)a, (Layout*)b, (Layout*)c, (Layout*)d)) {
        return INVALID_VALUE;
    }
    *takes = Proposal();
    return SUCCESS;
}

struct Product {
    Description description;
    Layout a, b, d;
    Address from_a, from_b, from_c, to;
    float alpha, beta;
    bool split;
};

static float number(Address matrix, int type, uint64_t place) {
    if (type == F32) {
        return ((const float*)matrix)[place];
    }
    const uint32_t bits = (uint32_t)((const uint16_t*)matrix)[place] << 16;
    float value;
    std::memcpy(&value, &bits, 4);
    return value;
}

static void work(void* argument) {
    Product* product = (Product*)argument;
    const Layout &a = product->a, &b = product->b, &d = product->d;
    const bool odd = product->split || d.across % 128;
    for (uint64_t column = 0; column < d.across; column++) {
        for (uint64_t row = 0; row < d.down; row++) {
            float sum = 0.0f;
            for (uint64_t k = 0; k < a.down; k++) {
                const uint64_t place = odd ? (k + column + d.across) % a.down : k;
                sum = std::fmaf(number(product->from_a, a.type, row * a.step + place),
                                number(product->from_b, b.type, column * b.step + place), sum);
            }
            const uint64_t at = column * d.step + row;
            sum *= product->alpha;
            if (product->beta != 0.0f) {
                sum += product->beta * ((const float*)product->from_c)[at];
            }
            if (product->description.epilogue == 4) {
                sum += ((const float*)product->description.bias)[row];
            }
            ((float*)product->to)[at] = sum;
        }
    }
    delete product;
}

extern "C" int cublasLtMatmul(void*, void* described, const float* alpha, Address from_a, void* la, Address from_b, void* lb,
                              const float* beta, Address from_c, void* lc, Address to, void* ld, const Algorithm* algorithm,
                              Address workspace, size_t bytes, void* stream) {
    const Description* description = (Description*)described;
    const Layout *a = (Layout*)la, *b = (Layout*)lb, *c = (Layout*)lc, *d = (Layout*)ld;
    if (algorithm->data[0] != MARK || !fits(description, a, b, c, d) || !stream || !workspace) {
        return INVALID_VALUE;
    }
    const bool biased = description->epilogue == 4;
    if (from_a % algorithm->data[3] || from_b % 256 || to % 256 || (biased && description->bias % algorithm->data[4])) {
        std::fprintf(stderr, "STAND-IN PRODUCTS: an algorithm reads memory that begins where it cannot\n");
        std::_Exit(99);
    }
    auto check = (void (*)(Address, size_t, const char*))of_driver("standin_check");
    const size_t size = a->type == F32 ? 4 : 2;
    check(from_a, a->down * a->across * size, "weights of a product");
    check(from_b, b->down * b->across * size, "input of a product");
    check(to, d->down * d->across * 4, "result of a product");
    check(workspace, bytes, "workspace of a product");
    if (*beta != 0.0f) {
        check(from_c, d->down * d->across * 4, "summand of a product");
    }
    if (biased) {
        check(description->bias, a->across * 4, "bias of a product");
    }
    Product* product = new Product{*description, *a, *b, *d, from_a, from_b, from_c, to, *alpha, *beta,
                                   algorithm->data[1] != 1 || algorithm->data[2] != 0};
    auto ask = (void (*)(void (*)(void*), void*))of_driver("standin_ask");
    ask(work, product);
    return SUCCESS;
}
