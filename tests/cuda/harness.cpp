// Runs kernels of one source on the processor. Compiled with SOURCE (the .cu to include) and KERNELS (its kernels, as
// X(name) X(name)). Standard input is a script of buffers and launches, standard output the buffers that may be
// written, standard error a fault in words. See script.rs for the form.
#include "shim.h"

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/mman.h>
#include <tuple>
#include <ucontext.h>
#include <unistd.h>
#include <utility>
#include <vector>
#if defined(__SSE__)
#include <xmmintrin.h>
#endif

#include SOURCE

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

// A buffer between two pages that nobody may touch; its end is the end of a page.
struct Buffer {
    char* pages;
    size_t before, length, room;
    bool writable;
    char* data() const {
        return pages + before;
    }
};

static const unsigned char CANARY = 0xa5;

static Buffer allocate(size_t length, bool writable) {
    const size_t page = sysconf(_SC_PAGESIZE);
    const size_t room = (length + page - 1) / page * page;
    char* memory = (char*)mmap(nullptr, room + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || (room && mprotect(memory + page, room, PROT_READ | PROT_WRITE))) {
        fail("has no memory for its buffers");
    }
    Buffer buffer = {memory + page, room - length, length, room, writable};
    std::memset(buffer.pages, CANARY, buffer.before);
    return buffer;
}

static void read_exactly(void* to, size_t length) {
    if (std::fread(to, 1, length, stdin) != length) {
        fail("the script ends too early");
    }
}

static uint64_t read_word() {
    uint64_t word;
    read_exactly(&word, 8);
    return word;
}

struct Argument {
    uint64_t kind, value;
};

static std::vector<Buffer> buffers;
static std::vector<Argument> arguments;

// The next argument of a launch as the kernel's parameter: an address, or a number of the same size.
template <typename T> T parameter(size_t place) {
    const Argument& argument = arguments[place];
    T value;
    if constexpr (std::is_pointer_v<T>) {
        if (argument.kind > 1) {
            fail("wants a buffer as argument " + std::to_string(place));
        }
        value = argument.kind == 0 ? nullptr : (T)buffers.at(argument.value).data();
    } else {
        if (argument.kind != sizeof(T)) {
            fail("wants a number of " + std::to_string(sizeof(T)) + " bytes as argument " + std::to_string(place));
        }
        std::memcpy(&value, &argument.value, sizeof(T));
    }
    return value;
}

template <auto KERNEL_FUNCTION> struct Caller;

template <typename... T, void (*FUNCTION)(T...)> struct Caller<FUNCTION> {
    static std::tuple<T...>& held() {
        static std::tuple<T...> held;
        return held;
    }
    static void body() {
        std::apply(FUNCTION, held());
    }
    template <size_t... PLACE> static void take(std::index_sequence<PLACE...>) {
        held() = std::tuple<T...>(parameter<T>(PLACE)...);
    }
    static void prepare() {
        if (arguments.size() != sizeof...(T)) {
            fail("takes " + std::to_string(sizeof...(T)) + " arguments, given are " + std::to_string(arguments.size()));
        }
        take(std::index_sequence_for<T...>());
    }
};

struct Entry {
    const char* name;
    void (*prepare)();
    void (*body)();
};

#define X(name) {#name, Caller<name>::prepare, Caller<name>::body},
static const Entry ENTRIES[] = {KERNELS};
#undef X

static void launch(uint32_t order) {
    std::string name(read_word(), ' ');
    read_exactly(name.data(), name.size());
    const uint32_t grid = read_word(), threads = read_word();
    arguments.resize(read_word());
    for (Argument& argument : arguments) {
        argument.kind = read_word();
        argument.value = read_word();
    }
    for (const Entry& entry : ENTRIES) {
        if (name == entry.name) {
            kernel_name = entry.name;
            entry.prepare();
            return run(entry.body, entry.name, grid, threads, order);
        }
    }
    fail("there is no kernel " + name);
}

static void touched(int, siginfo_t*, void*) {
    fail("touches memory outside its buffers, or writes to one that it may only read");
}

static void watch_memory() {
    static char stack[64 * 1024];
    stack_t other = {};
    other.ss_sp = stack;
    other.ss_size = sizeof stack;
    sigaltstack(&other, nullptr);
    struct sigaction action = {};
    action.sa_sigaction = touched;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
}

static int main() {
    watch_memory();
#if defined(__SSE__)
    _mm_setcsr(_mm_getcsr() | 0x8040); // denormal numbers are zero, as on the device
#endif
    const uint32_t order = read_word();
    for (uint64_t count = read_word(); count > 0; count--) {
        const bool writable = read_word();
        Buffer buffer = allocate(read_word(), writable);
        read_exactly(buffer.data(), buffer.length);
        if (!writable && buffer.room) {
            mprotect(buffer.pages, buffer.room, PROT_READ);
        }
        buffers.push_back(buffer);
    }
    for (uint64_t count = read_word(); count > 0; count--) {
        launch(order);
    }
    for (const Buffer& buffer : buffers) {
        for (size_t place = 0; place < buffer.before; place++) {
            if ((unsigned char)buffer.pages[place] != CANARY) {
                fail("has written before the start of a buffer");
            }
        }
        if (buffer.writable && std::fwrite(buffer.data(), 1, buffer.length, stdout) != buffer.length) {
            fail("cannot hand its results on");
        }
    }
    return std::fflush(stdout) ? 1 : 0;
}

} // namespace harness

int main() {
    return harness::main();
}
