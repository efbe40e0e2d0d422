/** The state of samplers: plain JSON, from which a run resumes exactly. */

import { UserError } from "../errors.ts";
import { isObject, type JsonObject } from "../json.ts";
import type { Stateful } from "../method/stateful.ts";

/**
 * `state` and `load` of a sampler that keeps all its state in one object. `load` throws UserError when a key is
 * missing.
 *
 *   const memory = { p: uniform(k), updates: 0 };
 *   return { ...kept(memory), segment: () => ({ probs: memory.p, steps: 10 }), update() { memory.updates++; } };
 */
export function kept<M extends JsonObject>(memory: M): Stateful {
  return {
    state: () => structuredClone(memory),
    load(state) {
      const missing = isObject(state) ? Object.keys(memory).find((key) => !(key in state)) : "all of it";
      if (missing !== undefined) {
        throw new UserError(`the state of the sampler lacks ${missing}`, "it was saved by another --method");
      }
      Object.assign(memory, structuredClone(state));
    },
  };
}

/** The values that are known now; where one is not, the one known before, or else `otherwise`. */
export const known = (now: readonly number[], before: readonly number[], otherwise = 0): number[] =>
  now.map((value, i) => (Number.isFinite(value) ? value : (before[i] ?? otherwise)));
