// tidy: table
/**
 * Requests of ioctl(2) whose argument is known. What is encoded in a request is only a hint: old requests encode nothing, and some
 * encode a size that is wrong (FS_IOC_GETFLAGS says long and moves an int).
 */

/** `n`: a number, or nothing; `f`: a descriptor; `i`, `o`, `x`: a pointer to so many bytes that are read, written, or both. */
export type IoctlArg = { readonly kind: "n" | "f" } | { readonly kind: "i" | "o" | "x"; readonly size: number };

export interface IoctlRow {
  readonly name: string;
  readonly request: number;
  readonly arg: IoctlArg;
}

export interface IoctlGroup {
  readonly about: string;
  readonly headers: readonly string[];
  readonly rows: readonly IoctlRow[];
}

const n = (name: string, request: number): IoctlRow => ({ name, request, arg: { kind: "n" } });
const f = (name: string, request: number): IoctlRow => ({ name, request, arg: { kind: "f" } });
const i = (name: string, request: number, size: number): IoctlRow => ({ name, request, arg: { kind: "i", size } });
const o = (name: string, request: number, size: number): IoctlRow => ({ name, request, arg: { kind: "o", size } });
const x = (name: string, request: number, size: number): IoctlRow => ({ name, request, arg: { kind: "x", size } });

