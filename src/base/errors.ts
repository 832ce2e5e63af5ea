/**
 * Every error a user or a script can meet, by code. Append only: scripts match on the code.
 * The text says what the code means; the message of an error says which thing and what to do.
 */
export const ERRORS = {
  E_USAGE: "the command line does not make sense",
  E_NOENT_PID: "no such process",
  E_PERM: "the caller may not do this to that process",
  E_CANTMOVE: "the process may not leave home now",
  E_NONODE: "no such node",
  E_NODE_DOWN: "the node does not answer",
  E_REFUSED: "the target node refused",
  E_NOMEM: "not enough memory on the target node",
  E_LINK: "the connection to the node was lost",
  E_TIMEOUT: "a step took too long",
  E_PROTOCOL: "a peer sent what the protocol does not allow",
  E_VERSION: "the peer speaks another protocol version",
  E_BUSY: "the process is being moved already",
  E_GONE: "the process ended meanwhile",
  E_NODAEMON: "teselad does not run on this node",
  E_NOENGINE: "tesela-engine does not run on this node",
  E_CONFIG: "the configuration is wrong",
  E_MISSING: "this machine lacks something that is needed",
  E_EXISTS: "it exists already",
  E_INTERNAL: "a bug in Tesela",
  E_FAULT_INJECTED: "a test made this step fail",
  E_THERE: "the process is on that node already",
  E_IDENTITY: "a certificate or key is wrong, expired or of another cluster",
} as const;
export type ErrorCode = keyof typeof ERRORS;

/** An error with a stable code; `details` goes into the `--json` output beside it. */
export class TeselaError extends Error {
  override readonly name = "TeselaError";
  readonly code: ErrorCode;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.details = details;
  }

  /** The shape that commands print with `--json` and that travels between nodes. */
  toJSON(): ErrorShape {
    return { error: this.code, message: this.message, ...this.details };
  }

  static from(shape: ErrorShape): TeselaError {
    const { error, message, ...details } = shape;
    return new TeselaError(error in ERRORS ? (error as ErrorCode) : "E_INTERNAL", message, details);
  }
}

export type ErrorShape = { error: string; message: string } & Record<string, unknown>;

/** Whatever was thrown, as a TeselaError: a foreign error becomes E_INTERNAL and keeps its cause. */
export function toTeselaError(e: unknown): TeselaError {
  if (e instanceof TeselaError) return e;
  const message = e instanceof Error ? e.message : String(e);
  return new TeselaError("E_INTERNAL", message, {}, { cause: e });
}
