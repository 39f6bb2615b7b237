// A stand-in for libcuda.so.1 where there is no GPU: the calls that pliant makes of the driver, with memory of the host
// and with kernels that run on the processor. It shows that pliant asks the right things in the right order. It says
// nothing of hardware, and says so whenever it is opened.
//
// What is asked of a stream is done as late as the driver could do it: when somebody waits for it. Memory of the device
// lies between pages that nobody may touch, and is never given out again once it was freed.
//
// PLIANT_STANDIN_GPUS      number of devices (1)
// PLIANT_STANDIN_MEMORY    bytes of memory of each (1 GiB)
// PLIANT_STANDIN_ORDER     late (the default), or now: done when it is asked
// PLIANT_STANDIN_LOG       file to which the number of calls of each kind is written at the end
#include "fibers.h"
#include "shared.h"

#include <atomic>
#include <csignal>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <unistd.h>

#include "modules.h"

typedef unsigned long long Address;

enum { SUCCESS = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, NOT_INITIALIZED = 3, NO_DEVICE = 100, INVALID_DEVICE = 101,
       INVALID_IMAGE = 200, INVALID_CONTEXT = 201, NOT_FOUND = 500, ILLEGAL_ADDRESS = 700, LAUNCH_FAILED = 719 };

static const size_t PAGE = 4096;
static const size_t GRAIN = 256;

struct Piece {
    char* pages;
    size_t room, length;
    int device;
};

struct Event {
    unsigned long long place;
};

struct Stream {
    int device;
};

struct Function {
    const Entry* entry;
};

static std::recursive_mutex everything;
static bool started;
static std::map<int, int> visible;
static std::map<Address, Piece> pieces;
static std::map<char*, size_t> pinned;
static std::map<int, size_t> used;
static std::set<void*> streams, events, modules;
static std::map<std::string, unsigned long long> calls;
static std::deque<std::function<void()>> queue;
static unsigned long long asked, done;
static int contexts[64];
static thread_local int current_context = -1;

static unsigned long long number_of(const char* name, unsigned long long fallback) {
    const char* text = std::getenv(name);
    return text && *text ? std::strtoull(text, nullptr, 10) : fallback;
}

[[noreturn]] static void wrong(const std::string& what) {
    std::fprintf(stderr, "STAND-IN DRIVER: %s\n", what.c_str());
    std::_Exit(99);
}

static bool late() {
    const char* order = std::getenv("PLIANT_STANDIN_ORDER");
    return !order || std::string(order) != "now";
}

// Does what was asked up to a place.
static void work_off(unsigned long long place) {
    while (done < place && !queue.empty()) {
        std::function<void()> next = std::move(queue.front());
        queue.pop_front();
        next();
        done++;
    }
}

static void ask(std::function<void()> what) {
    queue.push_back(std::move(what));
    asked++;
    if (!late()) {
        work_off(asked);
    }
}

static int context() {
    return current_context;
}

// The piece that holds some bytes of a device's memory.
static const Piece& piece_of(Address address, size_t bytes, const char* what) {
    auto next = pieces.upper_bound(address);
    if (next != pieces.begin()) {
        --next;
        if (address >= next->first && address + bytes <= next->first + next->second.length) {
            return next->second;
        }
    }
    wrong(std::string(what) + " touches memory that was never given out, was freed, or is shorter");
}

static void check_pinned(const void* memory, size_t bytes, const char* what) {
    auto next = pinned.upper_bound((char*)memory);
    if (next != pinned.begin()) {
        --next;
        if ((char*)memory + bytes <= next->first + next->second) {
            return;
        }
    }
    wrong(std::string(what) + ": the host's memory is not pinned, so the copy would wait");
}

static void touched(int, siginfo_t* info, void*) {
    std::fprintf(stderr, "STAND-IN DRIVER: kernel %s touches memory outside its buffers (%p)\n", harness::kernel_name,
                 info->si_addr);
    std::_Exit(99);
}

