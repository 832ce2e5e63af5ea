/**
 * The machine code of `tesela-enter`, the program between a caller and a program that it runs on a namespace host. A PID
 * namespace holds only for processes made after entering it, so somebody has to stay outside, wait and tell the status; doing
 * it here takes one `execve` and no memory to speak of, and gets right what a chain of general tools does not: job control,
 * forwarded signals, true status. The listing is the source; `enter.test.ts` assembles it and compares.
 *
 * `tesela-enter PID NAMESPACES CPU NOFILE IGNORED DIRECTORY MESSAGE COUNT PATH... ARGV...`, numbers in decimal:
 * - PID whose namespaces are entered, the set as flags of setns(2); 0 enters none;
 * - CPU to stay on, counted from 1, or 0 for all; soft limit of open files, or 0 to leave it; signals to ignore, as a bit set;
 * - COUNT paths to try for the program, one after the other; MESSAGE is printed when none of them can be run.
 *
 * The waiter keeps every signal blocked and takes them one by one: those that a process sent go on to the program; those that
 * the kernel sent (^C, ^Z, a new window size) have reached the program as well, which is in the same process group. When the
 * program stops, the waiter stops itself, so that the caller's shell sees a stopped job; only under a terminal, since nobody
 * would wake it otherwise. When the program leaves the terminal to a process group that is gone, as shells do that cannot name the
 * caller's group, it is taken back. Killing the waiter kills the program (PR_SET_PDEATHSIG).
 *
 * Ends with the program's status, 128+n for a signal; 126 or 127 when it could not be run, 1 when the host could not be entered.
 */
export const ENTER_SOURCE = `
  lea r12, [rsp+8]
  mov r13, [rsp]
  lea r13, [r12+r13*8+8]
  sub rsp, 512
  and rsp, -16
  mov rdi, rsp
  mov ecx, 64
  xor eax, eax
  rep stosq
  dec qword ptr [rsp]
namespaces:
  mov rsi, [r12+16]
  call number
  test eax, eax
  jz processor
  mov ebp, eax
  mov rsi, [r12+8]
  call number
  mov edi, eax
  xor esi, esi
  mov eax, 434
  syscall
  test eax, eax
  js lost
  mov ebx, eax
  mov edi, eax
  mov esi, ebp
  mov eax, 308
  syscall
  test eax, eax
  js lost
  mov edi, ebx
  mov eax, 3
  syscall
processor:
  mov rsi, [r12+24]
  call number
  test eax, eax
  jz directory
  dec eax
  and eax, 1023
  bts dword ptr [rsp+192], eax
  xor edi, edi
  mov esi, 128
  lea rdx, [rsp+192]
  mov eax, 203
  syscall
directory:
  mov rdi, [r12+48]
  mov eax, 80
  syscall
  test eax, eax
  js nowhere
terminal:
  lea rdi, [rip+tty]
  mov esi, 0x80100
  mov eax, 2
  syscall
  mov r14d, eax
fork:
  mov edi, 2
  mov rsi, rsp
  lea rdx, [rsp+8]
  mov r10d, 8
  mov eax, 14
  syscall
  mov eax, 57
  syscall
  test eax, eax
  js lost
  jz program
  mov ebp, eax
wait:
  mov rdi, rsp
  lea rsi, [rsp+64]
  xor edx, edx
  mov r10d, 8
  mov eax, 128
  syscall
  test eax, eax
  js wait
  cmp eax, 17
  je reap
  cmp dword ptr [rsp+72], 0
  jg wait
  mov edi, ebp
  mov esi, eax
  mov eax, 62
  syscall
  jmp wait
reap:
  mov edi, ebp
  lea rsi, [rsp+16]
  mov edx, 3
  xor r10d, r10d
  mov eax, 61
  syscall
  cmp eax, ebp
  jne wait
  cmp byte ptr [rsp+16], 0x7f
  jne ended
  test r14d, r14d
  js reap
  mov eax, 39
  syscall
  mov edi, eax
  mov esi, 19
  mov eax, 62
  syscall
  jmp reap
ended:
  test r14d, r14d
  js status
  mov edi, r14d
  mov esi, 0x540f
  lea rdx, [rsp+24]
  mov eax, 16
  syscall
  test eax, eax
  js status
  mov edi, [rsp+24]
  neg edi
  xor esi, esi
  mov eax, 62
  syscall
  cmp eax, -3
  jne status
  mov eax, 111
  syscall
  mov [rsp+24], eax
  mov edi, r14d
  mov esi, 0x5410
  lea rdx, [rsp+24]
  mov eax, 16
  syscall
status:
  mov eax, [rsp+16]
  mov edi, eax
  and edi, 0x7f
  jnz signalled
  movzx edi, ah
  jmp exit
signalled:
  add edi, 128
exit:
  mov eax, 231
  syscall
program:
  mov edi, 1
  mov esi, 9
  mov eax, 157
  syscall
  mov rsi, [r12+32]
  call number
  test rax, rax
  jz signals
  mov r14, rax
  xor edi, edi
  mov esi, 7
  xor edx, edx
  lea r10, [rsp+320]
  mov eax, 302
  syscall
  mov [rsp+320], r14
  xor edi, edi
  mov esi, 7
  lea rdx, [rsp+320]
  xor r10d, r10d
  mov eax, 302
  syscall
signals:
  mov rsi, [r12+40]
  call number
  mov r14, rax
  mov ebx, 1
each:
  mov eax, r14d
  and eax, 1
  mov [rsp+32], rax
  mov edi, ebx
  lea rsi, [rsp+32]
  xor edx, edx
  mov r10d, 8
  mov eax, 13
  syscall
  shr r14, 1
  inc ebx
  cmp ebx, 64
  jbe each
  mov edi, 2
  lea rsi, [rsp+8]
  xor edx, edx
  mov r10d, 8
  mov eax, 14
  syscall
  mov ebp, 127
  mov rsi, [r12+64]
  call number
  lea r15, [r12+72]
  lea rbx, [r15+rax*8]
try:
  cmp r15, rbx
  je none
  mov rdi, [r15]
  add r15, 8
  mov rsi, rbx
  mov rdx, r13
  mov eax, 59
  syscall
  cmp eax, -2
  je try
  cmp eax, -20
  je try
  mov ebp, 126
  jmp try
none:
  mov rsi, [r12+56]
  call print
  mov edi, ebp
  jmp exit
lost:
  lea rsi, [rip+lostText]
  jmp fail
nowhere:
  lea rsi, [rip+nowhereText]
fail:
  call print
  mov edi, 1
  jmp exit
number:
  xor eax, eax
digit:
  movzx ecx, byte ptr [rsi]
  sub ecx, 48
  cmp ecx, 9
  ja done
  lea rax, [rax+rax*4]
  lea rax, [rcx+rax*2]
  inc rsi
  jmp digit
done:
  ret
print:
  xor edx, edx
length:
  cmp byte ptr [rsi+rdx], 0
  je write
  inc edx
  jmp length
write:
  mov edi, 2
  mov eax, 1
  syscall
  ret
tty:
  .asciz "/dev/tty"
lostText:
  .asciz "tesela: the host cannot be entered: it is ending, or it belongs to somebody else\\n"
nowhereText:
  .asciz "tesela: the working directory does not exist on the host\\n"
`;
