/** The program `tesela-enter` (see enter-code.ts) as a file, and its command line. */

const CODE =
  "4c8d6424084c8b2c244f8d6cec084881ec000200004883e4f04889e7b94000000031c0f348ab48ff0c24498b742410e8d102000085c0743d89c5498b742408e8" +
  "c102000089c731f6b8b20100000f0585c00f888f02000089c389c789eeb8340100000f0585c00f887a02000089dfb8030000000f05498b742418e88602000085" +
  "c07425ffc825ff0300000fab8424c000000031ffbe80000000488d9424c0000000b8cb0000000f05498b7c2430b8500000000f0585c00f8833020000488d3d76" +
  "020000be00010800b8020000000f054189c6bf020000004889e6488d54240841ba08000000b80e0000000f05b8390000000f0585c00f88eb0100000f84e00000" +
  "0089c54889e7488d74244031d241ba08000000b8800000000f0585c078e583f8117414837c2448007fd989ef89c6b83e0000000f05ebcc89ef488d742410ba03" +
  "0000004531d2b83d0000000f0539e875b2807c24107f751c4585f678dab8270000000f0589c7be13000000b83e0000000f05ebc34585f6784b4489f7be0f5400" +
  "00488d542418b8100000000f0585c078338b7c2418f7df31f6b83e0000000f0583f8fd751fb86f0000000f05894424184489f7be10540000488d542418b81000" +
  "00000f058b44241089c783e77f75050fb6fceb0681c780000000b8e70000000f05bf01000000be09000000b89d0000000f05498b742420e8090100004885c074" +
  "3c4989c631ffbe0700000031d24c8d942440010000b82e0100000f054c89b4244001000031ffbe07000000488d9424400100004531d2b82e0100000f05498b74" +
  "2428e8be0000004989c6bb010000004489f083e001488944242089df488d74242031d241ba08000000b80d0000000f0549d1eeffc383fb4076d5bf0200000048" +
  "8d74240831d241ba08000000b80e0000000f05bd7f000000498b742440e8630000004d8d7c2448498d1cc74939df7425498b3f4983c7084889de4c89eab83b00" +
  "00000f0583f8fe74e283f8ec74ddbd7e000000ebd6498b742438e84100000089efe9f4feffff488d3555000000eb07488d359e000000e825000000bf01000000" +
  "e9d5feffff31c00fb60e83e93083f909770d488d0480488d044148ffc6ebe8c331d2803c16007404ffc2ebf6bf02000000b8010000000f05c32f6465762f7474" +
  "7900746573656c613a2074686520686f73742063616e6e6f7420626520656e74657265643a20697420697320656e64696e672c206f722069742062656c6f6e67" +
  "7320746f20736f6d65626f647920656c73650a00746573656c613a2074686520776f726b696e67206469726563746f727920646f6573206e6f74206578697374" +
  "206f6e2074686520686f73740a00";

const LOAD_ADDRESS = 0x400000n;
const ELF_HEADER = 64;
const PROGRAM_HEADER = 56;

/** A static ELF file (elf(5)) of one readable and executable segment. */
export function enterProgram(): Buffer {
  const code = Buffer.from(CODE, "hex");
  const head = Buffer.alloc(ELF_HEADER + PROGRAM_HEADER);
  const size = BigInt(head.length + code.length);
  head.write("\x7fELF\x02\x01\x01", 0, "latin1"); // 64 bit, little endian, version 1
  head.writeUInt16LE(2, 16); // ET_EXEC
  head.writeUInt16LE(62, 18); // EM_X86_64
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(LOAD_ADDRESS + BigInt(head.length), 24); // entry
  head.writeBigUInt64LE(BigInt(ELF_HEADER), 32); // program headers
  head.writeUInt16LE(ELF_HEADER, 52);
  head.writeUInt16LE(PROGRAM_HEADER, 54);
  head.writeUInt16LE(1, 56);
  head.writeUInt32LE(1, 64); // PT_LOAD
  head.writeUInt32LE(5, 68); // readable, executable
  head.writeBigUInt64LE(LOAD_ADDRESS, 80);
  head.writeBigUInt64LE(LOAD_ADDRESS, 88);
  head.writeBigUInt64LE(size, 96);
  head.writeBigUInt64LE(size, 104);
  head.writeBigUInt64LE(4096n, 112);
  return Buffer.concat([head, code]);
}

export interface EnterRequest {
  /** The process whose namespaces are entered, and which of them (flags of setns(2)); 0 for none. */
  readonly pid: number;
  readonly namespaces: number;
  /** CPU to stay on, from 0; null for all. */
  readonly cpu: number | null;
  /** Soft limit of open files, and signals to ignore (bit n-1 is signal n): what Node changed at its start is put back. */
  readonly nofile: number | null;
  readonly ignored: bigint;
  readonly cwd: string;
  readonly argv: readonly [string, ...string[]];
  /** Where a program name without a slash is looked for, as in $PATH. */
  readonly path: string;
  /** Printed when the program cannot be run. */
  readonly message: string;
}

/** Directories of $PATH that are looked into; far more than anybody has. */
const MAX_PATHS = 1000;

/** argv of `tesela-enter`, its own name included. */
export function enterArguments(request: EnterRequest): string[] {
  const [program] = request.argv;
  const directories = request.path.split(":").slice(0, MAX_PATHS);
  const paths = program.includes("/") || program === "" ? [program] : directories.map((d) => `${d === "" ? "." : d}/${program}`);
  const cpu = request.cpu === null ? 0 : request.cpu + 1;
  const numbers = [request.pid, request.namespaces, cpu, request.nofile ?? 0, request.ignored].map(String);
  return ["tesela-enter", ...numbers, request.cwd, request.message, String(paths.length), ...paths, ...request.argv];
}
