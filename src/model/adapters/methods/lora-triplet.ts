/**
 * LoRA triplet: a wanted adapter of queries and keys, and two nuisance adapters of the MLPs' layers that soak up what
 * comes with the data and is not wanted. Each step trains one of the three, drawn at random, while all of them are
 * there; tokens that are marked as its own (1, 2, 3) weigh more. The result is the wanted one alone, a plain LoRA.
 *
 *   y = W x + s B A x (queries, keys);  y = W x + s B_1 A_1 x + s B_2 A_2 x (MLPs, in training)
 *
 * After DreamRelation, 2025, https://arxiv.org/abs/2503.07602, whose sets are of a video's relation and its two
 * subjects. Its contrastive loss is left out: of a text, the mean of what changes from frame to frame would be its last
 * state less its first, and an image has one frame. With a nuisance rank of 0 it is LoRA of queries and keys.
 */
import { linear } from "../../../tensor/ops/linear.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { adapterType } from "../declared.ts";
import { rankAndAlpha } from "../settings.ts";
import { LAST_OF_MLP } from "../targets.ts";

/** Queries and keys, or where they are one layer with values, that one. */
const WANTED = /(^|\.)(q_proj|k_proj|query|key|q_lin|k_lin|query_key_value|qkv_proj|qkv|c_attn)$/;
const MLP = /(^|\.)(mlp|ffn|feed_forward|intermediate|lin1|fc1)(\.|$)/;

const isMlp = (module: string): boolean => MLP.test(module) || LAST_OF_MLP.test(module);

/** Names of tensors of LoRA, in PEFT's form. */
const [A, B] = ["lora_A.weight", "lora_B.weight"];
const NUISANCE = [
  ["first_A", "first_B"],
  ["second_A", "second_B"],
] as const;

export const method = adapterType({
  name: "lora-triplet",
  title: "LoRA triplet",
  about: "a LoRA of queries and keys beside two of MLPs that soak up what is not wanted and are dropped",
  cite: "arXiv:2503.07602",
  options: {
    ...rankAndAlpha(8),
    triplet_nuisance: { type: "number.integer >= 0", default: 8, value: "R", help: "rank of each nuisance adapter" },
    triplet_focus: {
      type: "number >= 1",
      default: 2,
      value: "X",
      help: "weight of tokens that are marked as those of the adapter that is trained: 1, or 2 and 3 of a nuisance",
    },
  },
  takes: ["linear"],
  usual: ({ module }) => WANTED.test(module) || isMlp(module),
  parts: [A!, B!, ...NUISANCE.flat()],
  tensors({ module, into, out }, { values: { adapter_rank: wanted, triplet_nuisance: nuisance } }) {
    const inner = (rank: number) => ({ shape: [rank, into], begins: { uniform: 1 / Math.sqrt(into) } });
    const outer = (rank: number) => ({ shape: [out, rank], begins: "zeros" as const });
    if (!isMlp(module)) return { [A!]: inner(wanted), [B!]: outer(wanted) };
    if (nuisance === 0) return {};
    return Object.fromEntries(
      NUISANCE.flatMap(([a, b]) => [
        [a, inner(nuisance)],
        [b, outer(nuisance)],
      ]),
    );
  },
  stages: {
    count: ({ triplet_nuisance }) => (triplet_nuisance === 0 ? 1 : 3),
    drawn: true,
    focus: ({ triplet_focus }) => triplet_focus,
    trained(part, stage, _, shape) {
      const own = part === A || part === B ? 1 : part.startsWith("first") ? 2 : 3;
      return { along: "row", factors: new Float32Array(shape[0]!).fill(own === stage ? 1 : 0) };
    },
  },
  exports: {
    parts: [A!, B!],
    config: (json, { adapter_rank: r, adapter_alpha: alpha }, modules) => ({
      base_model_name_or_path: json.base_model_name_or_path ?? null,
      ...{ bias: "none", fan_in_fan_out: false, inference_mode: true, lora_alpha: alpha, lora_dropout: 0 },
      ...{ modules_to_save: null, peft_type: "LORA", r, target_modules: modules, task_type: "CAUSAL_LM" },
    }),
  },
  linear(layer, x) {
    const { rec, target, tensor, values } = layer;
    const { adapter_rank: r, adapter_alpha: alpha, triplet_nuisance: nuisance } = values;
    const change = (low: Tensor, b: string, rank: number, y: Tensor) =>
      linear(rec, low, tensor(b), { scale: alpha / rank, add: y });
    if (!isMlp(target.module)) return change(linear(rec, x, tensor(A!)), B!, r, layer.whole(x)); // in LoRA's order
    const whole = layer.whole(x);
    if (nuisance === 0 || !rec.training) return whole;
    return NUISANCE.reduce((y, [a, b]) => change(linear(rec, x, tensor(a)), b, nuisance, y), whole);
  },
  fold({ module, transposed, tensor }, { values: { adapter_rank: rank, adapter_alpha: alpha } }) {
    if (isMlp(module)) return {};
    const [a, b] = [tensor(A!).values, tensor(B!).values];
    return { weight: { a, b, rank, scale: alpha / rank, transposed } };
  },
});
