/** Numbers that a method changes from step to step, such as the weight of a term. */
import type { Stateful } from "../../method/stateful.ts";

/**
 * What a method adapts between steps. Its state is saved with the run.
 *
 *   const halving: Adaptive = {
 *     values: (step) => ({ t: 2 ** -step }), // recorded as dynamic("t")
 *     state: () => null,
 *     load: () => {},
 *   };
 */
export interface Adaptive extends Stateful {
  /** The numbers of step `step` (from 1), by the names under which the recorded loss takes them. */
  values(step: number): Readonly<Record<string, number>>;
  /** Hears the metrics of every step before the next begins. Without it nothing waits. */
  heard?(metrics: Readonly<Record<string, number>>, step: number): void;
}
