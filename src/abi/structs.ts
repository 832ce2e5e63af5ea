// tidy: table
/** Layouts of the structures that system calls pass, x86-64. Names and fields as in C. */
import { array, type Struct, struct } from "./struct.ts";

const bytes = (n: number, align = 1) => ({ bytes: n, align });

// --- time -----------------------------------------------------------------------------------------------------------------------
export const TIMESPEC = struct("struct timespec", ["time.h"], { tv_sec: "i64", tv_nsec: "i64" });
export const TIMEVAL = struct("struct timeval", ["sys/time.h"], { tv_sec: "i64", tv_usec: "i64" });
export const TIMEZONE = struct("struct timezone", ["sys/time.h"], { tz_minuteswest: "i32", tz_dsttime: "i32" });
export const ITIMERSPEC = struct("struct itimerspec", ["time.h"], { it_interval: TIMESPEC, it_value: TIMESPEC });
export const ITIMERVAL = struct("struct itimerval", ["sys/time.h"], { it_interval: TIMEVAL, it_value: TIMEVAL });
export const TMS = struct("struct tms", ["sys/times.h"], { tms_utime: "i64", tms_stime: "i64", tms_cutime: "i64", tms_cstime: "i64" });
export const UTIMBUF = struct("struct utimbuf", ["utime.h"], { actime: "i64", modtime: "i64" });
export const TIMEX = struct(
  "struct timex",
  ["sys/timex.h"],
  {
    modes: "u32",
    offset: "i64",
    freq: "i64",
    maxerror: "i64",
    esterror: "i64",
    status: "i32",
    constant: "i64",
    precision: "i64",
    tolerance: "i64",
    time: TIMEVAL,
    tick: "i64",
  },
  { size: 208 },
);

// --- files ----------------------------------------------------------------------------------------------------------------------
export const STAT = struct(
  "struct stat",
  ["sys/stat.h"],
  {
    st_dev: "u64",
    st_ino: "u64",
    st_nlink: "u64",
    st_mode: "u32",
    st_uid: "u32",
    st_gid: "u32",
    pad0: "u32",
    st_rdev: "u64",
    st_size: "i64",
    st_blksize: "i64",
    st_blocks: "i64",
    st_atim: TIMESPEC,
    st_mtim: TIMESPEC,
    st_ctim: TIMESPEC,
    reserved: array("i64", 3),
  },
  { c: { pad0: "__pad0", reserved: "__glibc_reserved" } },
);
const STATX_TIMESTAMP = struct(
  "struct statx_timestamp",
  ["linux/stat.h"],
  { tv_sec: "i64", tv_nsec: "u32", reserved: "i32" },
  { c: { reserved: "__reserved" } },
);
export const STATX_BUF = struct(
  "struct statx",
  ["linux/stat.h"],
  {
    stx_mask: "u32",
    stx_blksize: "u32",
    stx_attributes: "u64",
    stx_nlink: "u32",
    stx_uid: "u32",
    stx_gid: "u32",
    stx_mode: "u16",
    spare0: "u16",
    stx_ino: "u64",
    stx_size: "u64",
    stx_blocks: "u64",
    stx_attributes_mask: "u64",
    stx_atime: STATX_TIMESTAMP,
    stx_btime: STATX_TIMESTAMP,
    stx_ctime: STATX_TIMESTAMP,
    stx_mtime: STATX_TIMESTAMP,
    stx_rdev_major: "u32",
    stx_rdev_minor: "u32",
    stx_dev_major: "u32",
    stx_dev_minor: "u32",
    stx_mnt_id: "u64",
  },
  { size: 256, c: { spare0: "__spare0" } },
);
export const STATFS = struct("struct statfs", ["sys/vfs.h"], {
  f_type: "i64",
  f_bsize: "i64",
  f_blocks: "u64",
  f_bfree: "u64",
  f_bavail: "u64",
  f_files: "u64",
  f_ffree: "u64",
  f_fsid: bytes(8, 4),
  f_namelen: "i64",
  f_frsize: "i64",
  f_flags: "i64",
  f_spare: array("i64", 4),
});
export const USTAT = struct("struct ustat", [], { f_tfree: "i32", f_tinode: "u64", f_fname: bytes(6), f_fpack: bytes(6) });
export const FLOCK = struct("struct flock", ["fcntl.h"], { l_type: "i16", l_whence: "i16", l_start: "i64", l_len: "i64", l_pid: "i32" });
export const F_OWNER_EX = struct("struct f_owner_ex", ["fcntl.h"], { type: "i32", pid: "i32" });
/** d_name follows, NUL-terminated; the whole entry is d_reclen bytes. */
export const LINUX_DIRENT64 = struct("struct dirent64", ["dirent.h"], {
  d_ino: "u64",
  d_off: "i64",
  d_reclen: "u16",
  d_type: "u8",
  d_name: bytes(256),
});
export const OPEN_HOW = struct("struct open_how", ["linux/openat2.h"], { flags: "u64", mode: "u64", resolve: "u64" }, { grows: true });
export const IOVEC = struct("struct iovec", ["sys/uio.h"], { iov_base: "u64", iov_len: "u64" });
/** f_handle follows, handle_bytes long. */
export const FILE_HANDLE = struct("struct file_handle", ["fcntl.h"], { handle_bytes: "u32", handle_type: "i32" });
/** name follows, len bytes. */
export const INOTIFY_EVENT = struct("struct inotify_event", ["sys/inotify.h"], { wd: "i32", mask: "u32", cookie: "u32", len: "u32" });

