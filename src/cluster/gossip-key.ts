import { randomBytes } from "node:crypto";
import { TeselaError } from "../base/mod.ts";
import { IDENTITY_FILES, readIdentityFile, writeIdentityFile } from "./files.ts";
import { Keyring } from "./seal.ts";

export const GOSSIP_KEY_BYTES = 32;
/** While keys are being changed, the old one and the new one. */
export const MAX_GOSSIP_KEYS = 2;

/** A new key of a cluster, as `gossip.key` holds it: a line of 64 hexadecimal digits. */
export const makeGossipKey = (): string => `${randomBytes(GOSSIP_KEY_BYTES).toString("hex")}\n`;

/**
 * The keys in a text: one a line, 64 hexadecimal digits each. The first one seals, all of them open. To change keys without a gap,
 * write OLD,NEW everywhere, then NEW,OLD everywhere, then NEW.
 * @throws TeselaError E_CONFIG
 */
export function parseGossipKeys(text: string, where: string): Keyring {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  const keys = lines.map((line) => line.trim());
  const good = keys.length >= 1 && keys.length <= MAX_GOSSIP_KEYS && keys.every((k) => /^[0-9a-fA-F]{64}$/.test(k));
  if (!good) throw new TeselaError("E_CONFIG", `${where}: want one or two lines of 64 hexadecimal digits`);
  return new Keyring(keys.map((k) => Buffer.from(k, "hex")));
}

/** Writes `gossip.key` into the identity directory, mode 0600. */
export function saveGossipKey(dir: string, text: string): void {
  parseGossipKeys(text, IDENTITY_FILES.gossipKey);
  writeIdentityFile(dir, IDENTITY_FILES.gossipKey, text, 0o600);
}

/** @throws TeselaError E_CONFIG when it is absent, open to others or no key */
export function loadGossipKeys(dir: string): Keyring {
  return parseGossipKeys(readIdentityFile(dir, IDENTITY_FILES.gossipKey), `${dir}/${IDENTITY_FILES.gossipKey}`);
}

/** What `gossip.key` holds, checked; for who gives it to a new node. @throws TeselaError E_CONFIG */
export function gossipKeyText(dir: string): string {
  const text = readIdentityFile(dir, IDENTITY_FILES.gossipKey);
  parseGossipKeys(text, `${dir}/${IDENTITY_FILES.gossipKey}`);
  return text;
}
