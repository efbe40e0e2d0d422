/**
 * `merge dense`: a dense model of a mixture: every layer's feed-forward network is the mean of its experts, or the one
 * that is used most. What all tokens pass through stands beside it, neuron by neuron, which is exact.
 *
 * The mean is Sukhbaatar et al., Branch-Train-MiX, 2024, https://arxiv.org/abs/2403.07816, the other way about, and one
 * group of Li et al., Merge, Then Compress, ICLR 2024, https://arxiv.org/abs/2310.01334.
 */
import type { Context, Outcome } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../model/architecture.ts";
import { describeConfig } from "../../model/description.ts";
import type { LayerRouting } from "../../run/tracing/routing.ts";
import { humanBytes } from "../../text/format.ts";
import { type DensePlace, denseTensor } from "../experts/dense-tensor.ts";
import { denseName } from "../experts/form.ts";
import { type Group, memberWeights } from "../experts/groups.ts";
import { Alignments } from "../experts/merged-experts.ts";
import type { Mixture, MixtureLayer } from "../experts/mixture.ts";
import type { DENSE } from "../experts/options.ts";
import { computed, copied, type MadeTensor } from "../experts/values.ts";
import { measured, onceGpu, openMixture, writeMixture } from "./measured-mixture.ts";
import { expertBytes } from "./msmoe.ts";

type DenseContext = Context<typeof DENSE>;

/** Keys that say how a mixture routes. */
const ROUTING_KEYS = new Set([
  ...["num_experts", "num_local_experts", "n_routed_experts", "num_experts_per_tok", "n_shared_experts", "qkv_bias"],
  ...["moe_intermediate_size", "shared_expert_intermediate_size", "norm_topk_prob", "decoder_sparse_step", "seq_aux"],
  ...["mlp_only_layers", "router_aux_loss_coef", "output_router_logits", "router_jitter_noise", "scoring_func"],
  ...[
    "moe_layer_freq",
    "first_k_dense_replace",
    "aux_loss_alpha",
    "auto_map",
    "routed_scaling_factor",
    "_name_or_path",
  ],
  ...["n_group", "topk_group", "topk_method", "transformers_version"],
]);

function denseConfig({ json, form }: Mixture, inner: number): Json {
  const { type, className } = form.dense(json);
  const kept = Object.entries(json).filter(
    ([key, value]) => !ROUTING_KEYS.has(key) && !(key === "sliding_window" && value === null && type === "llama"),
  );
  return {
    ...Object.fromEntries(kept),
    ...{ architectures: [className], model_type: type, intermediate_size: inner },
    ...(type === "olmoe" ? { num_experts: 1, num_experts_per_tok: 1, norm_topk_prob: false } : {}),
  };
}

const innerOf = ({ experts, shared }: MixtureLayer): number =>
  experts[0]!.gate.shape[0]! + (shared ? shared.gate.shape[0]! : 0);

/** Whether a token's weights sum to one. */
const sumsToOne = ({ form, json, experts, perToken }: Mixture): boolean =>
  form.name === "mixtral" || json.norm_topk_prob === true || perToken === experts;

/** One inner width for all layers. Throws UserError where layers without experts have another. */
function oneWidth({ layers, checkpoint, ref }: Mixture): number {
  const [first] = layers.values();
  const inner = innerOf(first!);
  for (let layer = 0; ; layer++) {
    const entry = checkpoint.tensors.get(denseName(layer, "gate"));
    if (entry && entry.shape[0] !== inner)
      throw new UserError(
        `${ref}: layer ${layer} has no experts and is ${entry.shape[0]} wide, and those with experts become ${inner} wide`,
        "a dense model has one intermediate_size; such a mixture has no dense form",
      );
    if (!entry && !layers.has(layer)) return inner;
  }
}