// --- terminals ------------------------------------------------------------------------------------------------------------------
/** As the kernel passes it with TCGETS: the C library's own is larger. */
export const TERMIOS = struct("struct termios", ["asm/termbits.h"], {
  c_iflag: "u32",
  c_oflag: "u32",
  c_cflag: "u32",
  c_lflag: "u32",
  c_line: "u8",
  c_cc: bytes(19),
});
export const TERMIOS2 = struct("struct termios2", ["asm/termbits.h"], {
  c_iflag: "u32",
  c_oflag: "u32",
  c_cflag: "u32",
  c_lflag: "u32",
  c_line: "u8",
  c_cc: bytes(19),
  c_ispeed: "u32",
  c_ospeed: "u32",
});
/** The older TCGETA. */
export const TERMIO = struct("struct termio", ["asm/termios.h"], {
  c_iflag: "u16",
  c_oflag: "u16",
  c_cflag: "u16",
  c_lflag: "u16",
  c_line: "u8",
  c_cc: bytes(8),
});
export const WINSIZE = struct("struct winsize", ["asm/termios.h"], { ws_row: "u16", ws_col: "u16", ws_xpixel: "u16", ws_ypixel: "u16" });

// --- poll -----------------------------------------------------------------------------------------------------------------------
export const POLLFD = struct("struct pollfd", ["poll.h"], { fd: "i32", events: "i16", revents: "i16" });
export const EPOLL_EVENT = struct("struct epoll_event", ["sys/epoll.h"], { events: "u32", data: "u64" }, { packed: true });
export const FD_SET = struct("fd_set", ["sys/select.h"], { fds_bits: array("u64", 16) });
/** The sixth argument of pselect6: a mask's address and its length. */
export const SIGMASK_ARG = struct("struct sigset_argpack", [], { ss: "u64", ss_len: "u64" });

