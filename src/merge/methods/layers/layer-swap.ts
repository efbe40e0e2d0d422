/**
 * Layer swapping: the lowest and highest blocks from one model (a language), the blocks between from another (a skill),
 * with a soft transition.
 *
 * Bandarkar et al., ICLR 2025, https://arxiv.org/abs/2410.01335. Blocks outside the transition are copied bit by bit.
 * The numbers of blocks are the paper's for 32 blocks (5 below, 2 above) and go in proportion for other depths. A zone
 * of 0 blocks has no transition. With `weighting: update` the share of a model in a transition is its share of ||x -
 * base||.
 */
import { UserError } from "../../../errors.ts";
import { layerOf } from "../../../model/names.ts";
import { mergeMethod } from "../../contract.ts";
import type { TensorInputs } from "../../job/tensor-inputs.ts";
import { takeInput } from "../../updates/add-task-vectors.ts";

/** Blocks for which the paper gives its numbers. */
const PAPER_LAYERS = 32;
const PAPER_BOTTOM = 5;
const PAPER_TOP = 2;

export interface Zones {
  readonly bottom: number;
  readonly top: number;
  readonly transition: number;
}

/** Where block `layer` of `layers` comes from. */
export function zoneOf(layer: number, layers: number, { bottom, top, transition }: Zones): "outer" | "inner" | "both" {
  if (layer < bottom || layer >= layers - top) return "outer";
  const nearBottom = bottom > 0 && layer < bottom + transition;
  const nearTop = top > 0 && layer >= layers - top - transition;
  return nearBottom || nearTop ? "both" : "inner";
}

/** Blocks of each stack, by the name before the block's number. */
function countLayers(tensors: readonly TensorInputs[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { name, task } of tensors) {
    const prefix = layerOf(name)?.prefix;
    if (prefix === undefined || task.layer === undefined) continue;
    counts.set(prefix, Math.max(counts.get(prefix) ?? 0, task.layer + 1));
  }
  return counts;
}

export const method = mergeMethod({
  name: "layer_swap",
  title: "Layer swapping",
  about: "lowest and highest blocks from one model, those between from another",
  cite: "arXiv:2410.01335",
  laws: {
    equalInputs: true,
    equalModels: true,
    order: "one model gives the outer blocks, the other the inner ones",
    baseAtZero: "has no lambda",
    homogeneous: true,
  },
  models: [2, 2],
  base: "optional",
  heights: "equal",
  passes: "many",
  options: {
    outer: {
      type: "1 <= number.integer <= 2",
      default: 2,
      help: "which of the two models gives the outer blocks; the other gives the inner ones",
    },
    bottom: { type: "number.integer >= 0", help: "blocks at the bottom from the outer model (5 of 32)" },
    top: { type: "number.integer >= 0", help: "blocks at the top from the outer model (2 of 32)" },
    transition: { type: "number.integer >= 0", default: 1, help: "blocks inside each boundary that are averaged" },
    w: { type: "0 <= number <= 1", default: 0.5, help: "share of the inner model in a transition" },
    weighting: {
      type: "'fixed' | 'update'",
      default: "fixed",
      help: "update: share by the size of each model's update; needs a base",
    },
    shared: {
      type: "'outer' | 'average'",
      default: "outer",
      help: "where tensors outside the blocks come from (embeddings, last norm, head)",
    },
  },

  /** Reads no values, only names. */
  survey: async (tensors) => countLayers(tensors),

  /** A copy, or in a transition one pass (two with `weighting: update`). */
  async merge(job) {
    const { values, task } = job;
    const outer = values.outer - 1;
    const inner = 1 - outer;
    const average = async (share: number) =>
      job.combine([inner === 0 ? share : 1 - share, inner === 0 ? 1 - share : share]);
    if (task.layer === undefined) return values.shared === "outer" ? takeInput(job, outer) : average(values.w);

    const layers = job.survey.get(layerOf(job.name)?.prefix ?? "") ?? task.layer + 1;
    const proportional = (blocks: number) => Math.round((blocks * layers) / PAPER_LAYERS) || Math.min(1, layers - 1);
    const zones = {
      bottom: values.bottom ?? proportional(PAPER_BOTTOM),
      top: values.top ?? proportional(PAPER_TOP),
      transition: values.transition,
    };
    if (zones.bottom + zones.top > layers) {
      throw new UserError(
        `${job.name}: bottom ${zones.bottom} and top ${zones.top} are more than its ${layers} blocks`,
        "give a smaller --bottom or --top",
      );
    }
    const zone = zoneOf(task.layer, layers, zones);
    if (zone !== "both") return takeInput(job, zone === "outer" ? outer : inner);
    if (values.weighting === "fixed") return average(values.w);
    if (!job.hasBase) {
      throw new UserError(
        `${job.name}: the size of an update needs the model that was tuned`,
        "give --base, or --weighting fixed",
      );
    }
    const gram = await job.gram({ delta: true });
    const sizes = gram.map((row, k) => Math.sqrt(row[k]!));
    const total = sizes[inner]! + sizes[outer]!;
    await average(total > 0 ? sizes[inner]! / total : values.w);
  },
});