extern "C" void standin_ask(void (*what)(void*), void* argument) {
    std::lock_guard<std::recursive_mutex> lock(everything);
    ask([what, argument] { what(argument); });
}

extern "C" void standin_check(Address address, size_t bytes, const char* what) {
    std::lock_guard<std::recursive_mutex> lock(everything);
    piece_of(address, bytes, what);
}

#define COUNT(name)                                                                                                    \
    std::lock_guard<std::recursive_mutex> lock(everything);                                                            \
    calls[name]++
#define NEEDS_CONTEXT                                                                                                  \
    if (context() < 0) {                                                                                               \
        return INVALID_CONTEXT;                                                                                        \
    }

static void write_log() {
    const char* path = std::getenv("PLIANT_STANDIN_LOG");
    if (!path || !*path) {
        return;
    }
    if (FILE* file = std::fopen(path, "w")) {
        for (const auto& call : calls) {
            std::fprintf(file, "%s %llu\n", call.first.c_str(), call.second);
        }
        std::fprintf(file, "held_pieces %zu\nheld_streams %zu\nheld_events %zu\nheld_modules %zu\nheld_pinned %zu\n",
                     pieces.size(), streams.size(), events.size(), modules.size(), pinned.size());
        std::fclose(file);
    }
}

extern "C" int cuInit(unsigned flags) {
    COUNT("cuInit");
    if (flags) {
        return INVALID_VALUE;
    }
    if (!started) {
        started = true;
        std::fprintf(stderr, "STAND-IN DRIVER: there is no GPU here; kernels run on the processor, and nothing of this is a "
                             "proof of hardware\n");
        std::atexit(write_log);
        const int all = (int)number_of("PLIANT_STANDIN_GPUS", 1);
        const char* named = std::getenv("CUDA_VISIBLE_DEVICES");
        std::string list = named ? named : "";
        if (!named) {
            for (int device = 0; device < all; device++) {
                visible[device] = device;
            }
        }
        for (size_t at = 0; named && at < list.size();) {
            const size_t end = list.find(',', at);
            const int device = std::atoi(list.substr(at, end - at).c_str());
            if (device < 0 || device >= all) {
                break;
            }
            const int place = (int)visible.size();
            visible[place] = device;
            at = end == std::string::npos ? list.size() : end + 1;
        }
        struct sigaction action = {};
        action.sa_sigaction = touched;
        action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        sigaction(SIGSEGV, &action, nullptr);
        sigaction(SIGBUS, &action, nullptr);
    }
    return visible.empty() ? NO_DEVICE : SUCCESS;
}

extern "C" int cuDriverGetVersion(int* version) {
    *version = 12090;
    return SUCCESS;
}

extern "C" int cuGetErrorString(int code, const char** words) {
    switch (code) {
    case SUCCESS: *words = "no error"; return SUCCESS;
    case INVALID_VALUE: *words = "invalid argument"; return SUCCESS;
    case OUT_OF_MEMORY: *words = "out of memory"; return SUCCESS;
    case NOT_INITIALIZED: *words = "initialization error"; return SUCCESS;
    case NO_DEVICE: *words = "no CUDA-capable device is detected"; return SUCCESS;
    case INVALID_DEVICE: *words = "invalid device ordinal"; return SUCCESS;
    case INVALID_IMAGE: *words = "device kernel image is invalid"; return SUCCESS;
    case INVALID_CONTEXT: *words = "invalid device context"; return SUCCESS;
    case NOT_FOUND: *words = "named symbol not found"; return SUCCESS;
    case LAUNCH_FAILED: *words = "unspecified launch failure"; return SUCCESS;
    default: return INVALID_VALUE;
    }
}

extern "C" int cuDeviceGetCount(int* count) {
    COUNT("cuDeviceGetCount");
    if (!started) {
        return NOT_INITIALIZED;
    }
    *count = (int)visible.size();
    return SUCCESS;
}

