import { randomBytes } from "node:crypto";
import { TeselaError } from "../base/mod.ts";
import { IDENTITY_FILES, readIdentityFile, writeIdentityFile } from "./files.ts";
import { Keyring } from "./seal.ts";
import { formatKey, GOSSIP_KEY_BYTES, parseKey, type SignedKey } from "./signed-key.ts";

export { GOSSIP_KEY_BYTES };
/** While keys are being changed by hand, the old one and the new one. */
export const MAX_GOSSIP_KEYS = 2;

/** What `gossip.key` holds. */
export interface GossipKeys {
  /** 32 bytes each: the first one seals, all of them open. */
  readonly secrets: readonly Buffer[];
  /** The first one, when it was made since nodes had gone; it is not verified. */
  readonly signed: SignedKey | null;
}

/** The first key of a cluster, as `gossip.key` holds it: a line of 64 hexadecimal digits. */
export const makeGossipKey = (): string => `${randomBytes(GOSSIP_KEY_BYTES).toString("hex")}\n`;

/**
 * The keys in a text: one a line, 64 hexadecimal digits each, and behind these what the CA signed. Keys change by themselves when a node goes. To
 * change those that nobody signed by hand, write OLD,NEW everywhere, then NEW,OLD everywhere, then NEW.
 * @throws TeselaError E_CONFIG
 */
export function readGossipKeys(text: string, where: string): GossipKeys {
  const lines = text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const good = lines.length >= 1 && lines.length <= MAX_GOSSIP_KEYS && lines.every((line) => /^[0-9a-fA-F]{64}( |$)/.test(line));
  if (!good) throw new TeselaError("E_CONFIG", `${where}: want one or two lines of 64 hexadecimal digits`);
  const secrets = lines.map((line) => Buffer.from(line.slice(0, 2 * GOSSIP_KEY_BYTES), "hex"));
  const keys = lines.map((line) => (line.includes(" ") ? signedLine(line, where) : null));
  return { secrets, signed: keys[0] ?? null };
}

function signedLine(line: string, where: string): SignedKey {
  try {
    return parseKey(line);
  } catch (cause) {
    throw new TeselaError("E_CONFIG", `${where}: what stands behind a key is not the CA's word for it`, {}, { cause });
  }
}

/** @throws TeselaError E_CONFIG */
export const parseGossipKeys = (text: string, where: string): Keyring => new Keyring(readGossipKeys(text, where).secrets);

/** Writes `gossip.key` into the identity directory, mode 0600, whole or not at all. */
export function saveGossipKey(dir: string, text: string): void {
  parseGossipKeys(text, IDENTITY_FILES.gossipKey);
  writeIdentityFile(dir, IDENTITY_FILES.gossipKey, text, 0o600);
}

export const saveSignedKey = (dir: string, key: SignedKey): void => saveGossipKey(dir, formatKey(key));

/** @throws TeselaError E_CONFIG when it is absent, open to others or no key */
export function loadGossipKeys(dir: string): GossipKeys {
  return readGossipKeys(readIdentityFile(dir, IDENTITY_FILES.gossipKey), `${dir}/${IDENTITY_FILES.gossipKey}`);
}

/** What `gossip.key` holds, checked; for who gives it to a new node. @throws TeselaError E_CONFIG */
export function gossipKeyText(dir: string): string {
  const text = readIdentityFile(dir, IDENTITY_FILES.gossipKey);
  parseGossipKeys(text, `${dir}/${IDENTITY_FILES.gossipKey}`);
  return text;
}
