/**
 * What the sides of a model's matrices stand for: hidden units of a feed-forward network, heads, coordinates of the
 * residual stream. Parts of one kind can change places, be paired or be joined, if all tensors that have them follow.
 *
 * Read off names, shapes and the numbers of heads in config.json. What is not known is listed, never guessed.
 */
import { PRUNED, prunedIn } from "../blocks/pruned-heads.ts";
import { type Config, configValue, isEmbedding, isHead, layerOf } from "../names.ts";

/** What is read of a model: names, shapes and config. */
export interface ShapedModel {
  readonly ref: string;
  readonly config: Config | undefined;
  readonly tensors: ReadonlyMap<string, { readonly shape: readonly number[] }>;
  readonly stacks: ReadonlyMap<string, { readonly prefix: string; readonly count: number }>;
}

/** Parts of a model that are alike: `inner@model.layers.3`, `heads@model.layers.3`, `width`. */
export interface Space {
  readonly id: string;
  readonly kind: Kind;
  readonly units: number;
}

export type Kind = "width" | "inner" | "heads" | "kv";

/** A stretch of an axis: `units` parts of `size` values each, of a space; of none where its places are fixed. */
export interface Run {
  readonly space?: string;
  readonly units: number;
  readonly size: number;
}

export type Axis = readonly Run[];

export interface Anatomy {
  readonly spaces: ReadonlyMap<string, Space>;
  /** Of every known tensor, its axes; those after the second are part of the second. */
  readonly axes: ReadonlyMap<string, readonly Axis[]>;
  /** The axis along which a tensor reads; tables, norms and biases read nothing. */
  readonly inputs: ReadonlyMap<string, number>;
  /** Tensors whose sides are not known. */
  readonly unknown: readonly string[];
}

/** What a linear layer reads and writes; several where they lie in one matrix, one after the other. */
interface Rule {
  readonly module: RegExp;
  readonly out: readonly (Kind | "fixed")[];
  readonly into: Kind | "fixed";
  /** Stored (in, out). */
  readonly transposed?: true;
}

const GATED = "(?:gate_proj|up_proj|w1|w3)";
const EXPERT = "(?:(?:mlp|block_sparse_moe)\\.)?(?:experts\\.\\d+\\.|shared_experts?\\.)?(?:mlp\\.)?";
const rule = (module: string, out: Rule["out"], into: Rule["into"], transposed?: true): Rule => ({
  module: new RegExp(`^${module}$`),
  ...{ out, into, ...(transposed && { transposed }) },
});

/** Modules of a block, by what stands after its number. */
const RULES: readonly Rule[] = [
  rule("self_attn\\.q_proj", ["heads"], "width"),
  rule("self_attn\\.[kv]_proj", ["kv"], "width"),
  rule("self_attn\\.qkv_proj", ["heads", "kv", "kv"], "width"),
  rule("self_attn\\.(?:o_proj|out_proj)", ["width"], "heads"),
  rule(`${EXPERT}${GATED}`, ["inner"], "width"),
  rule(`${EXPERT}gate_up_proj`, ["inner", "inner"], "width"),
  rule(`${EXPERT}(?:down_proj|w2)`, ["width"], "inner"),
  rule("(?:mlp|block_sparse_moe)\\.(?:gate|shared_expert_gate)", ["fixed"], "width"),
  rule("attn\\.c_attn", ["heads", "heads", "heads"], "width", true),
  rule("attn\\.c_proj", ["width"], "heads", true),
  rule("mlp\\.c_fc", ["inner"], "width", true),
  rule("mlp\\.c_proj", ["width"], "inner", true),
  rule("attention\\.query_key_value", ["heads"], "width"), // every head's q, k and v together
  rule("attention\\.dense", ["width"], "heads"),
  rule("mlp\\.(?:dense_h_to_4h|fc1)", ["inner"], "width"),
  rule("mlp\\.(?:dense_4h_to_h|fc2)", ["width"], "inner"),
  rule("attention\\.(?:self|attention)\\.(?:query|key|value)", ["heads"], "width"),
  rule("attention\\.output\\.dense", ["width"], "heads"),
  rule("attention\\.[qkv]_lin", ["heads"], "width"),
  rule("attention\\.out_lin", ["width"], "heads"),
  rule("(?:intermediate\\.dense|ffn\\.lin1)", ["inner"], "width"),
  rule("(?:output\\.dense|ffn\\.lin2)", ["width"], "inner"),
];

const NORM = /(norm\w*|ln_\w+)\.(weight|bias)$/i;

/** Where a tensor's spaces lie: its block, and in it the expert. */
function placeOf(prefix: string, rest: string): string {
  const expert = /(?:experts\.\d+|shared_experts?)(?=\.)/.exec(rest)?.[0];
  return `@${prefix}${expert === undefined ? "" : `.${expert}`}`;
}

const fixed = (length: number): Axis => [{ units: length, size: 1 }];

