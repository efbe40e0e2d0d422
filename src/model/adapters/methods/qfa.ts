/**
 * QFA: one training for every choice of bits. Each linear layer of the base is there at several widths, and each width
 * has a LoRA of its own. "One QuantLLM for ALL: Fine-tuning Quantized LLMs Once for Efficient Deployments", 2024.
 *
 *   y = Q_b(W) x + (alpha / r) B_b A_b x       b the bits of the layer
 *
 * Q_b rounds groups of a row to the nearest of 2^b integers with a zero point. A step draws bits for all layers
 * (bit-draws.ts) and trains only the LoRAs that they use: of others neither a weight nor a moment moves, and W keeps
 * every byte. The bits at which the file runs and folds are `layer_bits` of its config, by layer: another choice there
 * is another model, without training. What it folds to holds Q_b(W) and the LoRA in one matrix, so rounding that anew
 * is not without loss. Q_b(W) is made of W as it is needed, and W is held in full. PEFT has no such type.
 */
import { UserError } from "../../../errors.ts";
import { isObject, type JsonObject } from "../../../json.ts";
import type { Values } from "../../../method/options.ts";
import { mul } from "../../../tensor/ops/elementwise.ts";
import { groupIntegers, roundInGroups } from "../../../tensor/ops/group-integers.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { rowSum } from "../../../tensor/ops/reduce.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { drawBits, spreadBits } from "../bit-draws.ts";
import type { Adapted } from "../declaration.ts";
import { adapterType } from "../declared.ts";
import type { LinearPlace } from "../live-adapter.ts";
import { RANK_KEYS } from "../settings.ts";
import { countsSteps } from "../told.ts";

const [A, B, TAKEN] = ["qfa_A", "qfa_B", "qfa_taken"] as const;

const OPTIONS = {
  adapter_rank: { type: "number.integer >= 1", default: 64, help: "rank of the adapter's matrices", value: "R" },
  adapter_alpha: { type: "number > 0", default: 16, help: "strength; the scale is alpha / rank", value: "A" },
  qfa_bits: { type: "number[]", default: [2, 3, 4], help: "widths at which every layer is trained", value: "B,..." },
  qfa_group: { type: "number.integer >= 1", default: 128, help: "columns that share a scale", value: "N" },
  qfa_mean: {
    type: "number > 0",
    help: "mean bits at which the file runs and folds, spread over the layers; the most when left out",
    value: "B",
  },
  qfa_shared: { type: "boolean", default: false, help: "one LoRA a layer for all widths, for comparison" },
} as const;

type QfaValues = Values<typeof OPTIONS>;

/** Widths in ascending order. Throws UserError. */
function widthsOf({ qfa_bits: given }: QfaValues, where: string): number[] {
  const bits = [...new Set(given)].sort((a, b) => a - b);
  if (bits.length > 0 && bits.every((b) => Number.isInteger(b) && b >= 2 && b <= 8)) return bits;
  throw new UserError(
    `${where}: ${given.length === 0 ? "no bits" : `${given.join(",")} bits`}; a width is a whole number from 2 to 8`,
    "for example --qfa-bits 2,3,4",
  );
}

/** The place among the widths of what a config says of a layer. Throws UserError. */
function settled(json: JsonObject, values: QfaValues, { module, where }: { module: string; where: string }): number {
  const bits = widthsOf(values, where);
  const own = isObject(json.layer_bits) ? json.layer_bits[module] : undefined;
  const place = typeof own === "number" ? bits.indexOf(own) : -1;
  if (place >= 0) return place;
  throw new UserError(
    `${where}: layer_bits says ${JSON.stringify(own) ?? "nothing"} of ${module}, which has ${bits.join(", ")} bits`,
    "set layer_bits of adapter_config.json to one of them for every layer",
  );
}

const oneOf = (count: number, place: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => (i === place ? 1 : 0));

/** LoRAs of a layer. */
const blocksOf = (values: QfaValues, bits: readonly number[]): number => (values.qfa_shared ? 1 : bits.length);