// --- sockets --------------------------------------------------------------------------------------------------------------------
export const SOCKADDR_STORAGE = struct(
  "struct sockaddr_storage",
  ["sys/socket.h"],
  { ss_family: "u16", padding: bytes(118), align: "u64" },
  { c: { padding: "__ss_padding", align: "__ss_align" } },
);
export const SOCKADDR_UN = struct("struct sockaddr_un", ["sys/un.h"], { sun_family: "u16", sun_path: bytes(108) });
export const SOCKADDR_IN = struct("struct sockaddr_in", ["netinet/in.h"], {
  sin_family: "u16",
  sin_port: "u16",
  sin_addr: bytes(4, 4),
  sin_zero: bytes(8),
});
export const SOCKADDR_IN6 = struct("struct sockaddr_in6", ["netinet/in.h"], {
  sin6_family: "u16",
  sin6_port: "u16",
  sin6_flowinfo: "u32",
  sin6_addr: bytes(16, 4),
  sin6_scope_id: "u32",
});
export const SOCKADDR_NL = struct("struct sockaddr_nl", ["sys/socket.h", "linux/netlink.h"], {
  nl_family: "u16",
  nl_pad: "u16",
  nl_pid: "u32",
  nl_groups: "u32",
});
export const SOCKADDR_LL = struct("struct sockaddr_ll", ["linux/if_packet.h"], {
  sll_family: "u16",
  sll_protocol: "u16",
  sll_ifindex: "i32",
  sll_hatype: "u16",
  sll_pkttype: "u8",
  sll_halen: "u8",
  sll_addr: bytes(8),
});
export const MSGHDR = struct("struct msghdr", ["sys/socket.h"], {
  msg_name: "u64",
  msg_namelen: "u32",
  msg_iov: "u64",
  msg_iovlen: "u64",
  msg_control: "u64",
  msg_controllen: "u64",
  msg_flags: "i32",
});
export const MMSGHDR = struct("struct mmsghdr", ["sys/socket.h"], { msg_hdr: MSGHDR, msg_len: "u32" });
export const CMSGHDR = struct("struct cmsghdr", ["sys/socket.h"], { cmsg_len: "u64", cmsg_level: "i32", cmsg_type: "i32" });
export const UCRED = struct("struct ucred", ["sys/socket.h"], { pid: "i32", uid: "u32", gid: "u32" });
export const LINGER = struct("struct linger", ["sys/socket.h"], { l_onoff: "i32", l_linger: "i32" });
export const IFREQ = struct(
  "struct ifreq",
  ["net/if.h"],
  { ifr_name: bytes(16), ifr_data: bytes(24, 8) },
  { c: { ifr_name: "ifr_ifrn", ifr_data: "ifr_ifru" } },
);
export const IFCONF = struct("struct ifconf", ["net/if.h"], { ifc_len: "i32", ifc_buf: "u64" }, { c: { ifc_buf: "ifc_ifcu.ifcu_buf" } });
export const ARPREQ = struct("struct arpreq", ["net/if_arp.h"], {
  arp_pa: bytes(16, 2),
  arp_ha: bytes(16, 2),
  arp_flags: "i32",
  arp_netmask: bytes(16, 2),
  arp_dev: bytes(16),
});
export const SOCK_FPROG = struct("struct sock_fprog", ["linux/filter.h"], { len: "u16", filter: "u64" });
export const SOCK_FILTER = struct("struct sock_filter", ["linux/filter.h"], { code: "u16", jt: "u8", jf: "u8", k: "u32" });

