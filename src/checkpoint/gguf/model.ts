/**
 * The Hugging Face side of a GGUF file: tensor names, which rows were reordered, and config.json, for the decoders
 * whose conversion by llama.cpp can be undone exactly.
 */
import { UserError } from "../../errors.ts";
import { show } from "../../json.ts";
import { type Dtype, torchName } from "../dtype.ts";
import type { GgufMetadata } from "./header.ts";
import { ARCHITECTURES, EXPERT, type GgufArchitecture, huggingFaceName } from "./names.ts";
import { numberOf, shortest } from "./numbers.ts";
import { LLAMA3_KEY, ROPE_FACTORS, ropeScaling } from "./rope.ts";

interface Stated {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: Dtype;
}

/**
 * What becomes of a stored tensor: its name; with `heads` its rows go back into order within each head; with `experts`
 * it is cut along its first side, and the parts are named by `name` with EXPERT replaced by their numbers.
 */
export interface Role {
  readonly name: string;
  readonly heads?: number;
  readonly experts?: number;
}

/** What the header says, and how to read what it points to. */
export interface GgufModel {
  readonly ref: string;
  readonly metadata: GgufMetadata;
  readonly tensors: readonly Stated[];
  /** The values of a small F32 tensor. */
  read(name: string): Promise<Float32Array>;
}

/**
 * Roles by stored name (a tensor without one is described by the config instead) and config.json as an object. When the
 * architecture or one of its tensors is unknown, nothing is translated: every tensor keeps its name, without a config.
 * Throws UserError when the metadata contradicts the tensors.
 */
export async function translateGguf(
  given: GgufModel,
): Promise<{ roles: Map<string, Role>; config?: Record<string, unknown> }> {
  const { metadata, tensors, ref } = given;
  const architecture = String(metadata.get("general.architecture"));
  const model = Object.hasOwn(ARCHITECTURES, architecture) ? ARCHITECTURES[architecture] : undefined;
  const named = tensors.filter(({ name }) => name !== ROPE_FACTORS);
  if (model === undefined || named.some(({ name }) => huggingFaceName(name, model.experts) === undefined)) {
    return { roles: new Map(tensors.map(({ name }) => [name, { name }])) };
  }
  const keys = new Keys(metadata, architecture, ref);
  const heads = keys.required("attention.head_count");
  const keyHeads = keys.has("attention.head_count_kv") ? keys.required("attention.head_count_kv") : heads;
  checkCounts(keys, named, ref);
  return {
    roles: model.experts
      ? expertRoles(named, keys.required("expert_count"), ref)
      : rolesOf(named, model.reordered ? { q: heads, k: keyHeads } : undefined, ref),
    config: await configOf(given, keys, model, { heads, keyHeads }),
  };
}

/** Numbers of the metadata under the architecture's name. */
class Keys {
  constructor(
    private readonly metadata: GgufMetadata,
    private readonly architecture: string,
    private readonly ref: string,
  ) {}

  number(key: string): number | undefined {
    return numberOf(this.metadata.get(`${this.architecture}.${key}`));
  }

  /** The value as it stands. */
  stated(key: string): unknown {
    return this.metadata.get(`${this.architecture}.${key}`);
  }

  has(key: string): boolean {
    return this.number(key) !== undefined;
  }

  /** A whole number above 0. Throws UserError when it is absent or something else. */
  required(key: string): number {
    const value = this.number(key);
    if (value !== undefined && Number.isSafeInteger(value) && value > 0) return value;
    const found = this.metadata.get(`${this.architecture}.${key}`);
    throw new UserError(
      `${this.ref}: ${this.architecture}.${key} is ${found === undefined ? "absent" : show(String(found))}, expected a whole number above 0`,
      "the file is damaged",
    );
  }

  /** Refuses a count that the tensors contradict. */
  agree(key: string, tensors: number, what: string): void {
    const stated = this.required(key);
    if (stated === tensors) return;
    throw new UserError(
      `${this.ref}: ${this.architecture}.${key} is ${stated}, but ${what} ${tensors}`,
      "the file is damaged, or a part of a model",
    );
  }
}

/** Holds the sizes of the metadata against the tensors, before anything is made as large as they say. */
function checkCounts(keys: Keys, tensors: readonly Stated[], ref: string): void {
  const blocks = new Set(tensors.flatMap(({ name }) => /^blk\.(\d+)\./.exec(name)?.[1] ?? []));
  keys.agree("block_count", blocks.size, `the blocks with tensors are`);
  for (const { name, shape } of tensors) {
    if (name === "token_embd.weight") keys.agree("embedding_length", shape.at(-1) ?? 1, `${name} has rows of`);
    if (/\.ffn_up\.weight$/.test(name)) keys.agree("feed_forward_length", shape[0] ?? 1, `the rows of ${name} are`);
    const bound = name.startsWith("blk.") && Number(name.split(".")[1]) >= blocks.size;
    if (bound) throw new UserError(`${ref} has ${show(name)}, but only ${blocks.size} blocks`, "the file is damaged");
  }
}

