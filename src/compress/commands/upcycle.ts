/**
 * `compress upcycle`: a dense model as a mixture. The feed-forward network of every block stays as the expert of all
 * tokens, and becomes the beginning of each of E experts, of which a router chooses. Their matrices are to be trained
 * as ternary ones (train --ternary), so that many take the memory of one. MoTE, 2025, https://arxiv.org/abs/2506.14435
 */
import type { Checkpoint, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { encodeFloats } from "../../checkpoint/decode.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { lineageOf } from "../../checkpoint/lineage/input.ts";
import { open } from "../../checkpoint/open.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import type { Context, Outcome } from "../../cli/context.ts";
import { refuseInputs } from "../../cli/target.ts";
import { UserError } from "../../errors.ts";
import { keyedNormals } from "../../keyed-random.ts";
import { configOf, describeConfig } from "../../model/description.ts";
import { humanBytes } from "../../text/format.ts";
import type { UPCYCLE } from "../upcycle-options.ts";
import { bytesOf, writeCheckpoint } from "./write-checkpoint.ts";

type UpcycleContext = Context<typeof UPCYCLE>;

const FEED_FORWARD = /^((?:model\.)?layers\.\d+\.mlp)\.((?:gate|up|down)_proj\.weight)$/;

/** A router (experts, width): normal values by seed and name, in the type of the weights beside it. */
function router(
  name: string,
  like: TensorEntry,
  [experts, width]: readonly [number, number],
  std: number,
  seed: number,
) {
  const { dtype } = like;
  const bytes = encodeFloats(keyedNormals(experts * width, std, seed, name), dtype);
  return {
    ...{ name, dtype, shape: [experts, width], bytes: experts * width * DTYPE_BYTES[dtype] },
    read(into: Uint8Array, offset: number) {
      into.set(bytes.subarray(offset, offset + into.length));
      return Promise.resolve();
    },
  };
}

/** The tensors of the mixture, block by block in the order of the model. */
function mixed({ tensors }: Checkpoint, { options, seed }: UpcycleContext): Map<string, TensorEntry> {
  const found = new Map<string, TensorEntry>();
  const add = (entry: TensorEntry) => found.set(entry.name, entry);
  for (const entry of tensors.values()) {
    const [, module, layer] = FEED_FORWARD.exec(entry.name) ?? [];
    if (module === undefined || layer === undefined) {
      add(entry);
      continue;
    }
    if (layer.startsWith("gate")) {
      const sizes = [options.experts, entry.shape[1] ?? 1] as const;
      add(router(`${module}.gate.weight`, entry, sizes, options.router_std, seed));
    }
    for (let e = 0; e < options.experts; e++) add({ ...entry, name: `${module}.experts.${e}.${layer}` });
    add({ ...entry, name: `${module}.shared_experts.${layer}` });
  }
  return found;
}

/** Throws UserError for models whose blocks are not Llama's, which the mixture's architecture has. */
export async function upcycle(context: UpcycleContext): Promise<Outcome> {
  const { options, out, seed } = context;
  const { experts, top_k: topK } = options;
  const ref = context.args[0] ?? "-";
  if (topK > experts) throw new UserError(`--top-k ${topK} of --experts ${experts}`, "give --top-k 1");
  const checkpoint = await open(ref, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  refuseInputs(out, [ref]);
  if (isStream(checkpoint))
    throw new UserError("compress upcycle reads each weight several times, and stdin is a stream", "save it to a file");
  const json = configOf(checkpoint);
  const { architecture, config } = await describeConfig(json, ref, (text) => context.warn(text), checkpoint);
  const layout = architecture.dense?.(config);
  if (architecture.name !== "llama" || !layout || layout.bias.mlp)
    throw new UserError(
      `${layout?.bias.mlp ? `${ref} has biases in its feed-forward networks` : `${architecture.name} cannot be upcycled`}`,
      "the mixture is a deepseek, whose blocks are those of llama without biases of the feed-forward network",
    );
  if (checkpoint.live || [...checkpoint.tensors.values()].some(({ patch }) => patch))
    throw new UserError(`${ref} is a model with an adapter on it`, "merge it into the weights first: bun run merge");
  const tensors = mixed(checkpoint, context);
  const own = {
    ...json,
    ...{
      model_type: "deepseek",
      architectures: ["DeepseekForCausalLM"],
      scoring_func: "softmax",
      norm_topk_prob: false,
    },
    ...{ n_routed_experts: experts, num_experts_per_tok: topK, moe_intermediate_size: layout.inner },
    ...{ n_shared_experts: 1, first_k_dense_replace: 0, moe_layer_freq: 1 },
  };
  await describeConfig(own, `the mixture of ${ref}`);
  const text = new TextEncoder().encode(`${JSON.stringify(own, null, 2)}\n`);
  const made = { tensors, files: new Map([...checkpoint.files, ["config.json", text]]) };
  const [before, after] = [bytesOf(checkpoint), bytesOf(made)];
  context.json({ experts, top_k: topK, tensors: tensors.size, bytes: { before, after } });
  if (context.dryRun) {
    if (!options.json) context.print(`${experts} experts a block, ${humanBytes(before)} -> ${humanBytes(after)}`);
    return {};
  }
  const step = { script: "compress upcycle", version: context.version, options: context.chosen, seed };
  const lineage = lineageOf(step, [{ checkpoint, role: "model" }], (text) => context.warn(text));
  await writeCheckpoint(context, made, lineage, options.shards ? { shards: options.shards } : {});
  return {
    output: `${out === "-" ? "stdout" : out} (${humanBytes(after)})`,
    told: `${experts} experts a block, ${topK} of them for a token, beside the feed-forward network that was there`,
  };
}
