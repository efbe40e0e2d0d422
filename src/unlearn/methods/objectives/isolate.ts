/**
 * Layer-isolated ascent: gradient difference on the MLPs of a few blocks alone, with a retain weight that rises when
 * the retain loss does. SHA256 team, SemEval-2025 Task 4, https://arxiv.org/abs/2504.12996
 *
 *   first epoch   --retain-weight (1.2), and the mean retain loss is remembered
 *   later         0.3 * 6^d + 0.8 to one decimal, within [1.2, 2.3]; d = retain loss of the batch - that mean
 *
 * The authors' code divides a sum of batch means by a number of examples; here it is their mean. --layers auto trains
 * the blocks whose MLPs hold 80 % of the effect on the facts at the last token of their subjects, by causal tracing.
 */
import { UserError } from "../../../errors.ts";
import { blocksHolding, type Effects, TRACE } from "../../../run/tracing/causal-trace.ts";
import { addScalar, clamp, exp, neg, round, scale } from "../../../tensor/ops/elementwise.ts";
import { dynamic, type Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

/** The blocks of "0-5" or "2". Throws UserError. */
export function blockRange(text: string, layers = Number.POSITIVE_INFINITY): number[] {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(text.trim()) ?? [];
  if (first === undefined || Number(last) >= layers || Number(first) > Number(last))
    throw new UserError(
      `--layers ${text} is not a range of blocks`,
      Number.isFinite(layers)
        ? `the model has the blocks 0-${layers - 1}`
        : "write --layers FIRST-LAST, or --layers auto",
    );
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
}

/**
 * The retain weight of a batch whose retain loss is `change` (1) above the mean of the first epoch: (1). At most 1.2
 * falls below 0.
 */
export function weightOf(rec: Recorder, change: Tensor): Tensor {
  const power = exp(rec, scale(rec, change, Math.log(6)));
  const tenths = round(rec, addScalar(rec, scale(rec, power, 3), 8));
  return clamp(rec, scale(rec, tenths, 0.1), 1.2, 2.3);
}

/** The blocks that hold what was traced. Throws UserError where none does. */
function holders(found: Effects): string {
  const held = blocksHolding(found.of.get("mlp")!.get("subject")!, TRACE.share);
  if (held) return `${held.first}-${held.last}`;
  throw new UserError(
    "--layers auto: no block's MLP brings an answer back at the last token of its subject",
    "bun run evaluate MODEL --data FILE --probe trace shows what each block does; say which: --layers FIRST-LAST",
  );
}

const PARTS = { mlp: ["mlp"], attn: ["self_attn", "attn"], all: ["mlp", "self_attn", "attn"] } as const;

export const method = defineObjective({
  name: "isolate",
  title: "Layer-isolated ascent",
  about: "gradient difference on the MLPs of a few blocks, with a retain weight that follows the damage",
  cite: "arXiv:2504.12996",
  laws: {
    ...EVERY_LAW,
    bounded: "ascent has no end",
    batchesAdd: "the retain weight of a micro-batch follows its own retain loss",
  },
  weights: { forget: 1, retain: 1.2 },
  options: {
    layers: {
      type: "string",
      default: "0-0",
      help: "blocks that are trained, such as 0-5; auto: those that hold the facts, by causal tracing",
      value: "A-B",
    },
    part: { type: "'mlp' | 'attn' | 'all'", default: "mlp", help: "which of their matrices" },
    fixed: { type: "boolean", default: false, help: "keep the retain weight as it is given" },
  },
  check: ({ layers }, sizes) => void (layers === "auto" || blockRange(layers, sizes.layers)),
  trains({ layers, part }) {
    const matrices = (range: string) =>
      blockRange(range).flatMap((block) =>
        PARTS[part].flatMap((name) => [`*.layers.${block}.${name}.*.weight`, `*.h.${block}.${name}.*.weight`]),
      );
    return layers === "auto" ? async (trace) => matrices(holders(await trace())) : matrices(layers);
  },
  sequences: (rec, { nll }) => neg(rec, nll),
  /** Where `follows` is 1 the weight is that of the batch, and `retain_weight` is 0; else the other way round. */
  retainWeight(rec, { loss }) {
    const followed = weightOf(rec, addScalar(rec, loss, dynamic("minus_first_epoch")));
    return addScalar(rec, scale(rec, followed, dynamic("follows")), dynamic("retain_weight"));
  },
  adaptive({ values: { fixed }, weights, perEpoch }) {
    let [sum, count] = [0, 0];
    return {
      values: (step) =>
        fixed || step <= perEpoch
          ? { retain_weight: weights.retain, follows: 0, minus_first_epoch: 0 }
          : { retain_weight: 0, follows: 1, minus_first_epoch: -sum / count },
      heard({ retain_loss: loss }, step) {
        if (step > perEpoch) return;
        sum += loss!;
        count++;
      },
      state: () => [sum, count],
      load: (state) => {
        [sum, count] = state as [number, number];
      },
    };
  },
});
