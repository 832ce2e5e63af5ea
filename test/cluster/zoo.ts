import { type ProgramName, program } from "../programs/build.ts";
import type { TestCluster } from "./harness.ts";
import type { MoveOptions } from "./move.ts";

/** The programs that are moved, as shell scripts with what moving them has to achieve. */

export interface Case extends Omit<MoveOptions, "cwd" | "env" | "seed"> {
  /** Runs in an empty folder, $DATA names the one with the input files. */
  readonly script: string;
  /** Moves that have to be made at least; what the program does lasts for several times as many. */
  readonly least: number;
  /** What may bring the program home of its own. */
  readonly home?: readonly string[];
  /** For what it may be that it cannot leave just then. */
  readonly stays?: readonly string[];
}

/** Compiled ones, put on the host under their plain names. */
const COMPILED = [
  "brk-mmap",
  "calls",
  "clocks",
  "family",
  "files",
  "files-musl",
  "ends",
  "wholes",
  "own-threads",
  "own-view",
  "pipes",
  "sendrecv",
  "spin",
  "spin-nopie",
  "spin-musl",
  "spin-pie",
] as const;
/** Forking takes a process home until it can be followed; so does its child's first move. */

const PYTHON = `
import hashlib
total, digest = 0, hashlib.sha256()
for turn in range(4):
  with open("$DATA/text", "rb") as f:
    while block := f.read(65536):
      digest.update(block)
      total += len(block)
      if total % (1 << 22) < 65536: print(turn, total, digest.hexdigest()[:16], flush=True)
print(digest.hexdigest())`;

/** Each of these calls moves more than any buffer on the way holds, and does all of it or the program fails. */
const BIG_CALLS = `
import hashlib, os
block = bytes(range(256)) * 20000
fd = os.open("file", os.O_RDWR | os.O_CREAT)
for turn in range(60):
  at = turn % 7 * 1000
  n = os.pwrite(fd, block, at)
  assert n == len(block), n
  back = os.pread(fd, len(block) + 1, at)
  assert back[:n] == block, len(back)
  assert os.pwritev(fd, [block[:9], block], at) == len(block) + 9
  print(turn, os.fstat(fd).st_size, flush=True)
print(hashlib.sha256(os.pread(fd, 1 << 30, 0)).hexdigest())`;

const PERL = `srand(7); my @a = map { int(rand(1e9)) } 1..400000; my $text = "";
for my $turn (1..4) { @a = sort { ($a ^ $turn * 7919) <=> ($b ^ $turn * 7919) } @a; $text .= "$turn $a[0] $a[7777] $a[-1]\\n"; }
my %h; $h{$_ % 1000}++ for @a; print $text, join(",", map {"$_=$h{$_}"} sort { $a <=> $b } keys %h), "\\n"`;

const SQL = `create table t(a integer primary key, b text); begin;
with recursive c(x) as (select 1 union all select x+1 from c where x<150000) insert into t select x, hex(x*7919) from c;
commit; create index i on t(b); select count(*), sum(length(b)) from t; select * from t order by b limit 3;
update t set b = b || a where a % 3 = 0; select count(distinct b), min(b), max(b) from t; vacuum; pragma integrity_check;`;

/** Two that write to one database by turns: a lost lock would lose an addition. The other one stays at home under another name. */
const CONTENDERS = `
turns() { for i in $(seq 4000); do echo "begin immediate; update sum set n = n + $i; insert into log values ('$1', $i); commit;"; done; }
sqlite-home t.db "create table sum(n); insert into sum values (0); create table log(who, i);"
turns there | sqlite3 -cmd ".timeout 60000" t.db & turns here | sqlite-home -cmd ".timeout 60000" t.db; wait $!
sqlite-home t.db "select n from sum; select who, count(*), sum(i) from log group by who; pragma integrity_check;"`;

