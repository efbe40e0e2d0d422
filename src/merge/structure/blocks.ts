/** Blocks of a result: each taken from an input, or the mean of several. */
import { UserError } from "../../errors.ts";
import { configValue, layerOf, mainStack, type NamedModel } from "../../model/names.ts";
import { spellShape } from "../plan/align.ts";
import type { OutlinedTensor, Part } from "./outline.ts";
import type { Scaled } from "./widths.ts";

/** The tensors of an input as they go into the result. */
export interface Source {
  readonly input: number;
  readonly ref: string;
  readonly tensors: ReadonlyMap<string, Scaled>;
}

/** A block of a source. */
export interface Block {
  readonly source: Source;
  readonly layer: number;
}

/** A model as it is. */
export const sourceOf = (input: number, { ref, tensors }: NamedModel): Source => ({
  ...{ input, ref },
  tensors: new Map(
    [...tensors].map(([name, entry]) => [name, { name, shape: entry.shape, views: [{ entry, share: 1 }] }]),
  ),
});

const partsOf = ({ source, name }: { source: Source; name: string }, share: number): Part[] =>
  source.tensors
    .get(name)!
    .views.map((view) => ({ input: source.input, entry: view.entry, share: share * view.share }));

/** The one stack of blocks of a model. Throws UserError where there is none, or no residual stream between blocks. */
export function blocksOf(model: NamedModel, method: string): { readonly prefix: string; readonly count: number } {
  const stack = mainStack(model);
  if (stack && configValue(model.config, "model_type") !== "mlp") return stack;
  throw new UserError(`${method} needs one stack of blocks on a residual stream, and ${model.ref} has none`, undefined);
}

/** Lists of config.json with an entry per block, of which several blocks that become one must have the same. */
const PER_BLOCK = ["layer_types", "layers_block_type", "no_rope_layers", "mlp_only_layers"];

/** Fields that say by a rule on its number what a block is: other numbers, other blocks. */
const BY_NUMBER = ["sliding_window_pattern", "no_rope_layer_interval", "decoder_sparse_step", "first_k_dense_replace"];

/** Architectures whose blocks differ by their number where config.json has no list of them. */
const MIXED = /^(olmo3|cohere2|gemma|exaone4|smollm3|gpt_oss|ministral|qwen3_next|qwen3_5)/;

/** Throws UserError where config.json says what a block is by its number alone. */
export function refuseNumbered({ ref, config }: NamedModel, method: string): void {
  const windows = configValue(config, "use_sliding_window") === true ? ["max_window_layers"] : [];
  const rule = [...BY_NUMBER, ...windows].find((key) => {
    const value = configValue(config, key);
    return typeof value === "number" && value > 1;
  });
  const list = PER_BLOCK.find((key) => {
    const value = configValue(config, key);
    return Array.isArray(value) && value.some((entry) => entry !== value[0]);
  });
  const type = String(configValue(config, "model_type"));
  const listed = PER_BLOCK.some((key) => Array.isArray(configValue(config, key)));
  const key = rule ?? list ?? (MIXED.test(type) && !listed ? `model_type ${type}` : undefined);
  if (key !== undefined)
    throw new UserError(
      `${method} numbers blocks anew, and ${key} of ${ref} says by its number what a block is`,
      "use a model whose blocks are all alike",
    );
}

/**
 * The tensors of a result: those of `donor` outside of its blocks, and for every block the mean of the blocks given.
 * Throws UserError where blocks that become one, or that follow each other, differ in their tensors.
 */
export function stackBlocks(prefix: string, donor: Source, blocks: readonly (readonly Block[])[]): OutlinedTensor[] {
  const tensors: OutlinedTensor[] = [];
  let stacked = false;
  const stack = (): void => {
    if (stacked) return;
    stacked = true;
    const first = restsOf(blocks[0]![0]!, prefix);
    for (const [layer, members] of blocks.entries())
      for (const rest of first.keys())
        tensors.push(blockTensor({ prefix, layer, rest, shape: first.get(rest)! }, members));
    for (const members of blocks) for (const member of members) refuseOthers(member, prefix, first);
  };
  for (const [name, { shape }] of donor.tensors) {
    if (layerOf(name)?.prefix === prefix) stack();
    else tensors.push({ name, shape, parts: partsOf({ source: donor, name }, 1) });
  }
  return tensors;
}

/** Tensors of a block, by what stands after its number. */
function restsOf({ source, layer }: Block, prefix: string): Map<string, readonly number[]> {
  const rests = new Map<string, readonly number[]>();
  for (const [name, { shape }] of source.tensors) {
    const place = layerOf(name);
    if (place?.prefix === prefix && place.index === layer) rests.set(place.rest, shape);
  }
  return rests;
}

function refuseOthers(block: Block, prefix: string, wanted: ReadonlyMap<string, unknown>): void {
  for (const rest of restsOf(block, prefix).keys()) {
    if (wanted.has(rest)) continue;
    const name = `${prefix}.${block.layer}.${rest}`;
    throw new UserError(`${name} of ${block.source.ref} has no like in other blocks`, "blocks must be alike");
  }
}

interface Place {
  readonly prefix: string;
  readonly layer: number;
  readonly rest: string;
  readonly shape: readonly number[];
}

function blockTensor({ prefix, layer, rest, shape }: Place, members: readonly Block[]): OutlinedTensor {
  const parts = members.flatMap(({ source, layer: from }) => {
    const name = `${prefix}.${from}.${rest}`;
    const found = source.tensors.get(name);
    if (!found) throw new UserError(`${source.ref} has no ${name}`, "blocks must be alike");
    if (String(found.shape) !== String(shape))
      throw new UserError(
        `${name} of ${source.ref} is ${spellShape(found.shape)}, and ${spellShape(shape)} in other blocks`,
        "blocks must be of one size",
      );
    return partsOf({ source, name }, 1 / members.length);
  });
  return { name: `${prefix}.${layer}.${rest}`, shape, parts };
}
