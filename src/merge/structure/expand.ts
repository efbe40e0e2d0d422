/**
 * Copies of blocks that do nothing yet: what writes to the residual stream is 0 in them. So the result computes what
 * the model does, and a copy takes part as soon as it is trained.
 */
import { UserError } from "../../errors.ts";
import { configValue, layerOf, type NamedModel } from "../../model/names.ts";
import { blocksOf } from "./blocks.ts";
import type { Outline, OutlinedTensor } from "./outline.ts";

/** What writes to the residual stream, by what stands after the block's number: of attention, and of the network. */
const WRITES = [
  /^(self_attn|linear_attn)\.(o_proj|out_proj)\.|^attn\.c_proj\.|^attention\.dense\.|^attention\.output\.dense\./,
  /(^|\.)(down_proj|w2|dense_4h_to_h|fc2)(\.weight|\.bias|_bias)?$|^mlp\.c_proj\.|^output\.dense\./,
] as const;

/** Norms after the addition, of BERT and its kin and of norm_decoder: a block of them is never the identity. */
const POST_NORM = /^(attention\.output\.LayerNorm|sa_layer_norm|(attention|feedforward)_sum_layernorm)\./;

/** Numbers that say by a rule what a block is, unless a list says it block by block. */
const BY_NUMBER = ["sliding_window_pattern", "no_rope_layer_interval", "full_attention_interval"];
const LISTS = ["layer_types", "layers_block_type", "no_rope_layers"];

/** Architectures whose blocks differ by their number where config.json has no list of them; some with windows alone. */
const MIXED = /^(olmo3|cohere2|gemma|smollm3|gpt_oss|qwen3_next|qwen3_5)/;
const MIXED_WINDOWS = /^(exaone4|ministral)/;

/** The blocks of "1,5-7", or of one number, ascending. Throws UserError. */
export function blockList(text: string | number, count: number): number[] {
  const wrong = (why: string) => new UserError(`--layers ${text}: ${why}`, `the model has the blocks 0-${count - 1}`);
  const found = `${text}`.split(",").flatMap((part) => {
    const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(part.trim()) ?? [];
    if (first === undefined || Number(first) > Number(last)) throw wrong(`${part.trim()} is no block, and no range`);
    if (Number(last) >= count) throw wrong(`there is no block ${last}`);
    return Array.from({ length: Number(last) - Number(first) + 1 }, (_, i) => Number(first) + i);
  });
  const twice = found.find((layer, i) => found.indexOf(layer) !== i);
  if (twice !== undefined) throw wrong(`block ${twice} comes twice`);
  return found.sort((a, b) => a - b);
}

/** Throws UserError where config.json says what a block is by its number alone. */
function refuseNumbered({ ref, config }: NamedModel): void {
  if (LISTS.some((key) => Array.isArray(configValue(config, key)))) return;
  const type = String(configValue(config, "model_type"));
  const windows = configValue(config, "use_sliding_window") === true ? ["max_window_layers"] : [];
  const rule = [...BY_NUMBER, ...windows].find((key) => typeof configValue(config, key) === "number");
  const isMixed =
    MIXED.test(type) || (MIXED_WINDOWS.test(type) && typeof configValue(config, "sliding_window") === "number");
  if (rule === undefined && !isMixed) return;
  throw new UserError(
    `${rule ?? `model_type ${type}`} of ${ref} says by its number what a block is, and expand numbers blocks anew`,
    "write layer_types with an entry per block into its config.json, as newer versions of transformers do",
  );
}

/** Fields that name blocks by their numbers, for blocks in another order. */
function renumbered({ ref, config }: NamedModel, origins: readonly number[]): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  const dense = configValue(config, "mlp_only_layers");
  if (Array.isArray(dense)) fields.mlp_only_layers = [...origins.keys()].filter((at) => dense.includes(origins[at]));
  const first = configValue(config, "first_k_dense_replace");
  if (typeof first === "number") fields.first_k_dense_replace = origins.filter((layer) => layer < first).length;
  const sparse = configValue(config, "decoder_sparse_step");
  if (typeof sparse === "number" && sparse > 1)
    throw new UserError(
      `decoder_sparse_step of ${ref} says by its number which block has experts, and expand numbers blocks anew`,
      "use a model whose blocks all have experts, or none",
    );
  return fields;
}

/** The model with a copy that adds nothing behind each of these blocks. Throws UserError where there is none. */
export function expanded(model: NamedModel, chosen: string | number): Outline {
  const { prefix, count } = blocksOf(model, "expand");
  refuseNumbered(model);
  const copied = new Set(blockList(chosen, count));
  const origins = Array.from({ length: count }, (_, layer) => (copied.has(layer) ? [layer, layer] : [layer])).flat();
  const places = [...model.tensors].flatMap(([name, entry]) => {
    const layer = layerOf(name);
    return layer?.prefix === prefix ? [{ ...layer, entry }] : [];
  });
  const blocks = Map.groupBy(places, ({ index }) => index);
  for (const layer of copied)
    expectIdentity(
      model.ref,
      layer,
      blocks.get(layer)!.map(({ rest }) => rest),
    );
  const stack = (): OutlinedTensor[] =>
    origins.flatMap((origin, layer) =>
      blocks.get(origin)!.map(({ rest, entry }) => {
        const isCopy = origins[layer - 1] === origin;
        const share = isCopy && WRITES.some((write) => write.test(rest)) ? 0 : 1;
        return { name: `${prefix}.${layer}.${rest}`, shape: entry.shape, parts: [{ input: 0, entry, share }] };
      }),
    );
  let stacked = false;
  const tensors = [...model.tensors].flatMap(([name, entry]): OutlinedTensor[] => {
    if (layerOf(name)?.prefix !== prefix) return [{ name, shape: entry.shape, parts: [{ input: 0, entry, share: 1 }] }];
    if (stacked) return [];
    stacked = true;
    return stack();
  });
  const added = [...origins.keys()].filter((layer) => origins[layer - 1] === origins[layer]);
  return {
    tensors,
    stacks: [{ prefix, before: count, origins }],
    fields: renumbered(model, origins),
    notes: [`the copies are ${added.join(", ")}; to train these alone: ${trainOnly(prefix, added)}`],
  };
}

const trainOnly = (prefix: string, added: readonly number[]): string =>
  added.map((layer) => `--train-only '${prefix}.${layer}.*'`).join(" ");

/** Throws UserError for a block that would add something though its last matrices are 0. */
function expectIdentity(ref: string, layer: number, rests: readonly string[]): void {
  const isWhole = WRITES.every((write) => rests.some((rest) => write.test(rest)));
  if (isWhole && !rests.some((rest) => POST_NORM.test(rest))) return;
  throw new UserError(
    `block ${layer} of ${ref} is no sum of attention and a network on a residual stream that is normalised before them`,
    "expand copies blocks of decoders and of vision transformers",
  );
}