function rolesOf(
  tensors: readonly Stated[],
  heads: { q: number; k: number } | undefined,
  ref: string,
): Map<string, Role> {
  const roles = new Map<string, Role>();
  for (const { name, shape } of tensors) {
    const which = heads && (/\.attn_([qk])\.(?:weight|bias)$/.exec(name)?.[1] as "q" | "k" | undefined);
    if (which === undefined) {
      roles.set(name, { name: huggingFaceName(name)! });
      continue;
    }
    const count = heads![which];
    const rows = shape[0] ?? 0;
    if (rows === 0 || rows % (2 * count) !== 0) {
      throw new UserError(
        `${ref}: ${show(name)} has ${rows} rows, which ${count} heads with rotary pairs cannot share`,
        "the file is damaged, or not a plain llama model",
      );
    }
    roles.set(name, { name: huggingFaceName(name)!, heads: count });
  }
  return roles;
}

/** Roles where one tensor holds a weight of all experts, (E, out, in). */
function expertRoles(tensors: readonly Stated[], experts: number, ref: string): Map<string, Role> {
  return new Map(
    tensors.map(({ name, shape }) => {
      const plain = huggingFaceName(name, true)!;
      if (!plain.includes(EXPERT)) return [name, { name: plain }];
      if (shape.length === 3 && shape[0] === experts) return [name, { name: plain, experts }];
      throw new UserError(
        `${ref}: ${show(name)} is (${shape.join(", ")}), expected ${experts} experts of two sides`,
        "the file is damaged",
      );
    }),
  );
}

/** Keys of a model whose every feed-forward network has experts; llama.cpp rescales the gates of this family. */
const expertConfig = (keys: Keys) => ({
  num_experts: keys.required("expert_count"),
  num_experts_per_tok: keys.required("expert_used_count"),
  moe_intermediate_size: keys.required("expert_feed_forward_length"),
  norm_topk_prob: true,
  decoder_sparse_step: 1,
  mlp_only_layers: [],
});

async function configOf(
  { metadata, tensors, read, ref }: GgufModel,
  keys: Keys,
  model: GgufArchitecture,
  { heads, keyHeads }: { heads: number; keyHeads: number },
): Promise<Record<string, unknown>> {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const embedding = byName.get("token_embd.weight");
  const width = keys.required("embedding_length");
  const rotary = keys.number("rope.dimension_count");
  const headSize = keys.number("attention.key_length") ?? (model.reordered ? rotary : undefined);
  if (rotary !== undefined && rotary !== (headSize ?? width / heads)) {
    throw new UserError(
      `${ref}: rotary embedding turns ${rotary} of the ${headSize ?? width / heads} values of a head`,
      "only heads that are turned whole are supported",
    );
  }
  const theta = keys.number("rope.freq_base") ?? 10000;
  const window = keys.number("attention.sliding_window");
  return {
    architectures: [model.class],
    model_type: model.type,
    hidden_size: width,
    intermediate_size: keys.required("feed_forward_length"),
    num_hidden_layers: keys.required("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: keyHeads,
    ...(headSize === undefined ? {} : { head_dim: headSize }),
    hidden_act: "silu",
    vocab_size: embedding?.shape[0] ?? keys.number("vocab_size"),
    max_position_embeddings: keys.required("context_length"),
    rms_norm_eps: shortest(keys.number("attention.layer_norm_rms_epsilon") ?? 1e-5),
    rope_theta: shortest(theta),
    ...(await ropeScaling((key) => keys.number(key), keys.stated("rope.scaling.type"), {
      factors: byName.has(ROPE_FACTORS) ? await read(ROPE_FACTORS) : undefined,
      formula: metadata.get(LLAMA3_KEY),
      headSize: rotary ?? headSize ?? width / heads,
      theta,
      ref,
    })),
    // Mistral's config has a window of 4096 unless it says that there is none.
    ...(model.type === "mistral" ? { sliding_window: window ?? null } : {}),
    ...(model.experts ? expertConfig(keys) : {}),
    tie_word_embeddings: !byName.has("output.weight"),
    ...(model.reordered
      ? { attention_bias: byName.has("blk.0.attn_q.bias"), mlp_bias: byName.has("blk.0.ffn_gate.bias") }
      : {}),
    ...tokens(metadata),
    torch_dtype: torchName(embedding?.dtype ?? "F32"),
  };
}

/** Ids of the tokens that begin and end a text. */
function tokens(metadata: GgufMetadata): Record<string, number> {
  const found: Record<string, number> = {};
  for (const which of ["bos", "eos"]) {
    const value = numberOf(metadata.get(`tokenizer.ggml.${which}_token_id`));
    if (value !== undefined) found[`${which}_token_id`] = value;
  }
  return found;
}
