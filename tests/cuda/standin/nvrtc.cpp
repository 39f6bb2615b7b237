// A stand-in for libnvrtc.so.12: it checks what it is given and names the text, for the stand-in of the driver, which has
// the kernels already.
#include "shared.h"

#include <cstdio>
#include <cstdlib>
#include <string>

struct Program {
    std::string name, text, log, cubin;
    bool header;
};

enum { SUCCESS = 0, INVALID_INPUT = 3, COMPILATION = 6 };

extern "C" int nvrtcVersion(int* major, int* minor) {
    *major = 0;
    *minor = 0;
    return SUCCESS;
}

extern "C" const char* nvrtcGetErrorString(int code) {
    return code == SUCCESS ? "SUCCESS" : code == COMPILATION ? "COMPILATION" : "INVALID_INPUT";
}

extern "C" int nvrtcCreateProgram(void** made, const char* text, const char* name, int count, const char* const* headers,
                                  const char* const* names) {
    Program* program = new Program{name, text, "", "", false};
    program->header = count == 1 && headers[0][0] && std::string(names[0]) == "common.cuh";
    *made = program;
    return SUCCESS;
}

extern "C" int nvrtcCompileProgram(void* made, int count, const char* const* options) {
    Program* program = (Program*)made;
    bool architecture = false, contraction = true;
    for (int option = 0; option < count; option++) {
        architecture |= std::string(options[option]).rfind("--gpu-architecture=sm_", 0) == 0;
        contraction &= std::string(options[option]) != "--fmad=false";
    }
    if (!program->header || !architecture || contraction || std::getenv("PLIANT_STANDIN_NO_COMPILING")) {
        program->log = "the stand-in was told to compile nothing, or misses an option or the header";
        return COMPILATION;
    }
    char text[128];
    const std::string op = program->name.substr(0, program->name.find('.'));
    std::snprintf(text, sizeof text, "PLIANT STAND-IN CUBIN %s %llx\n", op.c_str(), hash_of(program->text.c_str()));
    program->cubin = text;
    return SUCCESS;
}

extern "C" int nvrtcGetProgramLogSize(void* program, size_t* size) {
    *size = ((Program*)program)->log.size() + 1;
    return SUCCESS;
}

extern "C" int nvrtcGetProgramLog(void* program, char* log) {
    const std::string& text = ((Program*)program)->log;
    text.copy(log, text.size());
    log[text.size()] = 0;
    return SUCCESS;
}

extern "C" int nvrtcGetCUBINSize(void* program, size_t* size) {
    *size = ((Program*)program)->cubin.size() + 1;
    return SUCCESS;
}

extern "C" int nvrtcGetCUBIN(void* program, char* cubin) {
    const std::string& text = ((Program*)program)->cubin;
    text.copy(cubin, text.size());
    cubin[text.size()] = 0;
    return SUCCESS;
}

extern "C" int nvrtcDestroyProgram(void** program) {
    delete (Program*)*program;
    *program = nullptr;
    return SUCCESS;
}
