/**
 * Copies of blocks that do nothing yet: what writes to the residual stream is 0 in them. So the result computes what
 * the model does, and a copy takes part as soon as it is trained.
 */
import { UserError } from "../../errors.ts";
import { layerOf, type NamedModel } from "../../model/names.ts";
import { refuseNumbered, renumbered } from "../../model/structure/numbered.ts";
import { blocksOf } from "./blocks.ts";
import type { Outline, OutlinedTensor } from "./outline.ts";

/** What writes to the residual stream, by what stands after the block's number: of attention, and of the network. */
const WRITES = [
  /^(self_attn|linear_attn)\.(o_proj|out_proj)\.|^attn\.c_proj\.|^attention\.dense\.|^attention\.output\.dense\./,
  /(^|\.)(down_proj|w2|dense_4h_to_h|fc2)(\.weight|\.bias|_bias)?$|^mlp\.c_proj\.|^output\.dense\./,
] as const;

/** Norms after the addition, of BERT and its kin and of norm_decoder: a block of them is never the identity. */
const POST_NORM = /^(attention\.output\.LayerNorm|sa_layer_norm|(attention|feedforward)_sum_layernorm)\./;

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

/** The model with a copy that adds nothing behind each of these blocks. Throws UserError where there is none. */
export function expanded(model: NamedModel, chosen: string | number): Outline {
  const { prefix, count } = blocksOf(model, "expand");
  refuseNumbered(model, "expand");
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
    fields: renumbered(model, origins, "expand"),
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
