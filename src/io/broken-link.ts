import { TeselaError } from "../base/mod.ts";

/** Why a channel ended that neither end has closed: its connection broke or fell silent. Never what the peer has told. */
export class BrokenLink extends TeselaError {
  constructor(message: string, details: Record<string, unknown>, options?: ErrorOptions) {
    super("E_LINK", message, details, options);
  }
}
