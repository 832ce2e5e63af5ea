/*
 * A deputy for tests: maps a buffer at an agreed address and does what it is told on its standard input.
 *
 *   deputy ADDRESS SIZE     (both hexadecimal)
 *
 * 'C' + u64[7] (number, six arguments) + u32 blob length + blob:  places the blob, makes the call, answers i64 result
 * 'F':                                                            has a child that ends at once with status 7, answers its i64 PID
 * 'R' + u32 offset + u32 length:                                  answers these bytes of the buffer
 *
 * It talks over descriptors 900 and 901, so that the lower ones are the program's own, as in a process that is away.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FROM = 900, TO = 901 };

static void get(void *to, size_t n) {
  for (char *p = to; n > 0;) {
    ssize_t r = read(FROM, p, n);
    if (r <= 0) _exit(r < 0);
    p += r;
    n -= r;
  }
}

static void put(const void *from, size_t n) {
  for (const char *p = from; n > 0;) {
    ssize_t r = write(TO, p, n);
    if (r <= 0) _exit(1);
    p += r;
    n -= r;
  }
}

static int64_t call(const uint64_t *c) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = c[4];
  register uint64_t r8 __asm__("r8") = c[5];
  register uint64_t r9 __asm__("r9") = c[6];
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(c[0]), "D"(c[1]), "S"(c[2]), "d"(c[3]), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}

static void ignore(int sig) { (void)sig; }

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  char *base = (char *)strtoull(argv[1], 0, 16);
  size_t size = strtoull(argv[2], 0, 16);
  if (mmap(base, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) != base) return 3;
  if (dup2(0, FROM) < 0 || dup2(1, TO) < 0) return 4;
  int null = open("/dev/null", O_RDWR);
  dup2(null, 0);
  dup2(null, 1);
  close(null);
  signal(SIGPIPE, SIG_IGN);
  /* Interrupts calls and restarts none: tests of timeouts that are written back use it. */
  struct sigaction alarm = {.sa_handler = ignore};
  sigaction(SIGALRM, &alarm, 0);
  for (;;) {
    char what;
    get(&what, 1);
    if (what == 'C') {
      uint64_t c[7];
      uint32_t n;
      get(c, sizeof c);
      get(&n, sizeof n);
      if (n > size) return 5;
      get(base, n);
      int64_t result = call(c);
      put(&result, sizeof result);
    } else if (what == 'F') {
      int64_t child = fork();
      if (child == 0) _exit(7);
      put(&child, sizeof child);
    } else if (what == 'R') {
      uint32_t range[2];
      get(range, sizeof range);
      if (range[0] > size || range[1] > size - range[0]) return 6;
      put(base + range[0], range[1]);
    } else
      return 7;
  }
}
