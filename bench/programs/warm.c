/*
 * warm MIB: gets so much memory in huge pages, and gives it back. A virtual machine may have handed memory that it did not use to its
 * host, and getting it again costs it fifty times what clearing the pages does: that is to happen before something is timed.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
    size_t bytes = (argc > 1 ? strtoull(argv[1], NULL, 10) : 1) << 20;
    char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    madvise(memory, bytes, MADV_HUGEPAGE);
    for (size_t i = 0; i < bytes; i += 4096) memory[i] = 1;
    return 0;
}