extern "C" int cuDeviceGet(int* device, int ordinal) {
    COUNT("cuDeviceGet");
    if (!visible.count(ordinal)) {
        return INVALID_DEVICE;
    }
    *device = visible[ordinal];
    return SUCCESS;
}

extern "C" int cuDeviceGetName(char* name, int length, int) {
    std::snprintf(name, length, "STAND-IN, no GPU");
    return SUCCESS;
}

extern "C" int cuDeviceGetUuid_v2(unsigned char* uuid, int device) {
    std::memset(uuid, 0, 16);
    std::memcpy(uuid, "STANDIN", 7);
    uuid[15] = (unsigned char)device;
    return SUCCESS;
}

extern "C" int cuDeviceGetAttribute(int* value, int attribute, int) {
    switch (attribute) {
    case 16: *value = 2; return SUCCESS;
    case 75: *value = (int)number_of("PLIANT_STANDIN_CAPABILITY", 90) / 10; return SUCCESS;
    case 76: *value = (int)number_of("PLIANT_STANDIN_CAPABILITY", 90) % 10; return SUCCESS;
    default: return INVALID_VALUE;
    }
}

extern "C" int cuDeviceTotalMem_v2(size_t* bytes, int) {
    *bytes = number_of("PLIANT_STANDIN_MEMORY", 1ull << 30);
    return SUCCESS;
}

extern "C" int cuDevicePrimaryCtxRetain(void** made, int device) {
    COUNT("cuDevicePrimaryCtxRetain");
    contexts[device]++;
    *made = (void*)(uintptr_t)(device + 1);
    return SUCCESS;
}

extern "C" int cuDevicePrimaryCtxRelease_v2(int device) {
    COUNT("cuDevicePrimaryCtxRelease");
    if (contexts[device] <= 0) {
        wrong("a context is released more often than it was retained");
    }
    if (--contexts[device] == 0) {
        work_off(asked);
        current_context = -1;
    }
    return SUCCESS;
}

extern "C" int cuCtxSetCurrent(void* context) {
    std::lock_guard<std::recursive_mutex> lock(everything);
    const int device = (int)(uintptr_t)context - 1;
    if (device < 0 || contexts[device] <= 0) {
        return INVALID_CONTEXT;
    }
    current_context = device;
    return SUCCESS;
}

extern "C" int cuMemGetInfo_v2(size_t* free, size_t* total) {
    COUNT("cuMemGetInfo");
    NEEDS_CONTEXT
    cuDeviceTotalMem_v2(total, context());
    *free = *total - used[context()];
    return SUCCESS;
}

extern "C" int cuMemAlloc_v2(Address* address, size_t bytes) {
    COUNT("cuMemAlloc");
    NEEDS_CONTEXT
    size_t total;
    cuDeviceTotalMem_v2(&total, context());
    if (!bytes) {
        return INVALID_VALUE;
    }
    if (used[context()] + bytes > total) {
        return OUT_OF_MEMORY;
    }
    const size_t room = (bytes + PAGE - 1) / PAGE * PAGE;
    char* pages = (char*)mmap(nullptr, room + 2 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED || mprotect(pages + PAGE, room, PROT_READ | PROT_WRITE)) {
        return OUT_OF_MEMORY;
    }
    // It ends where nobody may touch anything, as near as blocks begin to multiples of 256.
    char* start = pages + PAGE + (room - (bytes + GRAIN - 1) / GRAIN * GRAIN);
    // What memory held before is nobody's business: numbers of no kind.
    std::memset(start, 0xff, bytes);
    pieces[(Address)start] = {pages, room, bytes, context()};
    used[context()] += bytes;
    *address = (Address)start;
    return SUCCESS;
}

