/** process_vm_readv(2) and process_vm_writev(2) on other processes: home's kernel does it, with the deputy's buffer as this side. */
import { IOVEC, NR, UIO_MAXIOV } from "../abi/mod.ts";
import { asInt, asSize, back, done, EFAULT_RESULT, Forward, six, tryRead } from "./forward.ts";
import { Layout } from "./layout.ts";
import { iovecs, readVector } from "./segments.ts";
import type { Specials } from "./special.ts";
import type { Plan, Planner } from "./types.ts";

/** On itself, with bad vectors, or with more than the buffer holds: at home. */
const HOME = back("process_vm");

const transfer =
  (nr: number, read: boolean): Planner =>
  (args, mem, area, ctx): Plan => {
    const a = six(args);
    const [here, there] = [asSize(a[2]), asSize(a[4])];
    if (asInt(a[0]) === ctx.pid || asInt(a[0]) === ctx.tid || here > UIO_MAXIOV || there > UIO_MAXIOV) return HOME;
    const vector = readVector(mem, a[1] ?? 0n, here);
    const remote = there === 0 ? Buffer.alloc(0) : tryRead(mem, a[3] ?? 0n, there * IOVEC.size);
    if (!("segments" in vector) || remote === null) return HOME;
    const { segments } = vector;
    const layout = new Layout(area);
    a[3] = layout.putAt(remote);
    const table = layout.put(Buffer.alloc(here * IOVEC.size));
    const data = read ? null : segments.gather(mem);
    if (data !== null && data.length < segments.total) return HOME;
    const offset = data === null ? layout.room(segments.total) : layout.put(data);
    if (layout.full) return HOME;
    a[1] = layout.address(table);
    const blob = Buffer.from(layout.blob());
    iovecs(segments, layout.address(offset)).copy(blob, table);
    const outs = read ? [{ offset, length: segments.total, limit: "return" as const }] : [];
    return new Forward(nr, a, blob, outs, (result, out, memory) =>
      done(read && result > 0n && !segments.scatter(memory, out) ? EFAULT_RESULT : result),
    );
  };

export const processVm: Specials = {
  process_vm_readv: transfer(NR.process_vm_readv, true),
  process_vm_writev: transfer(NR.process_vm_writev, false),
};