function modulated(layer: Adapted<LinearPlace, typeof OPTIONS>, x: Tensor): Tensor {
  const { rec, values, json, module, bias, weight, tensor, transposed } = layer;
  if (transposed) throw new Error(`${module} is (in, out)`);
  const bits = widthsOf(values, module);
  const { adapter_rank: r, adapter_alpha: alpha, qfa_group: group } = values;
  const place = settled(json, values, { module, where: "the adapter" });
  const drawn = rec.training && countsSteps(rec);
  const taken = drawn ? tensor(TAKEN) : rec.constant(oneOf(bits.length, place), [bits.length], `bits of ${module}`);
  const tops = rec.constant(
    Float32Array.from(bits, (b) => 2 ** b - 1),
    [1, bits.length],
    "largest integers",
  );
  const top = rowSum(rec, mul(rec, rec.reshape(taken, [1, bits.length]), tops));
  const rounded = linear(rec, x, groupIntegers(rec, weight, { top, group }), bias ? { bias } : {});
  const low = linear(rec, x, tensor(A)); // (N, blocks r)
  const rows = low.shape[0]!;
  const own = values.qfa_shared
    ? low
    : mul(rec, rec.reshape(low, [rows, bits.length, r]), rec.reshape(taken, [1, bits.length, 1]));
  const blocks = blocksOf(values, bits);
  const options = { scale: alpha / r, add: rounded };
  return layer.finish(linear(rec, rec.reshape(own, [rows, blocks * r]), tensor(B), options));
}

export const method = adapterType({
  name: "qfa",
  title: "QFA",
  about: "a LoRA for every layer and width of rounded weights, trained once for all choices of bits",
  cite: "One QuantLLM for ALL, 2024",
  options: OPTIONS,
  takes: ["linear"],
  keys: RANK_KEYS,
  parts: [A, B, TAKEN],
  tensors: ({ into, out }, { values, where }) => {
    const bits = widthsOf(values, where);
    const rank = blocksOf(values, bits) * values.adapter_rank;
    return {
      [A]: { shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } },
      [B]: { shape: [out, rank], begins: "zeros" },
      [TAKEN]: { shape: [bits.length], begins: { values: oneOf(bits.length, bits.length - 1) }, fixed: true },
    };
  },
  config({ values, targets, where }) {
    const bits = widthsOf(values, where);
    const mean = values.qfa_mean ?? bits.at(-1)!;
    if (mean < bits[0]! || mean > bits.at(-1)!)
      throw new UserError(
        `--qfa-mean ${mean}: bits of layers are ${bits.join(", ")}`,
        `give a mean from ${bits[0]} to ${bits.at(-1)}`,
      );
    const spread = spreadBits(targets.length, bits, mean);
    return { layer_bits: Object.fromEntries(targets.map(({ module }, i) => [module, spread[i]!])) };
  },
  draws: {
    part: TAKEN,
    at(step, targets, values) {
      const bits = widthsOf(values, "the adapter");
      return drawBits(step, targets, bits).map((place) => oneOf(bits.length, place));
    },
    trained(part, taken, { adapter_rank: r, qfa_shared: shared }) {
      const factors = Float32Array.from({ length: shared ? r : taken.length * r }, (_, i) =>
        shared ? 1 : taken[Math.floor(i / r)]!,
      );
      return { along: part === A ? "row" : "column", factors };
    },
  },
  linear: modulated,
  fold({ module, into, transposed, tensor }, { values, json = {}, where }) {
    const place = settled(json, values, { module, where });
    const bits = widthsOf(values, where);
    const { adapter_rank: r, adapter_alpha: alpha, qfa_group: group } = values;
    const [a, b] = [tensor(A).values, tensor(B).values];
    const rank = blocksOf(values, bits) * r;
    const first = values.qfa_shared ? 0 : place * r;
    const change = (rows: Float32Array, from: number) => {
      roundInGroups(rows, { columns: into, bits: bits[place]!, group });
      for (let i = 0; i < rows.length / into; i++) {
        const row = Float64Array.from(rows.subarray(i * into, (i + 1) * into));
        for (let k = first; k < first + r; k++) {
          const factor = (alpha / r) * b[(from + i) * rank + k]!;
          for (let c = 0; c < into; c++) row[c]! += factor * a[k * into + c]!;
        }
        rows.set(row, i * into);
      }
    };
    return { weight: { change, transposed } };
  },
});
