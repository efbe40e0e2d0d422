/**
 * A smaller model cut out of a larger one: which blocks, heads and hidden units stay. What is left computes what the
 * whole model does with all else silent, since the residual stream keeps its width.
 *
 * What the architectures can hold: config.json of the Llama family has one number of heads and one of hidden units for
 * all blocks, so every block keeps as many, and heads of keys and values stay or go with the query heads that read
 * them. GPT-2 and ViT list the heads that are gone block by block (`pruned_heads`), and have one number of hidden
 * units. Perceptrons have a number for each layer, and no blocks to leave out.
 */
import { UserError } from "../../errors.ts";
import { PRUNED, prunedIn } from "../blocks/pruned-heads.ts";
import { type Config, configValue, LAYER_KEYS, layerOf, mainStack, TEXT_CONFIGS } from "../names.ts";
import { type Anatomy, anatomyOf, type ShapedModel, type Space, spacesBeside } from "./anatomy.ts";
import type { Picked } from "./gather.ts";
import { refuseNumbered, renumbered } from "./numbered.ts";
import { placesOf, type Units } from "./picked.ts";

/** What stays of a model. */
export interface Kept {
  /** Blocks, rising; all when left out. */
  readonly layers?: readonly number[] | undefined;
  /** Units by space of the whole model (`heads@…`, `kv@…`, `inner@…`), rising; all of one that is left out. */
  readonly units: Units;
  /** Of these, units that are read by zeros: they fill a block up to the number that config.json has for all. */
  readonly silent?: Units | undefined;
}

/** A tensor of the smaller model. */
export interface SlicedTensor {
  readonly name: string;
  /** Of the whole model. */
  readonly from: string;
  readonly shape: readonly number[];
  readonly picked: Picked;
}

export interface Slice {
  readonly tensors: readonly SlicedTensor[];
  /** config.json of the smaller model. */
  readonly config: Config;
}

/** A space whose units may go: heads with what they share, or the hidden units of a network. */
export interface WidthSpace {
  readonly id: string;
  readonly kind: "heads" | "inner";
  /** Number of its block; of a perceptron, of its layer. */
  readonly layer: number;
  readonly units: number;
}

const PER_LAYER = ["layer_types", "layers_block_type", "no_rope_layers", "block_configs"];
const EXPERT = /\.(experts\.\d+|shared_experts?)(\.|$)/;
const HEAD_NORM = /self_attn\.(q|k|query|key)_(?:layer)?norm\.weight$/;

/** The number of the block, or layer, that a space is of. */
const layerIn = (id: string) => layerOf(`${id.slice(id.indexOf("@") + 1)}.x`);

/** Spaces of a kind in the order of their blocks; those of experts are left out. */
function inOrder({ spaces }: Pick<Anatomy, "spaces">, begins: string): Space[] {
  const own = [...spaces.values()].filter(({ id }) => id.startsWith(begins) && !EXPERT.test(id));
  return own.sort((a, b) => (layerIn(a.id)?.index ?? 0) - (layerIn(b.id)?.index ?? 0));
}

/** Heads by groups that share keys and values, and hidden units, of every block. Those of experts are left out. */
export function widthSpaces(anatomy: Anatomy): WidthSpace[] {
  const as = (kind: "heads" | "inner", own: readonly Space[]): WidthSpace[] =>
    own.map(({ id, units }) => ({ id, kind, layer: layerIn(id)?.index ?? 0, units }));
  const grouped = inOrder(anatomy, "kv@");
  return [
    ...as("heads", grouped.length > 0 ? grouped : inOrder(anatomy, "heads@")),
    ...as("inner", inOrder(anatomy, "inner@")),
  ];
}

/** The units with the query heads that read the heads of keys and values among them. */
export function withReaders(units: Units, { spaces }: Anatomy): Units {
  const all = new Map(units);
  for (const [id, own] of units) {
    const queries = spaces.get(id.replace(/^kv@/, "heads@"));
    if (!id.startsWith("kv@") || !queries) continue;
    const group = queries.units / spaces.get(id)!.units;
    all.set(
      queries.id,
      Int32Array.from({ length: own.length * group }, (_, i) => own[Math.floor(i / group)]! * group + (i % group)),
    );
  }
  return all;
}

