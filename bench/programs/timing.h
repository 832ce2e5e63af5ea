/* What the programs that time calls share. */
#pragma once
#include <stdlib.h>
#include <time.h>

static inline double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double d = *(const double *)a - *(const double *)b;
    return (d > 0) - (d < 0);
}

/* Sorts what `count` calls took. */
static inline double median_of(double *took, size_t count) {
    qsort(took, count, sizeof *took, ascending);
    return took[count / 2];
}
