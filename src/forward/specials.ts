/** All calls with a handler of their own. */
import { attributes } from "./attributes.ts";
import { clocks } from "./clocks.ts";
import { commands } from "./commands.ts";
import { descriptors } from "./descriptors.ts";
import { fcntls } from "./fcntl.ts";
import { files } from "./files.ts";
import { ioctls } from "./ioctl.ts";
import { ipcs } from "./ipc.ts";
import { memory } from "./memory.ts";
import { namespaces } from "./namespaces.ts";
import { polls } from "./poll.ts";
import { prctls } from "./prctl.ts";
import { processes } from "./process.ts";
import { processVm } from "./process-vm.ts";
import { receives } from "./receive.ts";
import { sends } from "./send.ts";
import { sleeps } from "./sleep.ts";
import { addresses } from "./sockaddr.ts";
import { options } from "./sockopt.ts";
import type { Specials } from "./special.ts";
import { transfers } from "./transfer.ts";
import { vectors } from "./vectors.ts";

export const SPECIALS: Specials = {
  ...transfers,
  ...vectors,
  ...files,
  ...descriptors,
  ...memory,
  ...polls,
  ...sleeps,
  ...clocks,
  ...addresses,
  ...options,
  ...sends,
  ...receives,
  ...fcntls,
  ...ioctls,
  ...ipcs,
  ...processes,
  ...prctls,
  ...processVm,
  ...namespaces,
  ...attributes,
  ...commands,
};
