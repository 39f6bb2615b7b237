// What the texts of the stand-in share.
#pragma once

#include "shim.h"

#include <functional>

// A kernel: its name, how its arguments are kept, and what every thread does.
struct Entry {
    const char* name;
    std::function<void()> (*capture)(void** parameters);
    void (*body)();
};

// A source: its operation, the hash of its text, its kernels up to one without a name.
struct Module {
    const char* op;
    unsigned long long hash;
    const Entry* entries;
};

// FNV-1a.
inline unsigned long long hash_of(const char* text) {
    unsigned long long hash = 0xcbf29ce484222325u;
    for (; *text; text++) {
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    }
    return hash;
}
