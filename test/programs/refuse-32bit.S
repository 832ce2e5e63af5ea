# 32-bit code. Assembled and linked without any library: prints `ready`, then sleeps in short stretches until killed.
    .globl _start
    .text
_start:
    mov $4, %eax            # write(1, text, 6)
    mov $1, %ebx
    mov $text, %ecx
    mov $6, %edx
    int $0x80
    mov $12000, %esi        # PATIENCE_S in stretches of 50 ms
again:
    mov $162, %eax          # nanosleep(&pause, NULL)
    mov $pause, %ebx
    xor %ecx, %ecx
    int $0x80
    dec %esi
    jnz again
    mov $1, %eax            # exit(3)
    mov $3, %ebx
    int $0x80
    .section .rodata
text:
    .ascii "ready\n"
    .balign 4
pause:
    .long 0, 50000000
    .section .note.GNU-stack, "", @progbits
