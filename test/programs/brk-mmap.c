/*
 * brk-mmap ROUNDS [SEED [PAUSE_MS]]: random changes of the address space, each page's content known and checked: anonymous and private
 * file mappings, partial unmapping, growing and moving, protection and the faults it causes, discarding, the heap by brk, the stack by
 * recursion, code made at run time. Prints `round N DIGEST`; a wrong byte ends it with status 1.
 */
#include "common.h"
#include <setjmp.h>
#include <sys/mman.h>

#define PAGE 4096ul
#define AREAS 24
#define MAX_PAGES 64
#define OPS_A_ROUND 60
#define FILE_PAGES 32
#define SPARSE_SIZE (1ul << 30)

/* A page's content follows from its key; key 0 is a page of zeros. */
static struct area {
    unsigned char *at;
    size_t pages;
    int writable;
    uint64_t key[MAX_PAGES];
} areas[AREAS];
static int file_fd;
static unsigned char *sparse;
static sigjmp_buf back;
static void *volatile fault_at;

static void fill(unsigned char *page, uint64_t key) {
    uint64_t *words = (uint64_t *)page;
    for (size_t i = 0; i < PAGE / 8; i++) words[i] = mix(key + i);
}

static uint64_t check_page(const unsigned char *page, uint64_t key) {
    const uint64_t *words = (const uint64_t *)page;
    for (size_t i = 0; i < PAGE / 8; i++) {
        if (words[i] == (key ? mix(key + i) : 0)) continue;
        dprintf(2, "brk-mmap: page %p word %zu: %016llx, key %016llx\n", (const void *)page, i, (unsigned long long)words[i],
                (unsigned long long)key);
        exit(1);
    }
    return words[0];
}

static uint64_t check_area(const struct area *a) {
    uint64_t h = a->pages;
    for (size_t p = 0; p < a->pages; p++) h = digest_u64(h, check_page(a->at + p * PAGE, a->key[p]));
    return h;
}

static void on_fault(int number, siginfo_t *info, void *context) {
    (void)context;
    fault_at = info->si_addr;
    siglongjmp(back, number);
}

/* The access must fault, there, with that signal. */
static void must_fault(volatile unsigned char *at, int writes, int expected) {
    int number = sigsetjmp(back, 1);
    if (number == 0) {
        if (writes) *at = 1;
        else (void)*at;
        CHECK(!"no fault");
    }
    CHECK(number == expected && fault_at == (void *)at);
}

static void touch(struct area *a) {
    if (!a->writable) return must_fault(a->at + rnd_below(a->pages * PAGE), 1, SIGSEGV);
    for (int i = 0; i < 4; i++) {
        size_t p = rnd_below(a->pages);
        a->key[p] = rnd() | 1;
        fill(a->at + p * PAGE, a->key[p]);
    }
}

static void map_anonymous(struct area *a) {
    a->pages = 1 + rnd_below(MAX_PAGES);
    a->writable = 1;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | (rnd_below(2) ? MAP_NORESERVE : 0);
    a->at = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE, flags, -1, 0);
    CHECK(a->at != MAP_FAILED);
    memset(a->key, 0, sizeof a->key);
}

/* The file's page n has key n + 1; a private mapping keeps its own changes to itself. */
static void map_file(struct area *a) {
    size_t first = rnd_below(FILE_PAGES);
    a->pages = 1 + rnd_below(FILE_PAGES - first);
    a->writable = rnd_below(3) > 0;
    int prot = PROT_READ | (a->writable ? PROT_WRITE : 0), flags = a->writable || rnd_below(2) ? MAP_PRIVATE : MAP_SHARED;
    a->at = mmap(NULL, a->pages * PAGE, prot, flags, file_fd, first * PAGE);
    CHECK(a->at != MAP_FAILED);
    for (size_t p = 0; p < a->pages; p++) a->key[p] = first + p + 1;
}

static void unmap(struct area *a) {
    /* From the front, from the end, or all; the hole faults. */
    size_t n = rnd_below(3) ? 1 + rnd_below(a->pages) : a->pages;
    int front = rnd_below(2);
    unsigned char *hole = front ? a->at : a->at + (a->pages - n) * PAGE;
    CHECK(munmap(hole, n * PAGE) == 0);
    must_fault(hole, 0, SIGSEGV);
    if (front) {
        a->at += n * PAGE;
        memmove(a->key, a->key + n, (a->pages - n) * sizeof *a->key);
    }
    a->pages -= n;
}

/* Only smaller: a mapping may be partly of the file, and grown it would reach past the file's end. */
static void shrink(struct area *a) {
    size_t pages = 1 + rnd_below(a->pages);
    CHECK(mremap(a->at, a->pages * PAGE, pages * PAGE, 0) == a->at);
    a->pages = pages;
}

