/*
 * fill MIB: fills memory with numbers that do not compress and hold no page of zeros, prints "ready", and for each line that it
 * reads checks all of it and prints "same"; a wrong word ends it with status 1.
 */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

static uint64_t mix(uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

int main(int argc, char **argv) {
    size_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) << 20, words = bytes / sizeof(uint64_t);
    uint64_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    for (size_t i = 0; i < words; i++) memory[i] = mix(i);
    puts("ready");
    fflush(stdout);
    while (getchar() != EOF) {
        for (size_t i = 0; i < words; i++) {
            if (memory[i] == mix(i)) continue;
            printf("word %zu is %016llx\n", i, (unsigned long long)memory[i]);
            return 1;
        }
        puts("same");
        fflush(stdout);
    }
    return 0;
}
