// Runs the blocks of a kernel on the processor, one after the other, every thread as a fiber. Belongs to one text of a
// program, which says how a fault ends it.
#pragma once

#include "shim.h"

#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <sys/mman.h>
#include <ucontext.h>
#include <utility>
#include <vector>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

// Bounds of the section of shared memory; they are missing where a source has none.
extern char __start_shared_memory[] __attribute__((weak));
extern char __stop_shared_memory[] __attribute__((weak));

namespace harness {

Place block, threads_of_block, blocks;

enum State { READY, WAITING, DONE };

struct Fiber {
    Place place;
    ucontext_t start;
    jmp_buf context;
    bool started;
    State state;
    Kind kind;
    unsigned mask, value, partner, result;
    int line;
};

static const size_t STACK = 256 * 1024;
static std::vector<Fiber> fibers;
static Fiber* volatile current;
static jmp_buf scheduler;
static const char* volatile kernel_name = "";
static void (*volatile body)();

// Tells a fault of the kernel that runs and ends the program.
[[noreturn]] static void fail(const std::string& what) {
    std::fprintf(stderr, "kernel %s, block %u, thread %u: %s\n", kernel_name, block.x,
                 current ? current->place.x : 0, what.c_str());
    std::_Exit(1);
}

const Place& thread() {
    return current->place;
}

// Gives the processor back to the scheduler until somebody makes this fiber ready.
__attribute__((noinline)) static void pause() {
    if (!_setjmp(current->context)) {
        _longjmp(scheduler, 1);
    }
}

unsigned meet(Kind kind, unsigned mask, unsigned value, unsigned partner, int line) {
    Fiber* fiber = current;
    fiber->state = WAITING;
    fiber->kind = kind;
    fiber->mask = mask;
    fiber->value = value;
    fiber->partner = partner;
    fiber->line = line;
    pause();
    return current->result;
}

static void live() {
    for (;;) {
        body();
        current->state = DONE;
        pause();
    }
}

__attribute__((noinline)) static void resume(Fiber& fiber) {
    current = &fiber;
    if (_setjmp(scheduler)) {
        return;
    }
    if (!fiber.started) {
        fiber.started = true;
        setcontext(&fiber.start);
    }
    _longjmp(fiber.context, 1);
}

// Lets a barrier go when all threads that have not ended wait at it.
static void settle_block() {
    for (Fiber& fiber : fibers) {
        if (fiber.state == READY || (fiber.state == WAITING && fiber.kind != BLOCK)) {
            return;
        }
    }
    int line = 0;
    for (Fiber& fiber : fibers) {
        current = &fiber;
        if (fiber.state == DONE) {
            fail("has ended while others wait at a barrier of the block");
        }
        if (line && fiber.line != line) {
            fail("waits at another barrier than its neighbours");
        }
        line = fiber.line;
    }
    for (Fiber& fiber : fibers) {
        fiber.state = READY;
    }
}

// Exchanges numbers when all lanes that the mask names wait for it.
static void settle_warp(const Fiber& arrived) {
    const size_t first = arrived.place.x / 32 * 32;
    const unsigned mask = arrived.mask;
    if (!(mask >> (arrived.place.x % 32) & 1)) {
        fail("is not in the mask of its own exchange");
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) {
            continue;
        }
        if (first + lane >= fibers.size() || fibers[first + lane].state == DONE) {
            fail("waits for a lane that has ended or never was");
        }
        const Fiber& other = fibers[first + lane];
        if (other.state != WAITING) {
            return;
        }
        if (other.kind != arrived.kind || other.mask != mask || other.line != arrived.line) {
            fail("waits for a lane that waits at another place");
        }
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        if (mask >> lane & 1) {
            const unsigned from = lane ^ fibers[first + lane].partner;
            if (from >= 32 || !(mask >> from & 1)) {
                fail("takes a number from a lane that is not in the mask");
            }
            fibers[first + lane].result = fibers[first + from].value;
        }
    }
    for (unsigned lane = 0; lane < 32; lane++) {
        if (mask >> lane & 1) {
            fibers[first + lane].state = READY;
        }
    }
}

static void run_block(const std::vector<size_t>& order) {
    if (__start_shared_memory) {
        std::memset(__start_shared_memory, 0xff, __stop_shared_memory - __start_shared_memory);
    }
    for (Fiber& fiber : fibers) {
        fiber.state = READY;
    }
    for (size_t done = 0; done < fibers.size();) {
        bool moved = false;
        for (size_t place : order) {
            Fiber& fiber = fibers[place];
            if (fiber.state != READY) {
                continue;
            }
            moved = true;
            resume(fiber);
            done += fiber.state == DONE;
            if (fiber.state == WAITING && fiber.kind != BLOCK) {
                settle_warp(fiber);
            }
        }
        if (done < fibers.size()) {
            settle_block();
            if (!moved) {
                fail("waits for ever");
            }
        }
    }
}

// The order of `count` things: as they are, the other way round, or mixed.
static std::vector<size_t> order_of(size_t count, uint32_t order) {
    std::vector<size_t> places(count);
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (size_t place = 0; place < count; place++) {
        places[place] = order == 1 ? count - 1 - place : place;
    }
    for (size_t place = count; order == 2 && place > 1; place--) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        std::swap(places[place - 1], places[(random >> 33) % place]);
    }
    return places;
}

static void run(void (*kernel)(), const char* name, uint32_t grid, uint32_t threads, uint32_t order) {
    body = kernel;
    kernel_name = name;
    blocks = {grid, 1, 1};
    threads_of_block = {threads, 1, 1};
    if (fibers.size() != threads) {
        static std::map<size_t, std::vector<Fiber>> kept;
        kept[fibers.size()].swap(fibers);
        fibers.swap(kept[threads]);
    }
    if (fibers.empty()) {
        fibers.assign(threads, Fiber());
        for (uint32_t place = 0; place < threads; place++) {
            Fiber& fiber = fibers[place];
            fiber.place = {place, 0, 0};
            getcontext(&fiber.start);
            fiber.start.uc_stack.ss_sp = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            fiber.start.uc_stack.ss_size = STACK;
            if (fiber.start.uc_stack.ss_sp == MAP_FAILED) {
                fail("has no stack");
            }
            makecontext(&fiber.start, live, 0);
        }
    }
    const std::vector<size_t> places = order_of(threads, order);
    for (size_t index : order_of(grid, order)) {
        block = {(unsigned)index, 0, 0};
        run_block(places);
    }
    current = nullptr;
}

} // namespace harness
