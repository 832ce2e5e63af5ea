import { chmodSync, mkdirSync, renameSync, rmSync, statSync } from "node:fs";
import { connect, type Server } from "node:net";
import { dirname } from "node:path";
import { TeselaError } from "../base/mod.ts";

/**
 * Makes a server listen on a Unix socket with the given mode, in place of a dead one's, never of a living one's. The socket appears
 * under its name only when it is ready, by rename(2).
 * @throws TeselaError E_EXISTS when somebody answers there
 */
export async function listenUnix(server: Server, path: string, mode: number): Promise<AsyncDisposable> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  if (await answers(path)) throw new TeselaError("E_EXISTS", `${path}: another one runs already`);
  const fresh = `${path}.${process.pid}`;
  rmSync(fresh, { force: true });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(fresh, () => {
      server.off("error", reject);
      resolve();
    });
  });
  chmodSync(fresh, mode);
  const { ino } = statSync(fresh);
  renameSync(fresh, path);
  return {
    async [Symbol.asyncDispose]() {
      if (statSync(path, { throwIfNoEntry: false })?.ino === ino) rmSync(path, { force: true });
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.once("connect", () => done(true));
    socket.once("error", () => done(false));
  });
}
