/*
 *     shm-count NAME
 *
 * Counts in shared memory that has a name (shm_open(3)), and says there how far it has got: two words that are the same but for the
 * moment between them. Ends when it is killed; the name stays.
 */
#include "common.h"
#include <sys/mman.h>

int main(int argc, char **argv) {
    if (argc < 2) usage("shm-count NAME");
    int fd = shm_open(argv[1], O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd >= 0);
    CHECK(ftruncate(fd, 8192) == 0);
    volatile uint64_t *count = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(count != MAP_FAILED);
    CHECK(close(fd) == 0);
    say("ready");
    for (uint64_t n = 1; n < PATIENCE_S * 1000ull; n++) {
        count[0] = n;
        count[512] = n;
        sleep_ms(1);
    }
    return 0;
}