const all = (axes: readonly (Axis | undefined)[]): Axis[] | undefined =>
  axes.includes(undefined) ? undefined : (axes as Axis[]);

/** Sizes that config.json states; undefined where it does not. */
interface Sizes {
  readonly width: number | undefined;
  readonly heads: number | undefined;
  readonly kv: number | undefined;
  readonly headDim: number | undefined;
  /** Queries and keys are normalised over all heads together, not head by head. */
  readonly normsAll: boolean;
  /** Heads that were taken out of a block. */
  readonly pruned: (layer: number) => number;
}

/** A norm of queries or keys, and which. */
const HEAD_NORM = /self_attn\.(q|k|query|key)_(?:layer)?norm\.weight$/;

function sizesOf({ config, tensors }: ShapedModel): Sizes {
  const count = (...keys: string[]) => {
    const value = configValue(config, ...keys);
    return Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : undefined;
  };
  const width = count("hidden_size", "n_embd", "dim", "d_model");
  const heads = count("num_attention_heads", "n_head", "n_heads");
  const headDim = count("head_dim") ?? (width && heads && width / heads);
  // Where there is but one head of keys, its norm alone does not tell.
  const normsAll = [...tensors].some(([name, { shape }]) => HEAD_NORM.test(name) && shape[0] !== headDim);
  const pruned = (layer: number) => prunedIn(configValue(config, PRUNED), layer).length;
  return { width, heads, kv: count("num_key_value_heads") ?? heads, headDim, normsAll, pruned };
}

/** The sizes of a block, from which heads may be gone. */
function sizesIn(layer: number, sizes: Sizes): Sizes {
  const gone = sizes.pruned(layer);
  return gone === 0 || sizes.heads === undefined ? sizes : { ...sizes, heads: sizes.heads - gone };
}

/** An axis of one or more stretches; heads of q, k and v have one size. Undefined where the length does not fit. */
function axisOf(kinds: Rule["out"], length: number, place: string, sizes: Sizes): Axis | undefined {
  if (kinds[0] === "fixed") return fixed(length);
  if (kinds[0] === "width") return length === sizes.width ? [{ space: "width", units: length, size: 1 }] : undefined;
  const counts = kinds.map((kind) => (kind === "heads" || kind === "kv" ? sizes[kind] : length / kinds.length));
  const size = length / counts.reduce<number>((sum, count) => sum + (count ?? Number.NaN), 0);
  if (!counts.every(Number.isInteger) || !Number.isInteger(size) || size < 1) return undefined;
  return kinds.map((kind, i) => ({ space: `${kind}${place}`, units: counts[i]!, size }));
}

/** Tensors of a block, by their module. */
function ofBlock(place: string, rest: string, shape: readonly number[], sizes: Sizes): Axis[] | undefined {
  const axis = (kinds: Rule["out"], length: number) => axisOf(kinds, length, place, sizes);
  if (rest === "self_attn.sinks") return all([axis(["heads"], shape[0]!)]);
  const [, of] = HEAD_NORM.exec(rest) ?? [];
  if (of !== undefined) {
    // One gain for every head, or a norm over all heads together.
    if (!sizes.normsAll) return [fixed(shape[0]!)];
    return all([axis([of.startsWith("q") ? "heads" : "kv"], shape[0]!)]);
  }
  const [, module, part] = /^(.+)\.(weight|bias)$/.exec(rest) ?? [];
  const found = module === undefined ? undefined : RULES.find(({ module: pattern }) => pattern.test(module));
  if (!found) return undefined;
  if (part === "bias") return all([axis(found.out, shape[0]!)]);
  const [rows, columns] = found.transposed ? [shape[1]!, shape[0]!] : [shape[0]!, shape[1]!];
  const sides = [axis(found.out, rows), axis([found.into], columns)];
  return all(found.transposed ? sides.reverse() : sides);
}

/** Tensors outside of blocks: tables, heads and last norms. */
function ofRest(name: string, shape: readonly number[], sizes: Sizes): Axis[] | undefined {
  if (!(isHead(name) || isEmbedding(name) || /(^|\.)(wpe|score)\./.test(name))) return undefined;
  return shape.length === 2 ? all([fixed(shape[0]!), axisOf(["width"], shape[1]!, "", sizes)]) : undefined;
}

/** Layers of a classifier of vectors, each of which reads what the one before writes, with its batch norm. */
function ofClassifier(name: string, shape: readonly number[], layers: number): Axis[] | undefined {
  const side = (layer: number, length: number): Axis =>
    layer < 0 || layer === layers ? fixed(length) : [{ space: `inner@layers.${layer}`, units: length, size: 1 }];
  const [, norm] = /^norms\.(\d+)\.(?:weight|bias|running_mean|running_var|num_batches_tracked)$/.exec(name) ?? [];
  if (norm !== undefined) return shape.map((length) => side(Number(norm), length));
  const [, index, , part] = /^(?:layers\.(\d+)|(classifier|domain_heads\.\d+))\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return undefined;
  const at = index === undefined ? layers : Number(index);
  return part === "bias" ? [side(at, shape[0]!)] : [side(at, shape[0]!), side(at - 1, shape[1]!)];
}

