import { configFile, readLoadLevelList, readSettings, type Settings } from "../config/mod.ts";
import { type Log, TeselaError } from "../base/mod.ts";

interface Read {
  readonly settings: Settings;
  /** Of the loadlevellist, as /proc/PID/exe names them. */
  readonly programs: ReadonlySet<string>;
}

/** The settings that hold now: whoever needs one asks each time, for the file may be read again. */
export class LiveSettings {
  private readonly file: string;
  private readonly log: Log;
  private read: Read;

  /** @throws TeselaError E_CONFIG: nothing starts half-configured */
  constructor(log: Log, file: string = configFile()) {
    this.file = file;
    this.log = log;
    this.read = readBoth(file);
  }

  get now(): Settings {
    return this.read.settings;
  }
  get programs(): ReadonlySet<string> {
    return this.read.programs;
  }

  /** All of the new ones, or all of the old ones where anything is wrong, and a line in the log. */
  reload(): void {
    try {
      this.read = readBoth(this.file);
      this.log.info("the configuration was read again", { file: this.file });
    } catch (e) {
      if (!(e instanceof TeselaError)) throw e;
      this.log.error("the configuration stays as it was", { error: e.message });
    }
  }
}

function readBoth(file: string): Read {
  const settings = readSettings(file);
  return { settings, programs: readLoadLevelList(settings.policy.loadlevellist) };
}