/* Anonymous memory grows, and moves to where there is room. */
static void grow_fresh(struct area *a) {
    map_anonymous(a);
    touch(a);
    size_t pages = a->pages + rnd_below(MAX_PAGES - a->pages + 1);
    unsigned char *at = mremap(a->at, a->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
    CHECK(at != MAP_FAILED);
    a->at = at;
    a->pages = pages;
}

/* Takes the right to write away, or all rights from a page in the middle and back; the content stays. */
static void protect(struct area *a) {
    unsigned char *page = a->at + rnd_below(a->pages) * PAGE;
    int prot = PROT_READ | (a->writable ? PROT_WRITE : 0);
    CHECK(mprotect(page, PAGE, PROT_NONE) == 0);
    must_fault(page + rnd_below(PAGE), 0, SIGSEGV);
    CHECK(mprotect(page, PAGE, prot) == 0);
    if (!a->writable) return;
    CHECK(mprotect(a->at, a->pages * PAGE, PROT_READ) == 0);
    must_fault(a->at, 1, SIGSEGV);
    CHECK(mprotect(a->at, a->pages * PAGE, prot) == 0);
}

/* Discarded anonymous memory reads as zeros. */
static void discard(struct area *a) {
    map_anonymous(a);
    touch(a);
    size_t p = rnd_below(a->pages);
    CHECK(madvise(a->at + p * PAGE, PAGE, MADV_DONTNEED) == 0);
    a->key[p] = 0;
}

/* A mapping put exactly there, over an old one. */
static void replace(struct area *a) {
    size_t p = rnd_below(a->pages);
    if (!a->writable) return;
    CHECK(mmap(a->at + p * PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == a->at + p * PAGE);
    a->key[p] = 0;
}

static void heap(void) {
    static uint64_t key[MAX_PAGES];
    static unsigned char *start;
    static size_t pages;
    if (start == NULL) {
        start = (unsigned char *)(((uintptr_t)sbrk(0) + PAGE - 1) & ~(PAGE - 1));
        CHECK(brk(start) == 0);
    }
    for (size_t p = 0; p < pages; p++) check_page(start + p * PAGE, key[p]);
    size_t want = rnd_below(MAX_PAGES);
    CHECK(brk(start + want * PAGE) == 0 && sbrk(0) == start + want * PAGE);
    for (size_t p = pages; p < want; p++) {
        check_page(start + p * PAGE, 0);
        key[p] = rnd() | 1;
        fill(start + p * PAGE, key[p]);
    }
    pages = want;
}

/* Goes down deep enough to make the stack grow, with something to check on the way back. */
static __attribute__((noinline)) uint64_t descend(int depth, uint64_t key) {
    volatile uint64_t frame[64];
    for (int i = 0; i < 64; i++) frame[i] = mix(key + i);
    uint64_t below = depth > 0 ? descend(depth - 1, mix(key)) : 0;
    for (int i = 0; i < 64; i++) CHECK(frame[i] == mix(key + i));
    return below ^ frame[depth % 64];
}

/* A few pages, far apart, of an area that is mostly absent. */
static void wide(void) {
    static struct {
        size_t page;
        uint64_t key;
    } used[64];
    static size_t count;
    for (size_t i = 0; i < count; i++) check_page(sparse + used[i].page * PAGE, used[i].key);
    size_t page = rnd_below(SPARSE_SIZE / PAGE), slot = count;
    for (size_t i = 0; i < count; i++) {
        if (used[i].page == page) slot = i;
    }
    if (slot == 64) return;
    if (slot == count) check_page(sparse + page * PAGE, 0), count++;
    used[slot].page = page;
    used[slot].key = rnd() | 1;
    fill(sparse + page * PAGE, used[slot].key);
}

/* `mov eax, N; ret`, written, made executable, called, and made writable again. */
static void code(void) {
    static unsigned char *page;
    if (page == NULL) page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED && mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
    uint32_t n = rnd();
    page[0] = 0xb8;
    memcpy(page + 1, &n, 4);
    page[5] = 0xc3;
    CHECK(mprotect(page, PAGE, PROT_READ | PROT_EXEC) == 0);
    CHECK(((uint32_t(*)(void))page)() == n);
    must_fault(page, 1, SIGSEGV);
}

static void make_file(void) {
    char name[] = "/tmp/tesela-brk-mmap-XXXXXX";
    unsigned char page[PAGE];
    int fd = mkstemp(name);
    CHECK(fd >= 0);
    for (uint64_t key = 1; key <= FILE_PAGES; key++) {
        fill(page, key);
        write_all(fd, page, PAGE);
    }
    file_fd = open(name, O_RDONLY | O_CLOEXEC);
    CHECK(file_fd >= 0 && unlink(name) == 0);
    close(fd);
    unsigned char *beyond = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, file_fd, (FILE_PAGES - 1) * PAGE);
    CHECK(beyond != MAP_FAILED);
    must_fault(beyond + PAGE, 0, SIGBUS);
    CHECK(munmap(beyond, 2 * PAGE) == 0);
}

static void (*const on_area[])(struct area *) = {touch, touch, touch, unmap, shrink, protect, replace};
static void (*const on_empty[])(struct area *) = {map_anonymous, map_file, grow_fresh, discard};

int main(int argc, char **argv) {
    if (argc < 2) usage("brk-mmap ROUNDS [SEED [PAUSE_MS]]");
    long rounds = number(argc, argv, 1, 0), pause_ms = number(argc, argv, 3, 0);
    rng_state = mix(number(argc, argv, 2, 1));
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0);
    make_file();
    sparse = mmap(NULL, SPARSE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(sparse != MAP_FAILED);
    say("ready");
    uint64_t h = DIGEST_START;
    for (long round = 1; round <= rounds; round++) {
        for (int i = 0; i < OPS_A_ROUND; i++) {
            struct area *a = &areas[rnd_below(AREAS)];
            if (a->pages == 0) on_empty[rnd_below(sizeof on_empty / sizeof *on_empty)](a);
            else on_area[rnd_below(sizeof on_area / sizeof *on_area)](a);
        }
        heap();
        wide();
        code();
        h = digest_u64(h, descend(200 + rnd_below(3000), rnd()));
        for (int i = 0; i < AREAS; i++) h = digest_u64(h, check_area(&areas[i]));
        say("round %ld %016llx", round, (unsigned long long)h);
        if (pause_ms > 0) sleep_ms(pause_ms);
    }
    return 0;
}
