section .text
global _start
_start:
  mov rcx, 600000000
.spin:
  dec rcx
  jnz .spin
  mov eax, 1
  mov edi, 1
  lea rsi, [rel text]
  mov edx, 6
  syscall
  mov eax, 60
  xor edi, edi
  syscall
section .rodata
text: db "hello", 10
