import { readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { answerArguments, Log, nodePaths, toTeselaError } from "../base/mod.ts";
import { Engine } from "./engine.ts";

/** The data plane's process. It outlives teselad; its end is the end of the guests it runs. */
const log = new Log({ level: process.env.TESELA_DEBUG === "1" ? "debug" : "info" });
const { version } = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as { version: string };

const said = answerArguments("tesela-engine", "carries processes between machines", version, process.argv.slice(2));
if (said) {
  writeSync(said.fd, said.text);
  process.exit(said.status);
}

process.on("uncaughtException", (e) => log.error("an error that nobody caught", { error: e }));
process.on("unhandledRejection", (e) => log.error("a promise that nobody awaited failed", { error: e }));

try {
  const paths = nodePaths();
  const engine = new Engine(paths, version, log);
  await engine.start();
  writeFileSync(paths.enginePid, `${process.pid}\n`);
  const stop = (): void => {
    void engine[Symbol.asyncDispose]().finally(() => {
      rmSync(paths.enginePid, { force: true });
      process.exit(0);
    });
  };
  // The hang-up of a terminal that it was started from is not the end of guests.
  process.on("SIGHUP", () => log.info("the configuration is read when the engine starts, and not before"));
  process.on("SIGTERM", stop);
  process.on("SIGINT", stop);
} catch (e) {
  const error = toTeselaError(e);
  process.stderr.write(`tesela-engine: ${error.message}\n`);
  if (error.code === "E_INTERNAL") log.error("start failed", { error });
  process.exit(1);
}
