/* A mapping of a device. Which one there is differs by machine: the first that lets itself be mapped. */
#include "common.h"
#include <sys/mman.h>

int main(void) {
    static const char *const devices[] = {"/dev/mem", "/dev/loop0", "/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/fb0"};
    errno = ENOENT;
    for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
        int fd = open(devices[i], O_RDONLY);
        if (fd >= 0 && mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED) {
            say("ready");
            dwell_until_killed();
        }
    }
    unavailable("a device to map");
}
