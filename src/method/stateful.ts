/** The contract of whatever changes between steps and is saved with a run: samplers, adaptive weights, controllers. */
import type { Json } from "../json.ts";

export interface Stateful {
  /** All that `load` needs to continue. */
  state(): Json;
  /** Continues from what `state` gave. */
  load(state: Json): void;
}