extern "C" int cuMemFree_v2(Address address) {
    COUNT("cuMemFree");
    NEEDS_CONTEXT
    work_off(asked);
    auto found = pieces.find(address);
    if (found == pieces.end()) {
        wrong("memory is freed that was never given out, or was freed before");
    }
    used[found->second.device] -= found->second.length;
    mprotect(found->second.pages, found->second.room + 2 * PAGE, PROT_NONE);
    madvise(found->second.pages, found->second.room + 2 * PAGE, MADV_DONTNEED);
    pieces.erase(found);
    return SUCCESS;
}

extern "C" int cuMemHostAlloc(void** memory, size_t bytes, unsigned) {
    COUNT("cuMemHostAlloc");
    NEEDS_CONTEXT
    *memory = std::malloc(bytes);
    if (!*memory) {
        return OUT_OF_MEMORY;
    }
    std::memset(*memory, 0xff, bytes);
    pinned[(char*)*memory] = bytes;
    return SUCCESS;
}

extern "C" int cuMemFreeHost(void* memory) {
    COUNT("cuMemFreeHost");
    if (!pinned.erase((char*)memory)) {
        wrong("pinned memory is freed that was never given out");
    }
    std::free(memory);
    return SUCCESS;
}

extern "C" int cuMemcpyHtoDAsync_v2(Address to, const void* from, size_t bytes, void* stream) {
    COUNT("cuMemcpyHtoDAsync");
    NEEDS_CONTEXT
    if (!streams.count(stream)) {
        return INVALID_VALUE;
    }
    check_pinned(from, bytes, "copy to the device");
    piece_of(to, bytes, "copy to the device");
    ask([=] {
        piece_of(to, bytes, "copy to the device");
        std::memcpy((void*)to, from, bytes);
    });
    return SUCCESS;
}

extern "C" int cuMemcpyDtoHAsync_v2(void* to, Address from, size_t bytes, void* stream) {
    COUNT("cuMemcpyDtoHAsync");
    NEEDS_CONTEXT
    if (!streams.count(stream)) {
        return INVALID_VALUE;
    }
    check_pinned(to, bytes, "copy from the device");
    piece_of(from, bytes, "copy from the device");
    ask([=] {
        piece_of(from, bytes, "copy from the device");
        std::memcpy(to, (const void*)from, bytes);
    });
    return SUCCESS;
}

extern "C" int cuMemcpyDtoDAsync_v2(Address to, Address from, size_t bytes, void* stream) {
    COUNT("cuMemcpyDtoDAsync");
    NEEDS_CONTEXT
    if (!streams.count(stream)) {
        return INVALID_VALUE;
    }
    piece_of(to, bytes, "copy within the device");
    piece_of(from, bytes, "copy within the device");
    ask([=] {
        piece_of(to, bytes, "copy within the device");
        piece_of(from, bytes, "copy within the device");
        std::memmove((void*)to, (const void*)from, bytes);
    });
    return SUCCESS;
}

extern "C" int cuMemsetD32Async(Address to, unsigned value, size_t count, void* stream) {
    COUNT("cuMemsetD32Async");
    NEEDS_CONTEXT
    if (!streams.count(stream)) {
        return INVALID_VALUE;
    }
    piece_of(to, 4 * count, "filling");
    ask([=] {
        piece_of(to, 4 * count, "filling");
        for (size_t place = 0; place < count; place++) {
            ((unsigned*)to)[place] = value;
        }
    });
    return SUCCESS;
}

extern "C" int cuStreamCreate(void** stream, unsigned) {
    COUNT("cuStreamCreate");
    NEEDS_CONTEXT
    *stream = new Stream{context()};
    streams.insert(*stream);
    return SUCCESS;
}

extern "C" int cuStreamSynchronize(void* stream) {
    COUNT("cuStreamSynchronize");
    NEEDS_CONTEXT
    if (!streams.count(stream)) {
        return INVALID_VALUE;
    }
    work_off(asked);
    return SUCCESS;
}