// --- signals --------------------------------------------------------------------------------------------------------------------
/** The kernel's mask: 64 signals, bit n-1 for signal n. */
export const SIGSET_SIZE = 8;
/** What rt_sigaction(2) takes, not what sigaction(3) does. */
export const SIGACTION = struct("struct sigaction", ["asm/signal.h"], {
  sa_handler: "u64",
  sa_flags: "u64",
  sa_restorer: "u64",
  sa_mask: "u64",
});
/** Fields of the three most used shapes side by side: kill, timers and queues, children. */
export const SIGINFO = struct(
  "siginfo_t",
  ["signal.h"],
  {
    si_signo: "i32",
    si_errno: "i32",
    si_code: "i32",
    pad: "i32",
    si_pid: "i32",
    si_uid: "u32",
    si_status: "i32",
    pad2: "i32",
    si_utime: "i64",
    si_stime: "i64",
  },
  { size: 128, c: { pad: "", pad2: "" } },
);
/** Fields of siginfo_t that lie over others: offset by name. */
export const SIGINFO_AT = {
  si_value: 24,
  si_addr: 16,
  si_addr_lsb: 24,
  si_band: 16,
  si_fd: 24,
  si_timerid: 16,
  si_overrun: 20,
  si_call_addr: 16,
  si_syscall: 24,
  si_arch: 28,
} as const;
export const STACK_T = struct("stack_t", ["signal.h"], { ss_sp: "u64", ss_flags: "i32", ss_size: "u64" });
export const SIGEVENT = struct(
  "struct sigevent",
  ["signal.h"],
  {
    sigev_value: "u64",
    sigev_signo: "i32",
    sigev_notify: "i32",
    sigev_notify_thread_id: "i32",
    pad: "i32",
    sigev_notify_attributes: "u64",
  },
  { size: 64, c: { sigev_notify_thread_id: "_sigev_un._tid", pad: "" } },
);
export const SIGNALFD_SIGINFO = struct(
  "struct signalfd_siginfo",
  ["sys/signalfd.h"],
  {
    ssi_signo: "u32",
    ssi_errno: "i32",
    ssi_code: "i32",
    ssi_pid: "u32",
    ssi_uid: "u32",
    ssi_fd: "i32",
    ssi_tid: "u32",
    ssi_band: "u32",
    ssi_overrun: "u32",
    ssi_trapno: "u32",
    ssi_status: "i32",
    ssi_int: "i32",
    ssi_ptr: "u64",
    ssi_utime: "u64",
    ssi_stime: "u64",
    ssi_addr: "u64",
    ssi_addr_lsb: "u16",
    pad2: "u16",
    ssi_syscall: "i32",
    ssi_call_addr: "u64",
    ssi_arch: "u32",
    pad: bytes(28),
  },
  { c: { pad: "__pad", pad2: "__pad2" } },
);
/** General registers in a signal frame. */
export const SIGCONTEXT = struct(
  "struct sigcontext",
  ["asm/sigcontext.h"],
  {
    r8: "u64",
    r9: "u64",
    r10: "u64",
    r11: "u64",
    r12: "u64",
    r13: "u64",
    r14: "u64",
    r15: "u64",
    di: "u64",
    si: "u64",
    bp: "u64",
    bx: "u64",
    dx: "u64",
    ax: "u64",
    cx: "u64",
    sp: "u64",
    ip: "u64",
    flags: "u64",
    cs: "u16",
    gs: "u16",
    fs: "u16",
    ss: "u16",
    err: "u64",
    trapno: "u64",
    oldmask: "u64",
    cr2: "u64",
    fpstate: "u64",
    reserved1: array("u64", 8),
  },
  {
    c: {
      reserved1: "reserved1",
      di: "rdi",
      si: "rsi",
      bp: "rbp",
      bx: "rbx",
      dx: "rdx",
      ax: "rax",
      cx: "rcx",
      sp: "rsp",
      ip: "rip",
      flags: "eflags",
    },
  },
);
/** The kernel's ucontext: glibc's has a 128-byte mask at its end. */
export const UCONTEXT = struct("struct ucontext", ["asm/sigcontext.h", "asm/signal.h", "asm/ucontext.h"], {
  uc_flags: "u64",
  uc_link: "u64",
  uc_stack: STACK_T,
  uc_mcontext: SIGCONTEXT,
  uc_sigmask: "u64",
});
/** What the kernel pushes for a handler (arch/x86/include/asm/sigframe.h); the floating-point state lies apart, at uc_mcontext.fpstate. */
export const RT_SIGFRAME = struct("struct rt_sigframe", [], { pretcode: "u64", uc: UCONTEXT, info: bytes(128, 8) });
/** Last 48 bytes of the 512-byte FXSAVE image: tells that an XSAVE image follows (FP_XSTATE_MAGIC1). */
export const FPX_SW_BYTES = struct("struct _fpx_sw_bytes", ["asm/sigcontext.h"], {
  magic1: "u32",
  extended_size: "u32",
  xfeatures: "u64",
  xstate_size: "u32",
  padding: array("u32", 7),
});
export const FP_XSTATE_MAGIC1 = 0x46505853;
export const FP_XSTATE_MAGIC2 = 0x46505845;

