/** How busy this node is, and its processes: samplers of /proc and of control groups, and the yardstick of its speed. */
export { decayed, localLoad, smoothGrowth, smoothShare, toldLoad } from "./averages.ts";
export { type Quota, readQuota } from "./cgroup.ts";
export { MemoryMeter, type MemorySample } from "./memory.ts";
export type { Pressure } from "./pressure.ts";
export { alone, type Competition, type CpuLook, RivalMeter } from "./rivals.ts";
export { LoadSampler, type NodeSample, type Parts, type SamplerOptions, STANDARD_SPEED } from "./sampler.ts";
export { hasEnded, type ProcessStat, readProcess, readProcesses } from "./stat.ts";
export type { TaskUse } from "./tasks.ts";
export { keptYardstick, measureYardstick, REFERENCE_ROUNDS } from "./yardstick.ts";
