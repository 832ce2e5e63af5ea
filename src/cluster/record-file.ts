import { readFileSync } from "node:fs";
import { type Paths, TeselaError } from "../base/mod.ts";
import { checkEntry, type Entry, MemberRecord } from "./record.ts";
import { readNodeConfig, writeWhole } from "./config.ts";

/**
 * `membership.json`, as this node wrote it: verified then, and believed now. A node without the file has an empty record.
 * @param ca the CA's certificate, PEM
 * @throws E_CONFIG
 */
export function readRecord(paths: Paths, cluster: string, ca: string): MemberRecord {
  const file = paths.membershipJson;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, "utf8"));
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ENOENT") return new MemberRecord(cluster, ca);
    throw new TeselaError("E_CONFIG", `${file}: ${(cause as Error).message}`, {}, { cause });
  }
  const { cluster: named, entries } = (value ?? {}) as { cluster?: unknown; entries?: unknown };
  if (named !== cluster || !Array.isArray(entries))
    throw new TeselaError("E_CONFIG", `${file} is not the membership of cluster '${cluster}'`);
  return new MemberRecord(
    cluster,
    ca,
    entries.map((e: unknown) => checkEntry(e, file)),
  );
}

/** A node that has left or was removed may have kept the CA's key. @throws E_REFUSED */
export function mustBelong(paths: Paths, record: MemberRecord): void {
  const { id, cluster } = readNodeConfig(paths);
  const standing = record.get(id)?.standing ?? "member";
  if (standing === "member") return;
  const how = standing === "left" ? "has left" : "was removed from";
  throw new TeselaError(
    "E_REFUSED",
    `node ${id} ${how} cluster '${cluster}': it says nothing of who belongs to that; ask one of its nodes`,
  );
}

export function writeRecord(paths: Paths, record: { readonly cluster: string; all(): readonly Entry[] }): void {
  writeWhole(paths.membershipJson, { cluster: record.cluster, entries: record.all() });
}