/** Throws UserError for units that cannot go without changing what the others compute, or that are not known. */
function check(model: ShapedModel, anatomy: Anatomy, units: Units): void {
  for (const [id, own] of units) {
    const space = anatomy.spaces.get(id);
    const rises = own.every((unit, i) => unit >= 0 && unit < (space?.units ?? 0) && unit > (own[i - 1] ?? -1));
    if (!space || own.length === 0 || !rises) throw new RangeError(`${id} has no units ${own.join(", ")}`);
    if (EXPERT.test(id))
      throw new UserError(`${model.ref} has experts, whose hidden units stay as they are`, "prune whole experts");
  }
  for (const [name, axes] of anatomy.axes)
    if (HEAD_NORM.test(name) && axes.flat().some(({ space }) => space !== undefined && units.has(space)))
      throw new UserError(
        `${model.ref} normalises queries and keys over all heads together, so none can go without changing the others`,
        "keep all heads, and cut hidden units or blocks",
      );
  const lost = anatomy.unknown.find((name) => spacesBeside(name, anatomy).some((id) => units.has(id)));
  if (lost !== undefined)
    throw new UserError(
      `what the sides of ${lost} in ${model.ref} stand for is not known, and units beside it are to go`,
      "widths are cut in decoders of the Llama family, gpt2, vit, mlp and mlp-tasks",
    );
}

/** The one number of what every block keeps. Throws UserError where they differ. */
function evenCount(
  model: ShapedModel,
  anatomy: Anatomy,
  kept: Kept,
  kind: "heads" | "kv" | "inner",
): number | undefined {
  const ids = inOrder(anatomy, `${kind}@`);
  const stack = mainStack(model);
  const stays = ids.filter(({ id }) => {
    const layer = layerIn(id);
    return layer?.prefix !== stack?.prefix || kept.layers === undefined || kept.layers.includes(layer!.index);
  });
  const counts = new Set(stays.map(({ id, units }) => kept.units.get(id)?.length ?? units));
  if (counts.size > 1)
    throw new UserError(
      `blocks of ${model.ref} would keep ${[...counts].join(" and ")} ${kind === "inner" ? "hidden units" : "heads"}, and config.json has one number for all`,
      "keep as many in every block",
    );
  const touched = ids.some(({ id }) => kept.units.has(id));
  return touched ? [...counts][0] : undefined;
}

/** Sets a field where the config has one of its names, else under the last of them. */
function setField(config: Config, keys: readonly string[], value: unknown): void {
  const inner = TEXT_CONFIGS.map((key) => config[key]).filter((one) => typeof one === "object" && one !== null);
  for (const place of [config, ...(inner as Config[])]) {
    const key = keys.find((name) => place[name] !== undefined && place[name] !== null);
    if (key !== undefined) {
      place[key] = value;
      return;
    }
  }
  config[keys.at(-1)!] = value;
}

/** `pruned_heads` of the smaller model: numbers are those of the model that lost its first head. */
function prunedAfter(config: Config, anatomy: Anatomy, kept: Kept, heads: number): Record<string, number[]> {
  const found: Record<string, number[]> = {};
  const spaces = new Map(inOrder(anatomy, "heads@").map(({ id }) => [layerIn(id)?.index ?? 0, id]));
  for (const [now, before] of (kept.layers ?? [...spaces.keys()]).entries()) {
    const gone = prunedIn(config[PRUNED], before);
    const left = Array.from({ length: heads }, (_, head) => head).filter((head) => !gone.includes(head));
    const own = kept.units.get(spaces.get(before) ?? "");
    const stays = new Set(own ? [...own].map((place) => left[place]!) : left);
    const out = Array.from({ length: heads }, (_, head) => head).filter((head) => !stays.has(head));
    if (out.length > 0) found[now] = out;
  }
  return found;
}

