/*
 * spin ROUNDS [LOOPS]: keeps every register of the CPU full of patterns while it computes and calls the kernel, and compares them after
 * each round: general registers, x87 stack and control word, SSE/AVX/AVX-512 and mask registers, MXCSR, PKRU, fs and gs base. A lost
 * bit ends it with status 1. Prints `round N` for each and a checksum of floating-point work.
 *
 * Built static (spin), as position-dependent code (spin-nopie), with musl (spin-musl) and as usual (spin-pie).
 */
#include "common.h"
#include <cpuid.h>
#include <sys/syscall.h>

#define VECTORS 32
#define GENERAL 10 /* rbx, rbp, rdx, r8 to r10, r12 to r15; the others are pointers, counters or the kernel's */
#define CALLS_A_ROUND 8
#define ARCH_SET_GS 0x1001 /* asm/prctl.h, which not every libc has beside it */

struct state {
    uint8_t vector[VECTORS][64];
    uint64_t mask[8];
    uint8_t x87[8][16];
    uint64_t general[GENERAL];
    uint32_t mxcsr;
    uint16_t x87_control;
} __attribute__((aligned(64)));

static struct state want, got;
static __thread uint64_t in_thread;
static uint64_t behind_gs[1];

/* rdi: what to load, rsi: where to store, rcx: loops between calls, eax: number of calls. The red zone below rsp is stepped over. */
#define LOAD_COMMON                                                                                                  \
    "lea -128(%%rsp), %%rsp; push %%rbp; push %%rsi; push %%rcx; push %%rax\n"                                       \
    "ldmxcsr %c[mxcsr](%%rdi); fninit; fldcw %c[x87_control](%%rdi)\n"                                               \
    ".irp i,7,6,5,4,3,2,1,0\n fldt %c[x87]+16*\\i(%%rdi)\n .endr\n"                                                  \
    "mov %c[general](%%rdi), %%rbx; mov %c[general]+8(%%rdi), %%rbp; mov %c[general]+16(%%rdi), %%rdx\n"             \
    "mov %c[general]+24(%%rdi), %%r8; mov %c[general]+32(%%rdi), %%r9; mov %c[general]+40(%%rdi), %%r10\n"           \
    "mov %c[general]+48(%%rdi), %%r12; mov %c[general]+56(%%rdi), %%r13; mov %c[general]+64(%%rdi), %%r14\n"         \
    "mov %c[general]+72(%%rdi), %%r15\n"
/* Spins, then makes a system call with everything live: rcx, r11 and rax are the kernel's. */
#define SPIN                                                                                                         \
    "1: mov 8(%%rsp), %%rcx\n 2: dec %%rcx; jnz 2b\n"                                                                \
    "mov %[getppid], %%eax; syscall\n"                                                                               \
    "decq (%%rsp); jnz 1b\n"
#define STORE_COMMON                                                                                                 \
    "pop %%rax; pop %%rcx; pop %%rsi\n"                                                                              \
    "mov %%rbx, %c[general](%%rsi); mov %%rbp, %c[general]+8(%%rsi); mov %%rdx, %c[general]+16(%%rsi)\n"             \
    "mov %%r8, %c[general]+24(%%rsi); mov %%r9, %c[general]+32(%%rsi); mov %%r10, %c[general]+40(%%rsi)\n"           \
    "mov %%r12, %c[general]+48(%%rsi); mov %%r13, %c[general]+56(%%rsi); mov %%r14, %c[general]+64(%%rsi)\n"         \
    "mov %%r15, %c[general]+72(%%rsi)\n"                                                                             \
    "stmxcsr %c[mxcsr](%%rsi); fnstcw %c[x87_control](%%rsi)\n"                                                      \
    ".irp i,0,1,2,3,4,5,6,7\n fstpt %c[x87]+16*\\i(%%rsi)\n .endr\n"                                                 \
    "pop %%rbp; lea 128(%%rsp), %%rsp\n"
#define OFFSET(field) [field] "i"(__builtin_offsetof(struct state, field))
#define OPERANDS                                                                                                     \
    : "+c"(loops), "+a"(calls)                                                                                       \
    : "D"(&want), "S"(&got), OFFSET(vector), OFFSET(mask), OFFSET(x87), OFFSET(general), OFFSET(mxcsr), OFFSET(x87_control), \
      [getppid] "i"(SYS_getppid)                                                                                     \
    : "memory", "cc", "rbx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "st", "st(1)", "st(2)", "st(3)", \
      "st(4)", "st(5)", "st(6)", "st(7)", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
      "xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define LOW "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15"
#define HIGH ",16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31"

static void hold_sse(uint64_t loops, uint64_t calls) {
    __asm__ volatile(LOAD_COMMON ".irp i," LOW "\n movdqu %c[vector]+64*\\i(%%rdi), %%xmm\\i\n .endr\n" SPIN STORE_COMMON
                     ".irp i," LOW "\n movdqu %%xmm\\i, %c[vector]+64*\\i(%%rsi)\n .endr\n" OPERANDS);
}

