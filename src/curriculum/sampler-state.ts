/** What samplers remember: plain JSON, so that a run goes on from where it stopped. */

import { UserError } from "../errors.ts";
import { isObject, type Json, type JsonObject } from "../json.ts";

/** `state` and `load` of a sampler that keeps all it knows in one object. */
export function kept<M extends JsonObject>(memory: M): { state(): Json; load(state: Json): void } {
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
