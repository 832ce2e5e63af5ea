import { TeselaError } from "../base/mod.ts";
import type { Channel } from "../io/mod.ts";
import type { Head } from "../wire/mod.ts";
import { type CarryOptions, sendShared } from "./carry.ts";
import { GroupMemory } from "./group-memory.ts";

/** Groups of other nodes' processes on their host: those that come, and what is kept of those that have ended. */
export class HostGroups {
  /** Of guests that share memory, and of those that come to do so. */
  private readonly here = new Map<string, GroupMemory>();
  /** Kept when all have ended, until home has it: others can come to it there. By home and group. */
  private readonly kept = new Map<string, GroupMemory>();

  /**
   * What those have in common that come from a node under one name; null for a process that comes alone.
   * @param room bytes that may come now
   */
  comes({ home, group }: Head<"offer">, from: number, room: () => number): GroupMemory | null {
    if (group === undefined) return null;
    const key = `${home}:${from}:${group}`;
    let memory = this.here.get(key);
    if (!memory) {
      memory = new GroupMemory(room, () => this.here.delete(key));
      this.here.set(key, memory);
    }
    return memory;
  }

  /** @throws TeselaError E_PROTOCOL */
  keep(home: number, group: string, memory: GroupMemory | null | undefined): void {
    if (!memory) throw new TeselaError("E_PROTOCOL", "there is nothing to keep");
    this.forget(home, group);
    memory.join();
    this.kept.set(keyOf(home, group), memory);
  }

  /** @throws TeselaError E_GONE */
  async sendKept(channel: Channel, { group, objects }: Head<"fetchShared">, o: CarryOptions): Promise<void> {
    const memory = this.kept.get(keyOf(channel.peer.node, group));
    if (!memory) throw new TeselaError("E_GONE", `nothing is kept here of group ${group}`);
    channel.send("end", { pages: await sendShared(channel, memory.named(objects), o) });
  }

  /** A home has what it wanted of a group, or wants nothing of it. */
  forget(home: number, group: string): void {
    const key = keyOf(home, group);
    this.kept.get(key)?.leave();
    this.kept.delete(key);
  }

  /** Its link has gone. */
  forgetAll(home: number): void {
    const prefix = keyOf(home, "");
    for (const key of [...this.kept.keys()].filter((k) => k.startsWith(prefix))) this.forget(home, key.slice(prefix.length));
  }
}

const keyOf = (home: number, group: string): string => `${home}:${group}`;
