import { readFileSync } from "node:fs";
import { nodePaths, textTable, TeselaError } from "../../base/mod.ts";
import { type DiscoverySettings, readDiscovery, writeDiscovery } from "../../cluster/mod.ts";
import { DaemonClient, type HeardRow } from "../../daemon/mod.ts";
import { DONE, type Invocation, lastValue } from "../command.ts";
import { print, printJson } from "../out.ts";
import { usage } from "../parse.ts";

/** How this node looks for others; teselad, which does it, follows the settings at once. */
export async function run(call: Invocation): Promise<number> {
  const paths = nodePaths();
  const old = readDiscovery(paths);
  const settings = changed(call, old);
  if (JSON.stringify(settings) !== JSON.stringify(old)) writeDiscovery(paths, settings);
  let heard: HeardRow[] | null = null;
  try {
    heard = await new DaemonClient(paths).discovered();
  } catch (e) {
    if (!(e instanceof TeselaError && e.code === "E_NODAEMON")) throw e;
  }
  if (call.json) {
    printJson({ ...settings, heard });
    return DONE;
  }
  const on = settings.interfaces === null ? "all interfaces" : settings.interfaces.join(", ");
  print(
    settings.on ? `calls on ${on}, TTL ${settings.ttl}; seeds: ${settings.seeds.join(", ") || "none"}` : "does not look for other nodes",
  );
  if (heard === null) print("teselad does not run");
  else if (heard.length > 0) {
    const rows = heard.map((h) => [String(h.id), h.name, h.address, `${Math.round(h.agoMs / 1000)} s ago`]);
    print(textTable(rows, [{ title: "ID", right: true }, { title: "NAME" }, { title: "HEARD FROM" }, { title: "LAST" }]));
  }
  return DONE;
}

/** Names, also of those that are down or have no address yet: proc_pid_net(5), dev. */
const interfacesHere = (): string[] => [...readFileSync("/proc/net/dev", "utf8").matchAll(/^\s*([^:\s]+):/gm)].map(([, name = ""]) => name);

function changed(call: Invocation, old: DiscoverySettings): DiscoverySettings {
  const list = (long: string): string[] | undefined => {
    const words = call.values.get(long)?.flatMap((t) => t.split(","));
    if (words?.some((w) => !/^[^\s,]{1,255}$/.test(w))) throw usage(call.command, `--${long}: want names with commas between`);
    return words;
  };
  const onHere = interfacesHere();
  const strange = list("interfaces")?.find((name) => name !== "all" && !onHere.includes(name));
  if (strange !== undefined)
    throw new TeselaError("E_MISSING", `there is no network interface '${strange}' here: there are ${onHere.join(", ")}`);
  const [interfaces, seeds, ttl] = [list("interfaces"), list("seeds"), lastValue(call, "ttl")];
  if (ttl !== undefined && !(/^\d{1,3}$/.test(ttl) && Number(ttl) >= 1 && Number(ttl) <= 255))
    throw usage(call.command, `-m '${ttl}': want 1 to 255`);
  const onOff = call.switches.has("off") ? { on: false } : call.switches.has("on") || interfaces || seeds || ttl ? { on: true } : {};
  return {
    ...old,
    ...(interfaces && { interfaces: interfaces.includes("all") ? null : interfaces }),
    ...(seeds && { seeds: seeds.includes("none") ? [] : seeds }),
    ...(ttl !== undefined && { ttl: Number(ttl) }),
    ...onOff,
  };
}