export const IOCTL_GROUPS: readonly IoctlGroup[] = [
  {
    about: "Terminals, ioctl_tty(2)",
    headers: ["asm/ioctls.h", "linux/ioctl.h", "asm/termbits.h", "linux/serial.h"],
    rows: [
      o("TCGETS", 0x5401, 36),
      i("TCSETS", 0x5402, 36),
      i("TCSETSW", 0x5403, 36),
      i("TCSETSF", 0x5404, 36),
      o("TCGETS2", 0x802c542a, 44),
      i("TCSETS2", 0x402c542b, 44),
      i("TCSETSW2", 0x402c542c, 44),
      i("TCSETSF2", 0x402c542d, 44),
      o("TCGETA", 0x5405, 18),
      i("TCSETA", 0x5406, 18),
      i("TCSETAW", 0x5407, 18),
      i("TCSETAF", 0x5408, 18),
      n("TCSBRK", 0x5409),
      n("TCSBRKP", 0x5425),
      n("TCXONC", 0x540a),
      n("TCFLSH", 0x540b),
      n("TIOCEXCL", 0x540c),
      n("TIOCNXCL", 0x540d),
      o("TIOCGEXCL", 0x80045440, 4),
      n("TIOCSCTTY", 0x540e),
      n("TIOCNOTTY", 0x5422),
      o("TIOCGPGRP", 0x540f, 4),
      i("TIOCSPGRP", 0x5410, 4),
      o("TIOCGSID", 0x5429, 4),
      o("TIOCOUTQ", 0x5411, 4),
      i("TIOCSTI", 0x5412, 1),
      o("TIOCGWINSZ", 0x5413, 8),
      i("TIOCSWINSZ", 0x5414, 8),
      o("TIOCMGET", 0x5415, 4),
      i("TIOCMBIS", 0x5416, 4),
      i("TIOCMBIC", 0x5417, 4),
      i("TIOCMSET", 0x5418, 4),
      n("TIOCMIWAIT", 0x545c),
      o("TIOCGSOFTCAR", 0x5419, 4),
      i("TIOCSSOFTCAR", 0x541a, 4),
      o("FIONREAD", 0x541b, 4),
      n("TIOCCONS", 0x541d),
      o("TIOCGETD", 0x5424, 4),
      i("TIOCSETD", 0x5423, 4),
      i("TIOCPKT", 0x5420, 4),
      o("TIOCGPKT", 0x80045438, 4),
      o("TIOCGPTN", 0x80045430, 4),
      i("TIOCSPTLCK", 0x40045431, 4),
      o("TIOCGPTLCK", 0x80045439, 4),
      n("TIOCGPTPEER", 0x5441),
      o("TIOCGDEV", 0x80045432, 4),
      n("TIOCSBRK", 0x5427),
      n("TIOCCBRK", 0x5428),
      n("TIOCVHANGUP", 0x5437),
      n("TIOCSIG", 0x40045436),
      o("TIOCGLCKTRMIOS", 0x5456, 36),
      i("TIOCSLCKTRMIOS", 0x5457, 36),
      o("TIOCGICOUNT", 0x545d, 80),
      o("TIOCGSERIAL", 0x541e, 72),
      i("TIOCSSERIAL", 0x541f, 72),
      o("TIOCGRS485", 0x542e, 32),
      x("TIOCSRS485", 0x542f, 32),
      n("FIOCLEX", 0x5451),
      n("FIONCLEX", 0x5450),
      i("FIOASYNC", 0x5452, 4),
      i("FIONBIO", 0x5421, 4),
      o("FIOQSIZE", 0x5460, 8),
    ],
  },
  {
    about: "Virtual consoles, ioctl_console(2)",
    headers: ["linux/vt.h", "linux/kd.h"],
    rows: [
      o("VT_OPENQRY", 0x5600, 4),
      o("VT_GETMODE", 0x5601, 8),
      i("VT_SETMODE", 0x5602, 8),
      o("VT_GETSTATE", 0x5603, 6),
      n("VT_RELDISP", 0x5605),
      n("VT_ACTIVATE", 0x5606),
      n("VT_WAITACTIVE", 0x5607),
      n("VT_DISALLOCATE", 0x5608),
      n("KIOCSOUND", 0x4b2f),
      n("KDMKTONE", 0x4b30),
      o("KDGETLED", 0x4b31, 1),
      n("KDSETLED", 0x4b32),
      o("KDGKBTYPE", 0x4b33, 1),
      n("KDSETMODE", 0x4b3a),
      o("KDGETMODE", 0x4b3b, 4),
      o("KDGKBMODE", 0x4b44, 4),
      n("KDSKBMODE", 0x4b45),
      o("KDGKBMETA", 0x4b62, 4),
      n("KDSKBMETA", 0x4b63),
      o("KDGKBLED", 0x4b64, 1),
      n("KDSKBLED", 0x4b65),
      x("KDGKBENT", 0x4b46, 4),
      i("KDSKBENT", 0x4b47, 4),
    ],
  },
  {
    about: "Sockets, socket(7), netdevice(7), arp(7)",
    headers: ["linux/ioctl.h", "asm/sockios.h", "linux/sockios.h"],
    rows: [
      i("FIOSETOWN", 0x8901, 4),
      i("SIOCSPGRP", 0x8902, 4),
      o("FIOGETOWN", 0x8903, 4),
      o("SIOCGPGRP", 0x8904, 4),
      o("SIOCATMARK", 0x8905, 4),
      o("SIOCGSTAMP_OLD", 0x8906, 16),
      o("SIOCGSTAMPNS_OLD", 0x8907, 16),
      o("SIOCGSTAMP_NEW", 0x80108906, 16),
      o("SIOCGSTAMPNS_NEW", 0x80108907, 16),
      o("SIOCOUTQNSD", 0x894b, 4),
      n("SIOCGSKNS", 0x894c),
      x("SIOCGIFNAME", 0x8910, 40),
      x("SIOCSIFLINK", 0x8911, 40),
      x("SIOCGIFFLAGS", 0x8913, 40),
      x("SIOCSIFFLAGS", 0x8914, 40),
      x("SIOCGIFADDR", 0x8915, 40),
      x("SIOCSIFADDR", 0x8916, 40),
      x("SIOCGIFDSTADDR", 0x8917, 40),
      x("SIOCSIFDSTADDR", 0x8918, 40),
      x("SIOCGIFBRDADDR", 0x8919, 40),
      x("SIOCSIFBRDADDR", 0x891a, 40),
      x("SIOCGIFNETMASK", 0x891b, 40),
      x("SIOCSIFNETMASK", 0x891c, 40),
      x("SIOCGIFMETRIC", 0x891d, 40),
      x("SIOCSIFMETRIC", 0x891e, 40),
      x("SIOCGIFMEM", 0x891f, 40),
      x("SIOCSIFMEM", 0x8920, 40),
      x("SIOCGIFMTU", 0x8921, 40),
      x("SIOCSIFMTU", 0x8922, 40),
      x("SIOCSIFNAME", 0x8923, 40),
      x("SIOCSIFHWADDR", 0x8924, 40),
      x("SIOCGIFENCAP", 0x8925, 40),
      x("SIOCSIFENCAP", 0x8926, 40),
      x("SIOCGIFHWADDR", 0x8927, 40),
      x("SIOCGIFSLAVE", 0x8929, 40),
      x("SIOCSIFSLAVE", 0x8930, 40),
      x("SIOCADDMULTI", 0x8931, 40),
      x("SIOCDELMULTI", 0x8932, 40),
      x("SIOCGIFINDEX", 0x8933, 40),
      x("SIOCSIFPFLAGS", 0x8934, 40),
      x("SIOCGIFPFLAGS", 0x8935, 40),
      x("SIOCDIFADDR", 0x8936, 40),
      x("SIOCSIFHWBROADCAST", 0x8937, 40),
      x("SIOCGIFCOUNT", 0x8938, 40),
      x("SIOCGIFTXQLEN", 0x8942, 40),
      x("SIOCSIFTXQLEN", 0x8943, 40),
      x("SIOCGIFMAP", 0x8970, 40),
      x("SIOCSIFMAP", 0x8971, 40),
      x("SIOCDARP", 0x8953, 68),
      x("SIOCGARP", 0x8954, 68),
      x("SIOCSARP", 0x8955, 68),
    ],
  },
  {
    about: "Network tunnels",
    headers: ["linux/if_tun.h", "linux/ioctl.h"],
    rows: [
      x("TUNSETIFF", 0x400454ca, 40),
      o("TUNGETIFF", 0x800454d2, 40),
      n("TUNSETPERSIST", 0x400454cb),
      n("TUNSETOWNER", 0x400454cc),
      n("TUNSETGROUP", 0x400454ce),
      o("TUNGETFEATURES", 0x800454cf, 4),
    ],
  },
  {
    about: "Files and file systems, ioctl_iflags(2), ioctl_ficlone(2)",
    headers: ["linux/fs.h"],
    rows: [
      o("FS_IOC_GETFLAGS", 0x80086601, 4),
      i("FS_IOC_SETFLAGS", 0x40086602, 4),
      o("FS_IOC_GETVERSION", 0x80087601, 4),
      i("FS_IOC_SETVERSION", 0x40087602, 4),
      o("FS_IOC_FSGETXATTR", 0x801c581f, 28),
      i("FS_IOC_FSSETXATTR", 0x401c5820, 28),
      o("FS_IOC_GETFSLABEL", 0x81009431, 256),
      i("FS_IOC_SETFSLABEL", 0x41009432, 256),
      f("FICLONE", 0x40049409),
      i("FICLONERANGE", 0x4020940d, 32),
      x("FIBMAP", 0x1, 4),
      o("FIGETBSZ", 0x2, 4),
      x("FIFREEZE", 0xc0045877, 4),
      x("FITHAW", 0xc0045878, 4),
      x("FITRIM", 0xc0185879, 24),
    ],
  },
  {
    about: "Block devices",
    headers: ["linux/fs.h", "linux/hdreg.h"],
    rows: [
      i("BLKROSET", 0x125d, 4),
      o("BLKROGET", 0x125e, 4),
      n("BLKRRPART", 0x125f),
      o("BLKGETSIZE", 0x1260, 8),
      n("BLKFLSBUF", 0x1261),
      n("BLKRASET", 0x1262),
      o("BLKRAGET", 0x1263, 8),
      n("BLKFRASET", 0x1264),
      o("BLKFRAGET", 0x1265, 8),
      o("BLKSECTGET", 0x1267, 2),
      o("BLKSSZGET", 0x1268, 4),
      o("BLKBSZGET", 0x80081270, 4),
      i("BLKBSZSET", 0x40081271, 4),
      o("BLKGETSIZE64", 0x80081272, 8),
      i("BLKDISCARD", 0x1277, 16),
      o("BLKIOMIN", 0x1278, 4),
      o("BLKIOOPT", 0x1279, 4),
      o("BLKALIGNOFF", 0x127a, 4),
      o("BLKPBSZGET", 0x127b, 4),
      o("BLKDISCARDZEROES", 0x127c, 4),
      i("BLKSECDISCARD", 0x127d, 16),
      o("BLKROTATIONAL", 0x127e, 2),
      i("BLKZEROOUT", 0x127f, 16),
      o("HDIO_GETGEO", 0x301, 16),
    ],
  },
  {
    about: "Timers, random numbers, namespaces",
    headers: ["sys/timerfd.h", "linux/timerfd.h", "linux/random.h", "linux/nsfs.h"],
    rows: [
      i("TFD_IOC_SET_TICKS", 0x40085400, 8),
      o("RNDGETENTCNT", 0x80045200, 4),
      i("RNDADDTOENTCNT", 0x40045201, 4),
      n("RNDCLEARPOOL", 0x5206),
      n("RNDRESEEDCRNG", 0x5207),
      n("NS_GET_USERNS", 0xb701),
      n("NS_GET_PARENT", 0xb702),
      n("NS_GET_NSTYPE", 0xb703),
      o("NS_GET_OWNER_UID", 0xb704, 4),
    ],
  },
];

/** Requests whose argument points further or ends with an array: each has a handler of its own. */
export const IOCTL_SPECIAL = {
  SIOCGIFCONF: 0x8912,
  FS_IOC_FIEMAP: 0xc020660b,
  FIDEDUPERANGE: 0xc0189436,
} as const;

/**
 * Types (bits 8 to 15) of requests that encode direction and size truly and point nowhere else: input devices, clocks, namespaces,
 * epoll, pidfd.
 */
export const IOCTL_ENCODED_TYPES: readonly number[] = [0x45, 0x70, 0xb7, 0x8a, 0xff];

const BY_REQUEST = new Map(IOCTL_GROUPS.flatMap((g) => g.rows).map((r) => [r.request, r]));
export const ioctlRow = (request: number): IoctlRow | undefined => BY_REQUEST.get(request);

/** Direction, size and type as include/uapi/asm-generic/ioctl.h packs them. */
export const ioctlDirection = (request: number): number => request >>> 30;
export const ioctlSize = (request: number): number => (request >>> 16) & 0x3fff;
export const ioctlType = (request: number): number => (request >>> 8) & 0xff;
export const IOC_WRITE = 1;
export const IOC_READ = 2;