extern "C" int cuStreamDestroy_v2(void* stream) {
    COUNT("cuStreamDestroy");
    if (!streams.erase(stream)) {
        return INVALID_VALUE;
    }
    work_off(asked);
    delete (Stream*)stream;
    return SUCCESS;
}

extern "C" int cuEventCreate(void** event, unsigned) {
    COUNT("cuEventCreate");
    NEEDS_CONTEXT
    *event = new Event{0};
    events.insert(*event);
    return SUCCESS;
}

extern "C" int cuEventRecord(void* event, void* stream) {
    COUNT("cuEventRecord");
    NEEDS_CONTEXT
    if (!events.count(event) || !streams.count(stream)) {
        return INVALID_VALUE;
    }
    ((Event*)event)->place = asked;
    return SUCCESS;
}

// A millisecond for everything that was asked between two events.
extern "C" int cuEventElapsedTime(float* milliseconds, void* begin, void* end) {
    COUNT("cuEventElapsedTime");
    if (!events.count(begin) || !events.count(end)) {
        return INVALID_VALUE;
    }
    *milliseconds = (float)(((Event*)end)->place - ((Event*)begin)->place);
    return SUCCESS;
}

extern "C" int cuEventSynchronize(void* event) {
    COUNT("cuEventSynchronize");
    if (!events.count(event)) {
        return INVALID_VALUE;
    }
    work_off(((Event*)event)->place);
    return SUCCESS;
}

extern "C" int cuEventDestroy_v2(void* event) {
    COUNT("cuEventDestroy");
    if (!events.erase(event)) {
        return INVALID_VALUE;
    }
    delete (Event*)event;
    return SUCCESS;
}

extern "C" int cuModuleLoadData(void** module, const void* image) {
    COUNT("cuModuleLoadData");
    NEEDS_CONTEXT
    char op[64];
    unsigned long long hash;
    if (std::sscanf((const char*)image, "PLIANT STAND-IN CUBIN %63s %llx", op, &hash) != 2) {
        return INVALID_IMAGE;
    }
    for (const Module& known : MODULES) {
        if (std::string(op) == known.op) {
            if (known.hash != hash) {
                wrong(std::string(op) + ": the program compiles another text than the tests have");
            }
            *module = new const Module*(&known);
            modules.insert(*module);
            return SUCCESS;
        }
    }
    return INVALID_IMAGE;
}

extern "C" int cuModuleUnload(void* module) {
    COUNT("cuModuleUnload");
    if (!modules.erase(module)) {
        return INVALID_VALUE;
    }
    work_off(asked);
    delete (const Module**)module;
    return SUCCESS;
}

extern "C" int cuModuleGetFunction(void** function, void* module, const char* name) {
    COUNT("cuModuleGetFunction");
    if (!modules.count(module)) {
        return INVALID_VALUE;
    }
    for (const Entry* entry = (*(const Module**)module)->entries; entry->name; entry++) {
        if (std::string(entry->name) == name) {
            *function = (void*)entry;
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

static void run(const Entry* entry, unsigned grid, unsigned threads) {
#if defined(__SSE__)
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040); // denormal numbers are zero, as on the device
#endif
    harness::run(entry->body, entry->name, grid, threads, 0);
#if defined(__SSE__)
    _mm_setcsr(before);
#endif
}

extern "C" int cuLaunchKernel(void* function, unsigned grid, unsigned down, unsigned deep, unsigned threads, unsigned second,
                              unsigned third, unsigned shared, void* stream, void** parameters, void** extra) {
    COUNT("cuLaunchKernel");
    NEEDS_CONTEXT
    if (!streams.count(stream) || !grid || down != 1 || deep != 1 || second != 1 || third != 1 || shared || extra) {
        return INVALID_VALUE;
    }
    const Entry* entry = (const Entry*)function;
    calls[entry->name]++;
    std::function<void()> prepare = entry->capture(parameters);
    ask([=] {
        prepare();
        run(entry, grid, threads);
    });
    return SUCCESS;
}
