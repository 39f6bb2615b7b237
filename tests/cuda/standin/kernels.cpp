// The kernels of one source for the stand-in of the driver. Compiled with SOURCE (the .cu to include), KERNELS (as
// X(name) X(name)) and TABLE (the name of what it exports).
#include "shared.h"

#include <functional>
#include <tuple>
#include <utility>

#include SOURCE

template <auto KERNEL_FUNCTION> struct Caller;

template <typename... T, void (*FUNCTION)(T...)> struct Caller<FUNCTION> {
    static std::tuple<T...>& held() {
        static std::tuple<T...> held;
        return held;
    }
    static void body() {
        std::apply(FUNCTION, held());
    }
    template <size_t... PLACE> static std::tuple<T...> read(void** parameters, std::index_sequence<PLACE...>) {
        return std::tuple<T...>(*(T*)parameters[PLACE]...);
    }
    // Keeps the arguments as they are now, for a launch that comes later.
    static std::function<void()> capture(void** parameters) {
        std::tuple<T...> arguments = read(parameters, std::index_sequence_for<T...>());
        return [arguments] { held() = arguments; };
    }
};

#define X(name) {#name, Caller<name>::capture, Caller<name>::body},
extern const Entry TABLE[];
const Entry TABLE[] = {KERNELS{nullptr, nullptr, nullptr}};
#undef X
