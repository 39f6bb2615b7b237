/* glibc 2.35 gave these two functions of C a new version, and the program promises to run with 2.34. tract's complex
   numbers call them; with a definition in the program itself no version of them is asked for. */

#include <math.h>

/* Wider types hold the squares of all finite numbers without overflow, and round once. */
float hypotf(float x, float y) {
    if (isinf(x) || isinf(y)) {
        return INFINITY;
    }
    return (float)sqrt((double)x * x + (double)y * y);
}

double hypot(double x, double y) {
    if (isinf(x) || isinf(y)) {
        return INFINITY;
    }
    return (double)sqrtl((long double)x * x + (long double)y * y);
}
