/** What distillation takes of the command line. */
import type { Values } from "../method/options.ts";
import type { DISTILL } from "./options.ts";

export interface DistillRun {
  readonly options: Values<typeof DISTILL>;
  readonly seed: number;
  /** Of ingot, for lineage. */
  readonly version: string;
  info(text: string): void;
  warn(text: string): void;
  /** Registers what is closed when the script ends. */
  onExit(cleanup: () => void): void;
}