// --- processes ------------------------------------------------------------------------------------------------------------------
export const RUSAGE_BUF = struct("struct rusage", ["sys/resource.h"], {
  ru_utime: TIMEVAL,
  ru_stime: TIMEVAL,
  ru_maxrss: "i64",
  ru_ixrss: "i64",
  ru_idrss: "i64",
  ru_isrss: "i64",
  ru_minflt: "i64",
  ru_majflt: "i64",
  ru_nswap: "i64",
  ru_inblock: "i64",
  ru_oublock: "i64",
  ru_msgsnd: "i64",
  ru_msgrcv: "i64",
  ru_nsignals: "i64",
  ru_nvcsw: "i64",
  ru_nivcsw: "i64",
});
export const RLIMIT_BUF = struct("struct rlimit", ["sys/resource.h"], { rlim_cur: "u64", rlim_max: "u64" });
export const UTSNAME = struct("struct utsname", ["sys/utsname.h"], {
  sysname: bytes(65),
  nodename: bytes(65),
  release: bytes(65),
  version: bytes(65),
  machine: bytes(65),
  domainname: bytes(65),
});
export const SYSINFO = struct("struct sysinfo", ["sys/sysinfo.h"], {
  uptime: "i64",
  loads: array("u64", 3),
  totalram: "u64",
  freeram: "u64",
  sharedram: "u64",
  bufferram: "u64",
  totalswap: "u64",
  freeswap: "u64",
  procs: "u16",
  pad: "u16",
  totalhigh: "u64",
  freehigh: "u64",
  mem_unit: "u32",
});
export const CLONE_ARGS = struct(
  "struct clone_args",
  ["linux/sched.h"],
  {
    flags: "u64",
    pidfd: "u64",
    child_tid: "u64",
    parent_tid: "u64",
    exit_signal: "u64",
    stack: "u64",
    stack_size: "u64",
    tls: "u64",
    set_tid: "u64",
    set_tid_size: "u64",
    cgroup: "u64",
  },
  { grows: true },
);
export const SCHED_ATTR = struct(
  "struct sched_attr",
  ["linux/sched/types.h"],
  {
    size: "u32",
    sched_policy: "u32",
    sched_flags: "u64",
    sched_nice: "i32",
    sched_priority: "u32",
    sched_runtime: "u64",
    sched_deadline: "u64",
    sched_period: "u64",
    sched_util_min: "u32",
    sched_util_max: "u32",
  },
  { grows: true },
);
export const SCHED_PARAM = struct("struct sched_param", ["sched.h"], { sched_priority: "i32" });
export const ROBUST_LIST_HEAD = struct("struct robust_list_head", ["linux/futex.h"], {
  list: "u64",
  futex_offset: "i64",
  list_op_pending: "u64",
});
export const RSEQ = struct(
  "struct rseq",
  ["linux/rseq.h"],
  { cpu_id_start: "u32", cpu_id: "u32", rseq_cs: "u64", flags: "u32" },
  { align: 32, grows: true },
);
export const PRCTL_MM_MAP = struct("struct prctl_mm_map", ["linux/prctl.h"], {
  start_code: "u64",
  end_code: "u64",
  start_data: "u64",
  end_data: "u64",
  start_brk: "u64",
  brk: "u64",
  start_stack: "u64",
  arg_start: "u64",
  arg_end: "u64",
  env_start: "u64",
  env_end: "u64",
  auxv: "u64",
  auxv_size: "u32",
  exe_fd: "u32",
});
export const CAP_HEADER = struct("struct __user_cap_header_struct", ["linux/capability.h"], { version: "u32", pid: "i32" });
export const CAP_DATA = struct("struct __user_cap_data_struct", ["linux/capability.h"], {
  effective: "u32",
  permitted: "u32",
  inheritable: "u32",
});
export const USER_REGS_STRUCT = struct("struct user_regs_struct", ["sys/user.h"], {
  r15: "u64",
  r14: "u64",
  r13: "u64",
  r12: "u64",
  rbp: "u64",
  rbx: "u64",
  r11: "u64",
  r10: "u64",
  r9: "u64",
  r8: "u64",
  rax: "u64",
  rcx: "u64",
  rdx: "u64",
  rsi: "u64",
  rdi: "u64",
  orig_rax: "u64",
  rip: "u64",
  cs: "u64",
  eflags: "u64",
  rsp: "u64",
  ss: "u64",
  fs_base: "u64",
  gs_base: "u64",
  ds: "u64",
  es: "u64",
  fs: "u64",
  gs: "u64",
});
export const USER_FPREGS_STRUCT = struct("struct user_fpregs_struct", ["sys/user.h"], {
  cwd: "u16",
  swd: "u16",
  ftw: "u16",
  fop: "u16",
  rip: "u64",
  rdp: "u64",
  mxcsr: "u32",
  mxcr_mask: "u32",
  st_space: array("u32", 32),
  xmm_space: array("u32", 64),
  padding: array("u32", 24),
});