/** config.json of what is left. */
function configAfter(model: ShapedModel, anatomy: Anatomy, kept: Kept, stack: string | undefined): Config {
  const config: Config = structuredClone(model.config ?? {});
  const type = configValue(config, "model_type");
  const lengthOf = (id: string, units: number) => kept.units.get(id)?.length ?? units;
  if (type === "mlp" || type === "mlp-tasks") {
    const sizes = (part: string) => inOrder(anatomy, part).map(({ id, units }) => lengthOf(id, units));
    config.hidden_sizes = sizes("inner@layers.");
    if (config.task_head_sizes !== undefined) config.task_head_sizes = sizes("inner@decoders.");
    return config;
  }
  const inner = evenCount(model, anatomy, kept, "inner");
  const innerKey = type === "gpt2" ? "n_inner" : type === "distilbert" ? "hidden_dim" : "intermediate_size";
  if (inner !== undefined) setField(config, [innerKey], inner);
  const isListed = type === "gpt2" || type === "vit";
  if (isListed) {
    const heads = configValue(config, "n_head", "num_attention_heads");
    const pruned = prunedAfter(config, anatomy, kept, typeof heads === "number" ? heads : 12);
    delete config[PRUNED];
    if (Object.keys(pruned).length > 0) config[PRUNED] = pruned;
  } else if ([...kept.units.keys()].some((id) => /^(heads|kv)@/.test(id))) {
    const [heads, kv] = [evenCount(model, anatomy, kept, "heads"), evenCount(model, anatomy, kept, "kv")];
    const [width, before] = [configValue(config, "hidden_size"), configValue(config, "num_attention_heads")];
    if (configValue(config, "head_dim") === undefined && typeof width === "number" && typeof before === "number")
      setField(config, ["head_dim"], width / before);
    if (heads !== undefined) setField(config, ["num_attention_heads"], heads);
    if (kv !== undefined) setField(config, ["num_key_value_heads"], kv);
  }
  if (kept.layers && stack !== undefined) cutLayers(model, config, kept.layers);
  return config;
}

/** Fields that count blocks or list something for each. */
function cutLayers(model: ShapedModel, config: Config, layers: readonly number[]): void {
  const isFirst = layers.every((layer, i) => layer === i);
  if (!isFirst) {
    refuseNumbered(model, "a model without some of its blocks");
    for (const [key, value] of Object.entries(renumbered(model, layers, "a model without some of its blocks")))
      setField(config, [key], value);
  }
  setField(config, LAYER_KEYS, layers.length);
  for (const key of PER_LAYER) {
    const list = configValue(config, key);
    if (Array.isArray(list) && layers.every((layer) => layer < list.length))
      setField(
        config,
        [key],
        layers.map((layer) => list[layer] as unknown),
      );
  }
}

/**
 * The tensors and the config of what stays. Throws UserError for a model whose parts are not known, or that cannot hold
 * what is asked; RangeError for units and blocks that are not there.
 */
export function sliceOf(model: ShapedModel, kept: Kept, anatomy: Anatomy = anatomyOf(model)): Slice {
  check(model, anatomy, kept.units);
  const stack = mainStack(model);
  const type = configValue(model.config, "model_type");
  const { layers } = kept;
  const hasBlocks = stack !== undefined && type !== "mlp" && type !== "mlp-tasks";
  if (layers && !hasBlocks)
    throw new UserError(`${model.ref} has no blocks on a residual stream that could be left out`, "keep all layers");
  if (
    layers &&
    (layers.length === 0 || layers.some((layer, i) => layer >= stack!.count || layer <= (layers[i - 1] ?? -1)))
  )
    throw new RangeError(`${model.ref} has ${stack!.count} blocks, and ${layers.join(", ")} are to stay`);
  const tensors: SlicedTensor[] = [];
  for (const [from, { shape }] of model.tensors) {
    const place = layerOf(from);
    const isBlock = layers !== undefined && place?.prefix === stack!.prefix;
    const now = isBlock ? layers.indexOf(place.index) : undefined;
    if (now === -1) continue;
    const name = now === undefined ? from : `${stack!.prefix}.${now}.${place!.rest}`;
    const axes = anatomy.axes.get(from) ?? [];
    const silent = anatomy.inputs.get(from) ?? -1;
    const [rows, columns] = axes.map((axis, side) =>
      placesOf(axis, kept.units, side === silent ? kept.silent : undefined),
    );
    const picked = { rows, columns };
    const sides = axes.map((axis) => placesOf(axis, kept.units)?.length);
    tensors.push({ name, from, shape: shape.map((length, i) => sides[i] ?? length), picked });
  }
  return { tensors, config: configAfter(model, anatomy, kept, stack?.prefix) };
}
