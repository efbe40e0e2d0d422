/**
 * Layer-isolated ascent: gradient difference on the MLPs of a few blocks alone, with a retain weight that rises when the retain loss
 * does. SHA256 team, SemEval-2025 Task 4, https://arxiv.org/abs/2504.12996
 *
 *   first epoch: 1.2, and the mean retain loss is remembered; later, d = retain loss - that mean:
 *   1.2 when d <= 0, else 0.3 * 6^d + 0.8 to one decimal, within [1.2, 2.3]
 *
 * --layers auto trains the blocks whose MLPs hold 80 % of the effect on the facts at the last token of their subjects, by causal tracing
 * (../evaluate/probe/trace.ts).
 */
import { UserError } from "../../../errors.ts";
import { blocksHolding, type Effects, TRACE } from "../../../run/tracing/causal-trace.ts";
import { neg } from "../../../tensor/ops/elementwise.ts";
import { defineObjective, EVERY_LAW } from "../../contract.ts";

/** The blocks of "0-5" or "2". Throws UserError. */
export function blockRange(text: string, layers = Number.POSITIVE_INFINITY): number[] {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(text.trim()) ?? [];
  if (first === undefined || Number(last) >= layers || Number(first) > Number(last))
    throw new UserError(`--layers ${text} is no range of blocks`, `the model has 0-${layers - 1}`);
  return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
}

export const retainWeight = (change: number): number =>
  change <= 0 ? 1.2 : Math.min(2.3, Math.max(1.2, Math.round(10 * (0.3 * 6 ** change + 0.8)) / 10));

/** The blocks that hold what was traced. Throws UserError where none does. */
function holders(found: Effects): string {
  const held = blocksHolding(found.of.get("mlp")!.get("subject")!, TRACE.share);
  if (held) return `${held.first}-${held.last}`;
  throw new UserError(
    "--layers auto: no block's MLP brings an answer back at the last token of its subject",
    "see what does with bun run evaluate --probe trace, and say which blocks: --layers A-B",
  );
}

const PARTS = { mlp: ["mlp"], attn: ["self_attn", "attn"], all: ["mlp", "self_attn", "attn"] } as const;

export const method = defineObjective({
  name: "isolate",
  title: "Layer-isolated ascent",
  about: "gradient difference on the MLPs of a few blocks, with a retain weight that follows the damage",
  cite: "arXiv:2504.12996",
  laws: { ...EVERY_LAW, bounded: "ascent has no end" },
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
  asks: ({ layers }) => layers === "auto",
  trains: ({ layers, part }, found) =>
    blockRange(found ? holders(found) : layers).flatMap((block) =>
      PARTS[part].flatMap((name) => [`*.layers.${block}.${name}.*.weight`, `*.h.${block}.${name}.*.weight`]),
    ),
  sequences: (rec, { nll }) => neg(rec, nll),
  adaptive({ values: { fixed }, weights, perEpoch }) {
    let [sum, count, now] = [0, 0, weights.retain];
    return {
      weights: () => ({ forget: weights.forget, retain: now }),
      heard({ retain_loss: loss }, step) {
        if (fixed) return;
        if (step <= perEpoch) {
          sum += loss!;
          count++;
        } else now = retainWeight(loss! - sum / count);
      },
      state: () => [sum, count, now],
      load: (state) => {
        [sum, count, now] = state as [number, number, number];
      },
    };
  },
});