// --- ptrace, seccomp ------------------------------------------------------------------------------------------------------------
export const PTRACE_RSEQ_CONFIGURATION = struct("struct ptrace_rseq_configuration", ["linux/ptrace.h"], {
  rseq_abi_pointer: "u64",
  rseq_abi_size: "u32",
  signature: "u32",
  flags: "u32",
  pad: "u32",
});
export const PTRACE_PEEKSIGINFO_ARGS = struct("struct ptrace_peeksiginfo_args", ["linux/ptrace.h"], {
  off: "u64",
  flags: "u32",
  nr: "i32",
});
/** Entry and seccomp stops; `op` at the offset of `nr` holds the exit's return value. */
export const PTRACE_SYSCALL_INFO_BUF = struct(
  "struct ptrace_syscall_info",
  ["linux/ptrace.h"],
  {
    op: "u8",
    pad: bytes(3),
    arch: "u32",
    instruction_pointer: "u64",
    stack_pointer: "u64",
    nr: "u64",
    args: array("u64", 6),
    ret_data: "u32",
  },
  { grows: true, c: { nr: "entry.nr", args: "entry.args", ret_data: "seccomp.ret_data" } },
);
export const SECCOMP_DATA = struct("struct seccomp_data", ["linux/seccomp.h"], {
  nr: "i32",
  arch: "u32",
  instruction_pointer: "u64",
  args: array("u64", 6),
});
export const SECCOMP_NOTIF = struct("struct seccomp_notif", ["linux/seccomp.h"], {
  id: "u64",
  pid: "u32",
  flags: "u32",
  data: SECCOMP_DATA,
});
export const SECCOMP_NOTIF_RESP = struct("struct seccomp_notif_resp", ["linux/seccomp.h"], {
  id: "u64",
  val: "i64",
  error: "i32",
  flags: "u32",
});

// --- userfaultfd ----------------------------------------------------------------------------------------------------------------
export const UFFD_MSG = struct(
  "struct uffd_msg",
  ["linux/userfaultfd.h"],
  { event: "u8", reserved: bytes(7), flags: "u64", address: "u64", ptid: "u32", pad: "u32" },
  {
    packed: true,
    c: { reserved: "reserved1", flags: "arg.pagefault.flags", address: "arg.pagefault.address", ptid: "arg.pagefault.feat.ptid", pad: "" },
  },
);
export const UFFDIO_API_BUF = struct("struct uffdio_api", ["linux/userfaultfd.h"], { api: "u64", features: "u64", ioctls: "u64" });
export const UFFDIO_RANGE = struct("struct uffdio_range", ["linux/userfaultfd.h"], { start: "u64", len: "u64" });
export const UFFDIO_REGISTER_BUF = struct("struct uffdio_register", ["linux/userfaultfd.h"], {
  range: UFFDIO_RANGE,
  mode: "u64",
  ioctls: "u64",
});
export const UFFDIO_COPY_BUF = struct("struct uffdio_copy", ["linux/userfaultfd.h"], {
  dst: "u64",
  src: "u64",
  len: "u64",
  mode: "u64",
  copy: "i64",
});
export const UFFDIO_ZEROPAGE_BUF = struct("struct uffdio_zeropage", ["linux/userfaultfd.h"], {
  range: UFFDIO_RANGE,
  mode: "u64",
  zeropage: "i64",
});

/** Of setxattrat(2) and getxattrat(2) (linux/xattr.h). */
export const XATTR_ARGS = struct("struct xattr_args", [], { value: "u64", size: "u32", flags: "u32" }, { grows: true });
/** Bytes of the sizes that lsm_get_self_attr(2) and its like are given by pointer. */
export const LSM_SIZE = 4;

