/** 128 + the number of the signal, as shells count. */
const STOPPED = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** Work that a signal ends in good order; its exit status is then the signal's. */
export async function stoppable(work: (signal: AbortSignal) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  let stopped: keyof typeof STOPPED | null = null;
  for (const signal of Object.keys(STOPPED) as (keyof typeof STOPPED)[]) {
    process.once(signal, () => {
      stopped = signal;
      stop.abort();
    });
  }
  try {
    return await work(stop.signal);
  } catch (e) {
    if (stopped === null) throw e;
    return STOPPED[stopped];
  }
}
