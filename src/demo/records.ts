/** What the children of proclb are: awk(1), which reads a file over and over and makes something of each record. */

/**
 * Arguments: file, steps for a record, the child's number. A line a record, `child total`: the total depends on all records before, so
 * that one wrong bit anywhere shows in every line after it. Where nothing can be read it says so, as its parent would. Only what each awk
 * has is used.
 */
const PROGRAM = `BEGIN {
  file = ARGV[1]; steps = ARGV[2] + 0; me = ARGV[3]
  letters = " abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ.,;:"
  for (;;) {
    read = 0
    while ((got = (getline line < file)) > 0) {
      read++
      n = length(line)
      if (n > 200) n = 200
      for (i = 1; i <= n; i++) code[i] = index(letters, substr(line, i, 1)) + 1
      if (n == 0) code[n = 1] = 0
      for (i = k = 0; i < steps; i++) {
        if (++k > n) k = 1
        total = (total * 31 + code[k]) % 1000003
      }
      print me, total + 0
      fflush()
    }
    if (got < 0 || read == 0) {
      print "end", me, 3
      exit 3
    }
    close(file)
  }
}`;

/**
 * Arguments: file, steps, how many children, their program. It forks them, says `pid CHILD PID` of each, and when its input ends, it ends
 * them and says `end CHILD STATUS`. The end of its input is also what comes when whoever started it is killed: nothing is left behind.
 */
const PARENT = `file=$1 steps=$2 n=$3 program=$4 i=0 pids=
while [ "$i" -lt "$n" ]; do
  awk "$program" "$file" "$steps" "$i" &
  echo "pid $i $!"
  pids="$pids $!" i=$((i + 1))
done
read -r end
exec 2>/dev/null
kill $pids
i=0
for p in $pids; do
  wait "$p"
  echo "end $i $?"
  i=$((i + 1))
done`;

/** Some milliseconds for each record: what a child computes is to count, and not the call that tells of it. */
const STEPS = 20_000;
const LINES = 400;

/** What an ended child's status is: 128 + SIGTERM. */
export const ENDED = 143;

/** The command of a parent with its children. @param file absolute */
export function crewCommand(file: string, children: number): [string, ...string[]] {
  return ["sh", "-c", PARENT, "sh", file, String(STEPS), String(children), PROGRAM];
}

/** A file for those who have none at hand. */
export function makeRecords(): string {
  let seed = 1;
  const word = (): string => {
    seed = (seed * 48271) % 2147483647;
    return seed.toString(36);
  };
  return Array.from({ length: LINES }, () => `${Array.from({ length: 9 }, word).join(" ")}\n`).join("");
}

/** What the machine needs for it: program to Debian package. */
export const CREW_PROGRAMS: Readonly<Record<string, string>> = { awk: "gawk", sh: "dash" };
