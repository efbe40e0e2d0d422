/**
 * The largest score of attention, and the log-partition of the outputs: what grows before a training at a high rate
 * falls apart. Wortsman et al., Small-scale proxies for large-scale Transformer training instabilities, 2023,
 * https://arxiv.org/abs/2309.14322. The paper extrapolates over sizes of models; here the largest score is, over the
 * steps of the run: a power law through the last looks, up to the last step.
 */

import { UserError } from "../../../errors.ts";
import type { Json } from "../../../json.ts";
import { isObject } from "../../../json.ts";
import { LogitView } from "../../../run/probing/logit-view.ts";
import { powerLaw } from "../../../run/probing/power-law.ts";
import { defineTrainingProbe, EVERY_PROBE_LAW, type Look } from "../../training-probe.ts";

/** Looks that the power law goes through. */
const LOOKS = 6;

/** What the largest score will be at a step, by the last looks; undefined for fewer than three. */
export function foreseen(looks: readonly (readonly [step: number, score: number])[], step: number): number | undefined {
  const used = looks.filter(([at, score]) => at > 0 && score > 0).slice(-LOOKS);
  const law = used.length < 3 ? undefined : powerLaw(used);
  return law && law.factor * step ** law.slope;
}

function looksOf(state: Json): [number, number][] {
  const looks = isObject(state) ? state.looks : undefined;
  if (!Array.isArray(looks)) throw new UserError("the saved state of the probe logits is damaged", "start anew");
  return looks.flatMap((look) =>
    Array.isArray(look) && typeof look[0] === "number" && typeof look[1] === "number" ? [[look[0], look[1]]] : [],
  );
}

export const method = defineTrainingProbe({
  name: "logits",
  title: "Logits",
  about: "largest score of attention by layer, and log Z of the outputs; warns where scores will be too large",
  cite: "arXiv:2309.14322",
  options: {
    logits_alarm: {
      type: "number > 0",
      default: 1e4,
      decides: "nothing",
      help: "warn where the largest score of attention is foreseen to be above this at the last step",
      value: "X",
    },
  },
  laws: EVERY_PROBE_LAW,

  async begin({ model, batches, steps, values: { logits_alarm: alarm } }) {
    const view = await LogitView.make(model, batches);
    const looks: [number, number][] = [];
    return {
      bytes: view.bytes,
      async look(step): Promise<Look> {
        const { attention, partition } = await view.read();
        const { mean: log_z, square: log_z_square, largest: largest_log_z } = partition;
        if (attention.size === 0) return { numbers: { log_z, log_z_square, largest_log_z } };
        const score = Math.max(...attention.values());
        looks.push([step, score]);
        const ahead = foreseen(looks, steps);
        const warnings =
          ahead !== undefined && ahead > alarm
            ? [
                `attention scores come to ${score.toPrecision(3)}, and at this pace above ${alarm} by step ${steps}; lower --lr, or take a model that normalises queries and keys`,
              ]
            : [];
        return {
          numbers: { max_attn_logit: score, log_z, log_z_square, largest_log_z },
          parts: [...attention].map(([layer, largest]) => ({ part: `layer ${layer}`, max_attn_logit: largest })),
          warnings,
        };
      },
      state: () => ({ looks: looks.map((look) => [...look]) }),
      load(state) {
        looks.splice(0, looks.length, ...looksOf(state));
      },
      free: () => view.free(),
    };
  },
});