/** Those of a classifier of several tasks: the trunk, and behind it a decoder for each task, or its head alone. */
function ofTasks(name: string, shape: readonly number[], layers: number, model: ShapedModel): Axis[] | undefined {
  if (/^(fronts|gates|gate_pool)\b/.test(name)) return shape.map(fixed);
  const [, kind, task, part] = /^(decoders|heads)\.(\d+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return ofClassifier(name, shape, layers);
  const inner = (space: string, length: number): Axis => [{ space: `inner@${space}`, units: length, size: 1 }];
  const decoder = `decoders.${task}`;
  const out = kind === "decoders" ? inner(decoder, shape[0]!) : fixed(shape[0]!);
  if (part === "bias") return [out];
  const isBehind = kind === "heads" && model.tensors.has(`${decoder}.weight`);
  if (isBehind) return [out, inner(decoder, shape[1]!)];
  return [out, layers === 0 ? fixed(shape[1]!) : inner(`layers.${layers - 1}`, shape[1]!)];
}

function axesOf(name: string, shape: readonly number[], model: ShapedModel, sizes: Sizes): Axis[] | undefined {
  const type = configValue(model.config, "model_type");
  const layers = model.stacks.get("layers")?.count ?? 0;
  if (type === "mlp") return ofClassifier(name, shape, layers);
  if (type === "mlp-tasks") return ofTasks(name, shape, layers, model);
  if (
    NORM.test(name) &&
    shape.length === 1 &&
    shape[0] === sizes.width &&
    !/\.(self_attn|mlp|ffn|feed_forward)\./.test(name)
  )
    return all([axisOf(["width"], shape[0]!, "", sizes)]);
  const layer = layerOf(name);
  if (!layer) return ofRest(name, shape, sizes);
  const place = placeOf(`${layer.prefix}.${layer.index}`, layer.rest);
  return ofBlock(place, layer.rest, shape, sizesIn(layer.index, sizes));
}

/** Rows that are looked up, not multiplied. */
const isTable = (name: string): boolean => isEmbedding(name) || /(^|\.)wpe\./.test(name);

/** Whether a layer's weight is stored (in, out). */
function isTransposed(name: string): boolean {
  const module = layerOf(name)?.rest.replace(/\.weight$/, "");
  return module !== undefined && RULES.some(({ module: pattern, transposed }) => transposed && pattern.test(module));
}

/** What the sides of all tensors of a model stand for. */
export function anatomyOf(model: ShapedModel): Anatomy {
  const sizes = sizesOf(model);
  const spaces = new Map<string, Space>();
  const axes = new Map<string, readonly Axis[]>();
  const inputs = new Map<string, number>();
  const unknown: string[] = [];
  for (const [name, { shape }] of model.tensors) {
    const found = axesOf(name, shape, model, sizes);
    const runs = found?.flat().filter(({ space }) => space !== undefined) ?? [];
    const fills = found?.every((axis, i) => axis.reduce((sum, { units, size }) => sum + units * size, 0) === shape[i]);
    const agrees = runs.every(({ space, units }) => (spaces.get(space!)?.units ?? units) === units);
    if (!found || found.length !== shape.length || !fills || !agrees) {
      unknown.push(name);
      continue;
    }
    axes.set(name, found);
    if (shape.length === 2 && (isHead(name) || !isTable(name))) inputs.set(name, isTransposed(name) ? 0 : 1);
    for (const { space, units } of runs)
      spaces.set(space!, { id: space!, kind: /^\w+/.exec(space!)![0] as Kind, units });
  }
  return { spaces, axes, inputs, unknown };
}

/** Query heads that read each head of keys and values; undefined where the numbers do not say. */
export function groupOf({ spaces }: Anatomy, heads: string): number | undefined {
  const kv = spaces.get(heads.replace(/^heads/, "kv"));
  const own = spaces.get(heads);
  if (!own || !kv) return undefined;
  return Number.isInteger(own.units / kv.units) ? own.units / kv.units : undefined;
}

/** Spaces that a tensor of unknown sides may have too: those of its part of the block, or of the whole block. */
export function spacesBeside(name: string, { spaces, axes }: Pick<Anatomy, "spaces" | "axes">): string[] {
  const layer = layerOf(name);
  if (!layer) return [];
  const block = `@${layer.prefix}.${layer.index}`;
  const near = [...spaces.keys()].filter((id) => `${id.slice(Math.max(0, id.indexOf("@")))}.`.startsWith(`${block}.`));
  const root = /^\w+\.(?=.*\.)/.exec(layer.rest)?.[0];
  if (root === undefined) return near;
  const has = (id: string) =>
    [...axes].some(([known, own]) => {
      const place = layerOf(known);
      return (
        place?.index === layer.index && place.rest.startsWith(root) && own.flat().some(({ space }) => space === id)
      );
    });
  return near.filter(has);
}