static __attribute__((target("avx"))) void hold_avx(uint64_t loops, uint64_t calls) {
    __asm__ volatile(LOAD_COMMON ".irp i," LOW "\n vmovdqu %c[vector]+64*\\i(%%rdi), %%ymm\\i\n .endr\n" SPIN STORE_COMMON
                     ".irp i," LOW "\n vmovdqu %%ymm\\i, %c[vector]+64*\\i(%%rsi)\n .endr\n vzeroupper\n" OPERANDS);
}

static __attribute__((target("avx512f,avx512bw"))) void hold_avx512(uint64_t loops, uint64_t calls) {
    __asm__ volatile(LOAD_COMMON ".irp i," LOW HIGH "\n vmovdqu64 %c[vector]+64*\\i(%%rdi), %%zmm\\i\n .endr\n"
                     ".irp i,0,1,2,3,4,5,6,7\n kmovq %c[mask]+8*\\i(%%rdi), %%k\\i\n .endr\n" SPIN STORE_COMMON
                     ".irp i," LOW HIGH "\n vmovdqu64 %%zmm\\i, %c[vector]+64*\\i(%%rsi)\n .endr\n"
                     ".irp i,0,1,2,3,4,5,6,7\n kmovq %%k\\i, %c[mask]+8*\\i(%%rsi)\n .endr\n vzeroupper\n" OPERANDS,
                     "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25", "xmm26", "xmm27", "xmm28",
                     "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6", "k7");
}

static int has_pkeys(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c >> 4 & 1);
}
static uint32_t read_pkru(void) {
    uint32_t value, d;
    __asm__ volatile("rdpkru" : "=a"(value), "=d"(d) : "c"(0));
    return value;
}
static void write_pkru(uint32_t value) {
    __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0));
}

/* Fresh patterns: x87 values are normal numbers, MXCSR and the control word vary in rounding and keep exceptions masked. */
static void prepare(int bytes, int vectors) {
    memset(&want, 0, sizeof want);
    for (int v = 0; v < vectors; v++) {
        for (int i = 0; i < bytes; i++) want.vector[v][i] = rnd();
    }
    for (int i = 0; i < 8; i++) {
        uint64_t mantissa = rnd() | 1ull << 63;
        uint16_t exponent = 0x3f00 + rnd_below(0x200);
        memcpy(want.x87[i], &mantissa, 8);
        memcpy(want.x87[i] + 8, &exponent, 2);
        if (bytes == 64) want.mask[i] = rnd();
    }
    for (int i = 0; i < GENERAL; i++) want.general[i] = rnd();
    want.mxcsr = 0x1f80 | rnd_below(4) << 13 | rnd_below(2) << 15 | rnd_below(2) << 6;
    want.x87_control = 0x037f | rnd_below(4) << 10;
    memset(&got, 0, sizeof got);
}

/* Floating-point work whose result depends on every step, in double and in x87's long double. */
static uint64_t compute(double *sum, long double *product, uint64_t round) {
    for (int i = 1; i < 20000; i++) {
        *sum += 1.0 / (round * 20000.0 + i);
        *product = *product * 1.0000001L + 1.0L / i;
        if (*product > 1e6L) *product -= 1e6L;
    }
    return digest(digest(DIGEST_START, sum, sizeof *sum), product, 10);
}

int main(int argc, char **argv) {
    if (argc < 2) usage("spin ROUNDS [LOOPS]");
    long rounds = number(argc, argv, 1, 0), loops = number(argc, argv, 2, 1000000);
    __builtin_cpu_init();
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw"), avx = __builtin_cpu_supports("avx");
    int pkeys = has_pkeys();
    say("ready");
    double sum = 0;
    long double product = 1;
    uint64_t sums = DIGEST_START;
    for (long round = 1; round <= rounds; round++) {
        prepare(avx512 ? 64 : avx ? 32 : 16, avx512 ? 32 : 16);
        uint32_t pkru = (uint32_t)rnd() << 2;
        uint64_t key = in_thread = rnd();
        behind_gs[0] = rnd();
        CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, behind_gs) == 0);
        if (pkeys) write_pkru(pkru);
        if (avx512) hold_avx512(loops, CALLS_A_ROUND);
        else if (avx) hold_avx(loops, CALLS_A_ROUND);
        else hold_sse(loops, CALLS_A_ROUND);
        __asm__ volatile("fninit");
        uint32_t usual = 0x1f80;
        __asm__ volatile("ldmxcsr %0" : : "m"(usual));
        if (pkeys) CHECK(read_pkru() == pkru);
        uint64_t through_gs;
        __asm__ volatile("mov %%gs:0, %0" : "=r"(through_gs));
        CHECK(through_gs == behind_gs[0]);
        CHECK(in_thread == key);
        CHECK(memcmp(want.vector, got.vector, sizeof want.vector) == 0);
        CHECK(memcmp(want.mask, got.mask, sizeof want.mask) == 0);
        CHECK(memcmp(want.general, got.general, sizeof want.general) == 0);
        CHECK(want.mxcsr == got.mxcsr && want.x87_control == got.x87_control);
        for (int i = 0; i < 8; i++) CHECK(memcmp(want.x87[i], got.x87[i], 10) == 0);
        sums = digest_u64(sums, compute(&sum, &product, round));
        say("round %ld", round);
    }
    say("checksum %016llx", (unsigned long long)sums);
    return 0;
}