/** What a layer's dense network is made of. */
function placeOf(
  context: DenseContext,
  mixture: Mixture,
  layer: number,
  routing: LayerRouting | undefined,
): DensePlace {
  const parts = mixture.layers.get(layer)!;
  const { take } = context.options;
  const all = parts.experts.map((_, e) => e);
  const usage = routing?.usage ?? new Float64Array(all.length).fill(1);
  const most = all.reduce((best, e) => (usage[e]! > usage[best]! ? e : best));
  const group: Group = { leader: most, members: take === "most-used" ? [most] : all };
  const alike = new Float64Array(all.length).fill(1);
  const scale = Number(mixture.json.routed_scaling_factor ?? 1);
  return {
    ...{ layer, parts, group },
    weights: memberWeights(group, take === "usage" ? usage : alike),
    routed: scale * (sumsToOne(mixture) ? 1 : (routing?.mass ?? 1)),
    shared: parts.sharedGate ? (routing?.open ?? 0.5) : 1,
  };
}

function tensorsOf(mixture: Mixture, place: (layer: number) => DensePlace, alignments: Alignments): MadeTensor[] {
  const { checkpoint, form, layers } = mixture;
  const isOlmoe = form.name === "olmoe"; // one expert is its dense form
  return [...checkpoint.tensors.values()].flatMap((entry) => {
    const found = form.place(entry.name);
    const parts = found && layers.get(found.layer);
    if (!parts) return [copied(entry, entry.name, undefined)];
    const { layer } = found;
    if (found.part === "router" && isOlmoe)
      return [computed(entry.name, entry.dtype, [1, entry.shape[1]!], () => new Float32Array(entry.shape[1]!))];
    if (found.part !== "expert" || found.expert > 0) return [];
    const name = isOlmoe ? entry.name : denseName(layer, found.matrix);
    return [denseTensor(name, { parts, matrix: found.matrix }, () => place(layer), alignments)];
  });
}

function checkDense({ options }: DenseContext, mixture: Mixture): void {
  if (options.calib !== undefined) return;
  if (options.take !== "average")
    throw new UserError(`--take ${options.take} asks how experts are used`, "give --calib rows.jsonl");
  if (!sumsToOne(mixture))
    throw new UserError(
      `weights of a token's experts do not sum to one in ${mixture.ref} (norm_topk_prob), so that the mean has to be scaled`,
      "give --calib rows.jsonl, on which their sum is measured",
    );
}

export async function mergeDense(context: DenseContext): Promise<Outcome> {
  const { options } = context;
  const opened = await openMixture(context);
  const { mixture } = opened;
  const inner = oneWidth(mixture);
  checkDense(context, mixture);
  if (options.calib === undefined && [...mixture.layers.values()].some(({ sharedGate }) => sharedGate))
    context.warn("the gates of shared experts become the constant 1/2; --calib measures their mean");
  const config = denseConfig(mixture, inner);
  const aligns = options.align && options.take !== "most-used";
  const gpu = onceGpu(context);
  let routing: ReadonlyMap<number, LayerRouting> | undefined;
  const place = (layer: number) => placeOf(context, mixture, layer, routing?.get(layer));
  const tensors = tensorsOf(mixture, place, new Alignments(aligns ? gpu : undefined));
  await expectWhole(tensors, config, mixture);
  return writeMixture(context, opened, {
    script: "merge dense",
    ...{ tensors, config, gpu },
    prepare: async (openGpu) => {
      if (options.calib) routing = await measured(context, opened, openGpu);
    },
    host: expertBytes(mixture),
    facts: [
      ["result", `${String(config.model_type)}, ${inner} wide inside`],
      ["of", `${mixture.experts} experts of ${mixture.form.title} (${mixture.form.name})`],
      ["one mean", humanBytes(expertBytes(mixture))],
    ],
    json: () => ({ architecture: config.model_type, intermediate_size: inner }),
  });
}

/** Throws UserError unless the dense architecture asks for these tensors. */
async function expectWhole(tensors: readonly MadeTensor[], config: Json, { ref }: Mixture): Promise<void> {
  const { architecture, config: read } = await describeConfig(config, `${ref} as a dense model`);
  const made = new Set(tensors.map(({ name }) => name));
  const missing = architecture
    .parameters(read)
    .flatMap(({ name, parts }) => parts ?? [name])
    .find((name) => !made.has(name));
  if (missing !== undefined)
    throw new UserError(
      `${ref} has no tensor ${missing}, which a ${architecture.name} asks for`,
      "such a mixture has no dense form",
    );
}
