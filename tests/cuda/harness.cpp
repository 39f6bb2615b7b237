// Runs kernels of one source on the processor. Compiled with SOURCE (the .cu to include) and KERNELS (its kernels, as
// X(name) X(name)). Standard input is a script of buffers and launches, standard output the buffers that may be
// written, standard error a fault in words. See script.rs for the form.
#define WORST_FUNCTIONS
#include "fibers.h"

#include <csignal>
#include <tuple>
#include <unistd.h>

#include SOURCE

namespace harness {

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