export const CASES: Readonly<Record<string, Case>> = {
  bc: {
    name: "bc",
    script: `echo "scale=5000; 4*a(1)" | bc -l`,
    // Between the three nodes in both directions, and home from each.
    route: [2, 3, 1, 3, 2, 1, 2, 3, 2, 1],
    moves: 20,
    least: 20,
    gap: [100, 400],
  },
  awk: { name: "mawk", script: `mawk 'BEGIN { for (i = 0; i < 5000; i++) for (j = 0; j < 3000; j++) s += i * j % 7; print s }'`, least: 5 },
  gawk: {
    name: "gawk",
    script: `gawk 'BEGIN { for (i = 0; i < 1500; i++) for (j = 0; j < 3000; j++) s[j % 97] += i * j % 7; for (k in s) print k, s[k] }'`,
    least: 5,
  },
  gzip: { name: "gzip", script: "gzip -9 < $DATA/text | sha256sum", least: 6 },
  "gzip within a pipe": { name: "gzip", script: "cat $DATA/text | gzip -9 | sha256sum", least: 6 },
  python: { name: "python3", script: `/usr/bin/python3 -c '${PYTHON.replaceAll("$DATA", "/tmp/data")}'`, least: 5 },
  "big calls": { name: "python3", script: `/usr/bin/python3 -c '${BIG_CALLS}'`, least: 5 },
  perl: { name: "perl", script: `perl -e '${PERL}'`, least: 5, gap: [100, 300] },
  xz: {
    name: "xz",
    script: "head -c 6000000 $DATA/text > in; xz -T1 -3 -k in; sha256sum < in.xz; xz -dc in.xz | cmp - in && echo same",
    least: 5,
    gap: [100, 300],
  },
  sort: { name: "sort", script: "LC_ALL=C sort --parallel=1 -S 40M -T . $DATA/lines | sha256sum", least: 5, gap: [100, 400] },
  sqlite: { name: "sqlite3", script: `sqlite3 t.db "${SQL}"; sha256sum < t.db`, least: 5 },
  "sqlite among others": { name: "sqlite3", script: CONTENDERS, gap: [20, 100], least: 5 },
  dd: {
    name: "dd",
    gap: [20, 100],
    script:
      "dd if=$DATA/text of=copy bs=1k conv=swab status=none; sha256sum < copy; dd if=$DATA/text of=copy bs=10k status=none; dd if=copy of=copy bs=5k count=999 skip=7 seek=3 conv=notrunc status=none; sha256sum < copy",
    least: 5,
  },
  family: { name: "family", script: "family 3 7 300", gap: [20, 80], least: 5, home: ["exec"], stays: ["vfork"] },
  files: { name: "files", script: "files . 100 7", least: 5 },
  "files, musl": { name: "files-musl", script: "files-musl . 100 7", least: 5 },
  calls: { name: "calls", script: "calls . 24 7", gap: [20, 80], least: 5 },
  "its own view": { name: "own-view", script: "own-view 100 10", gap: [20, 80], least: 5, stays: ["own_view"] },
  // Moved more often than any of its waits lasts: one that began anew each time would never end.
  "ends of waits": { name: "ends", script: "ends 3000", route: [2, 3], gap: [50, 150], least: 5 },
  "writes as a whole": { name: "wholes", script: "wholes 2", route: [2, 3], gap: [20, 80], least: 5 },
  "its threads' view": { name: "own-threads", script: "own-threads 25 10", gap: [20, 80], least: 5, stays: ["own_view"] },
  "a pipe's writer": { name: "pipes", script: "pipes pipe 500", least: 5 },
  "a pipe's reader": { name: "pipes", nth: 1, script: "pipes pipe 500", least: 5 },
  "one end of a socket pair": { name: "pipes", script: "pipes pair 500", least: 5 },
  "the other end": { name: "pipes", nth: 1, script: "pipes pair 500", least: 5 },
  "an end of a packet pair": { name: "pipes", nth: 1, script: "pipes packets 3000", least: 5 },
  "brk-mmap": { name: "brk-mmap", script: "brk-mmap 400", least: 5 },
  // Kernels count no CPU time of elsewhere: at home again a process has used what it used there, and that clock would go back.
  clocks: { name: "clocks", script: "clocks 3", route: [2, 3], least: 5 },
  "clocks, and home": { name: "clocks", script: "clocks 12 5000 0", least: 5 },
  sendrecv: { name: "sendrecv", script: "sendrecv 40 20", least: 5 },
  // Moved much more often than they last: what is left of their time is carried, or they would never end.
  sleep: { name: "sleep", script: "sleep 1.5; echo slept", route: [2, 3], gap: [1, 10], least: 5 },
  poll: {
    name: "python3",
    script: `/usr/bin/python3 -c 'import select; print([select.poll().poll(750) for _ in range(2)])'`,
    route: [2, 3],
    gap: [1, 10],
    least: 5,
  },
  "spin, static": { name: "spin", script: "spin 400 1000000", least: 5 },
  "spin, static with musl": { name: "spin-musl", script: "spin-musl 400 1000000", least: 5 },
  "spin, not position-independent": { name: "spin-nopie", script: "spin-nopie 400 1000000", least: 5 },
  "spin, position-independent": { name: "spin-pie", script: "spin-pie 400 1000000", least: 5 },
};

/** 40 MB of words, and 200 MB of lines in no order. */
const TEXT = `srand(1); my @w = map { join "", map { chr(97 + rand(26)) } 1 .. 2 + rand(9) } 1 .. 3000;
my $n = 0; while ($n < 40e6) { my $l = join(" ", map { $w[rand(@w) * rand()] } 1 .. 400) . "\\n"; $n += length $l; print $l }`.replaceAll(
  "\n",
  " ",
);
const LINES = `srand(2); my $f = "." x 84; for (1 .. 2000000) { printf "%015.0f%s\\n", rand() * 1e15, $f }`;

/** Puts the programs and their input on node 1. */
export async function prepare(cluster: TestCluster): Promise<void> {
  const copies = COMPILED.map((name: ProgramName) => `cp ${program(name)} /usr/local/bin/${name}`);
  const data = [`perl -e '${TEXT}' > /tmp/data/text`, `perl -e '${LINES}' > /tmp/data/lines`];
  await cluster.sh(1, ["mkdir -p /tmp/data", "cp /usr/bin/sqlite3 /usr/local/bin/sqlite-home", ...copies, ...data].join(" && "));
}
