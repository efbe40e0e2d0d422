/** What unlearning takes of the command line. */
import type { Values } from "../method/options.ts";
import type { UNLEARN } from "./options.ts";

export interface UnlearnRun {
  readonly options: Values<typeof UNLEARN>;
  readonly seed: number;
  /** Whether the run only says what it would do. */
  readonly dryRun: boolean;
  /** Aborted when the user interrupts. */
  readonly signal: AbortSignal;
  readonly progress: {
    start(plan: { readonly total?: number; readonly unit?: string }): void;
    advance(by?: number): void;
    done(): void;
  };
  info(text: string): void;
  warn(text: string): void;
}