// --- System V and POSIX queues --------------------------------------------------------------------------------------------------
const IPC_PERM = bytes(48, 8);
export const SEMBUF = struct("struct sembuf", ["sys/sem.h"], { sem_num: "u16", sem_op: "i16", sem_flg: "i16" });
export const SEMID_DS = struct(
  "struct semid_ds",
  ["sys/sem.h"],
  { sem_perm: IPC_PERM, sem_otime: "i64", r1: "u64", sem_ctime: "i64", r2: "u64", sem_nsems: "u64", r3: array("u64", 2) },
  { c: { r1: "", r2: "", r3: "" } },
);
export const SEMINFO = struct("struct seminfo", ["sys/sem.h"], {
  semmap: "i32",
  semmni: "i32",
  semmns: "i32",
  semmnu: "i32",
  semmsl: "i32",
  semopm: "i32",
  semume: "i32",
  semusz: "i32",
  semvmx: "i32",
  semaem: "i32",
});
export const MSQID_DS = struct(
  "struct msqid_ds",
  ["sys/msg.h"],
  {
    msg_perm: IPC_PERM,
    msg_stime: "i64",
    msg_rtime: "i64",
    msg_ctime: "i64",
    msg_cbytes: "u64",
    msg_qnum: "u64",
    msg_qbytes: "u64",
    msg_lspid: "i32",
    msg_lrpid: "i32",
    r: array("u64", 2),
  },
  { c: { msg_cbytes: "__msg_cbytes", r: "" } },
);
export const MSGINFO = struct("struct msginfo", ["sys/msg.h"], {
  msgpool: "i32",
  msgmap: "i32",
  msgmax: "i32",
  msgmnb: "i32",
  msgmni: "i32",
  msgssz: "i32",
  msgtql: "i32",
  msgseg: "u16",
});
export const SHMID_DS = struct(
  "struct shmid_ds",
  ["sys/shm.h"],
  {
    shm_perm: IPC_PERM,
    shm_segsz: "u64",
    shm_atime: "i64",
    shm_dtime: "i64",
    shm_ctime: "i64",
    shm_cpid: "i32",
    shm_lpid: "i32",
    shm_nattch: "u64",
    r: array("u64", 2),
  },
  { c: { r: "" } },
);
export const SHMINFO = struct(
  "struct shminfo",
  ["sys/shm.h"],
  { shmmax: "u64", shmmin: "u64", shmmni: "u64", shmseg: "u64", shmall: "u64", r: array("u64", 4) },
  { c: { r: "" } },
);
export const SHM_INFO = struct("struct shm_info", ["sys/shm.h"], {
  used_ids: "i32",
  shm_tot: "u64",
  shm_rss: "u64",
  shm_swp: "u64",
  swap_attempts: "u64",
  swap_successes: "u64",
});
export const MQ_ATTR = struct(
  "struct mq_attr",
  ["mqueue.h"],
  { mq_flags: "i64", mq_maxmsg: "i64", mq_msgsize: "i64", mq_curmsgs: "i64" },
  { size: 64 },
);

/** What the C probe checks: every layout above that a header of the C library or the kernel has. */
export const STRUCTS: readonly Struct[] = [
  TIMESPEC,
  TIMEVAL,
  TIMEZONE,
  ITIMERSPEC,
  ITIMERVAL,
  TMS,
  UTIMBUF,
  TIMEX,
  STAT,
  STATX_TIMESTAMP,
  STATX_BUF,
  STATFS,
  FLOCK,
  F_OWNER_EX,
  LINUX_DIRENT64,
  OPEN_HOW,
  IOVEC,
  FILE_HANDLE,
  INOTIFY_EVENT,
  TERMIOS,
  TERMIOS2,
  TERMIO,
  WINSIZE,
  POLLFD,
  EPOLL_EVENT,
  FD_SET,
  SOCKADDR_STORAGE,
  SOCKADDR_UN,
  SOCKADDR_IN,
  SOCKADDR_IN6,
  SOCKADDR_NL,
  SOCKADDR_LL,
  MSGHDR,
  MMSGHDR,
  CMSGHDR,
  UCRED,
  LINGER,
  IFREQ,
  IFCONF,
  ARPREQ,
  SOCK_FPROG,
  SOCK_FILTER,
  SIGACTION,
  SIGINFO,
  STACK_T,
  SIGEVENT,
  SIGNALFD_SIGINFO,
  SIGCONTEXT,
  UCONTEXT,
  FPX_SW_BYTES,
  RUSAGE_BUF,
  RLIMIT_BUF,
  UTSNAME,
  SYSINFO,
  CLONE_ARGS,
  SCHED_ATTR,
  SCHED_PARAM,
  ROBUST_LIST_HEAD,
  RSEQ,
  PRCTL_MM_MAP,
  CAP_HEADER,
  CAP_DATA,
  USER_REGS_STRUCT,
  USER_FPREGS_STRUCT,
  PTRACE_RSEQ_CONFIGURATION,
  PTRACE_PEEKSIGINFO_ARGS,
  PTRACE_SYSCALL_INFO_BUF,
  SECCOMP_DATA,
  SECCOMP_NOTIF,
  SECCOMP_NOTIF_RESP,
  UFFD_MSG,
  UFFDIO_API_BUF,
  UFFDIO_RANGE,
  UFFDIO_REGISTER_BUF,
  UFFDIO_COPY_BUF,
  UFFDIO_ZEROPAGE_BUF,
  SEMBUF,
  SEMID_DS,
  SEMINFO,
  MSQID_DS,
  MSGINFO,
  SHMID_DS,
  SHMINFO,
  SHM_INFO,
  MQ_ATTR,
];
