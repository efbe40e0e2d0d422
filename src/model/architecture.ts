/**
 * What a model architecture is: how its config.json reads, which tensors it has, and its equations over named tensors.
 *
 * An architecture's file holds nothing of training, files or adapters. It asks a `Net` for weights by the names that
 * Hugging Face gives them, so that LoRA, tied weights, recomputation and the key/value cache work in every one alike.
 */
import type { TensorEntry } from "../checkpoint/checkpoint.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { RoutePlan } from "../tensor/ops/router.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { DenseLayout } from "./dense-layout.ts";
import type { NoiseInputs, NoiseSizes } from "./noise.ts";
import type { Routed } from "./routing.ts";

export type Json = Readonly<Record<string, unknown>>;

/** A weight. Of a new model its f32 values are drawn. */
export interface ParameterSpec {
  /** As `save_pretrained` writes it; the name of a stack is that of no tensor. */
  readonly name: string;
  readonly shape: readonly number[];
  /** Standard deviation of a normal distribution about 0, logarithms of numbers spread up to a bound, or a constant. */
  readonly init: { readonly std: number } | { readonly logUpTo: number } | "zeros" | "ones";
  /**
   * Checkpoint tensors that are held as one, stacked along the first dimension (experts): shape is (parts, ...shape
   * of each).
   */
  readonly parts?: readonly string[];
  /** A linear layer's weight, that LoRA may target. */
  readonly linear?: boolean;
  /** An embedding's table, whose rows are read with `embed`. */
  readonly table?: boolean;
  /** Experts' matrices that are one tensor in checkpoints too, (E, in, out) or (E, out, in). */
  readonly stack?: "in-out" | "out-in";
  /**
   * A router or a gate of one row, which LoRA leaves out unless it is asked for; "parameter" where transformers has no
   * linear layer for it.
   */
  readonly routes?: boolean | "parameter";
  /** Of a classifier's head, which an adapter trains and saves whole. */
  readonly whole?: boolean;
  /** Between encoder and head: a pretrained encoder may lack it where it lacks a head. */
  readonly pooler?: boolean;
  /** Kept as it is: never trained, without a gradient. */
  readonly buffer?: boolean;
  /** A buffer that programs of training change: statistics of the rows that went by. */
  readonly running?: boolean;
  /** Held in f32 as vectors are, whatever is asked. */
  readonly small?: boolean;
  /** Stored (in, out), as GPT-2's Conv1D. */
  readonly transposed?: boolean;
}

/** Keys and values of earlier tokens, one pair per layer, each (B, capacity, kvHeads * headDim) f32. */
export interface KvCache {
  readonly batch: number;
  readonly capacity: number;
  layer(index: number, width: number): { readonly keys: Tensor; readonly values: Tensor };
  /**
   * Memory of a layer whose equations keep something else, f32 and of any shape, by a name of its own. At position 0 it
   * may hold anything.
   */
  kept(name: string, shape: readonly number[]): Tensor;
}

interface RowInputs {
  /**
   * (batch, count) f32, 1 at the task of every row (the position of its group among those of the data) and 0 elsewhere,
   * for adapters that choose by it and know so many tasks; rows of others are refused. Recorded when asked for; left
   * out where nothing says tasks, as when a model generates.
   */
  readonly tasks?: (count: number) => Tensor;
  /** (N, 1) f32: 1 / tokens of the batch for every token, 0 for padding. As `tasks`; none where nothing is padding. */
  readonly tokenShares?: () => Tensor;
  /**
   * (batch) i32, the place among all N of every row's last token that is not `padding`; of a row of nothing else its
   * first. As `tasks`.
   */
  readonly lasts?: (padding: number | undefined) => Tensor;
}

/** Inputs of a language model. N = batch * length. */
export interface TokenInputs extends RowInputs {
  readonly batch: number;
  readonly length: number;
  /** (N) i32 */
  readonly ids: Tensor;
  /** (N) i32, counted in each document from 0, or from how many tokens stand before. */
  readonly positions: Tensor;
  /** Tokens that stand before every document; 0 when left out. */
  readonly ahead?: number;
  /**
   * (batch, length) i32, the document of each token in a packed row; 0 is padding. Left out: every row is one document.
   */
  readonly segments?: Tensor;
  /**
   * (N, 1) f32: 1 for the tokens of each row's prompt, those before the first that counts, 0 for the others; 1 for all
   * tokens of a row that has none. Recorded when asked for; left out where nothing says what counts.
   */
  readonly prompts?: () => Tensor;
  /** Decoding: keys and values are written to and read from it. */
  readonly cache?: KvCache;
}

/** Inputs of a classifier of texts. N = batch * length. */
export interface TextInputs extends RowInputs {
  readonly batch: number;
  readonly length: number;
  /** (N) i32 */
  readonly ids: Tensor;
  /** (batch, length) i32: 1 for tokens, 0 for padding. */
  readonly segments: Tensor;
  /** (N) i32, which of two texts each token is of. */
  readonly types: Tensor;
  /** (batch, length) f32: 1 / tokens of its text for every token, 0 for padding. */
  readonly shares: Tensor;
  /** Where the texts are those of pairs. */
  readonly pairs?: PairInputs;
}

/** The texts of pairs: the first `rows` are the first ones of pairs, all others are what these are compared with. */
export interface PairInputs {
  readonly rows: number;
  readonly candidates: number;
  /** (rows, candidates) f32, added to what compares them: far below 0 where both stand for the same. */
  readonly apart: Tensor;
}

/** Inputs of a classifier of numbers, or of a denoiser. */
export interface ExampleInputs extends RowInputs {
  readonly batch: number;
  /** (batch, ...shape) f32 */
  readonly x: Tensor;
  /** Of a denoiser. */
  readonly noise?: NoiseInputs | undefined;
  /** (batch, K) f32: what an adapter with an input of its own reads; left out where nothing is asked of it. */
  readonly control?: Tensor | undefined;
}

export type Inputs = TokenInputs | TextInputs | ExampleInputs;

export interface AttendOptions {
  readonly layer: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly causal: boolean;
  /** 1 / sqrt(headDim) when left out. */
  readonly scale?: number;
  readonly window?: number;
  /** Scores become cap tanh(score / cap). */
  readonly cap?: number;
  /** (heads): one more score of every query of a head, whose share goes to no value. */
  readonly sinks?: Tensor;
}

export interface EmbedOptions {
  readonly fixed?: number | undefined;
  readonly scale?: number;
}

/**
 * What batch norms go by: the batch, which running statistics follow ("batch") or do not ("rows"), or the running ones.
 */
export type NormStatistics = "batch" | "rows" | "running";

/** What an architecture's equations are written with. */
export interface Net {
  readonly rec: Recorder;
  readonly statistics: NormStatistics;
  /** A weight by its checkpoint name. Throws when the architecture did not declare it. */
  weight(name: string): Tensor;
  /** `<module>.weight`, with `<module>.bias` where declared, and the adapter's part where one targets it. */
  linear(x: Tensor, module: string, options?: { readonly add?: Tensor }): Tensor;
  /**
   * Rows of experts' matrices: x (N * k, in), sorted by expert, each times its expert's of `<name>`, with the adapter's
   * part where one targets them.
   */
  experts(x: Tensor, name: string, plan: RoutePlan, options?: { readonly transposed?: boolean }): Tensor;
  /**
   * Rows of `<module>.weight` with the adapter's part, times `scale`. (N) -> (N, C). The row `fixed` takes no gradient.
   */
  embed(ids: Tensor, module: string, options?: EmbedOptions): Tensor;
  /** A product with a weight of any name, (out, ...in) as it lies in memory: tied heads, convolutions over patches. */
  project(x: Tensor, weight: string, bias?: string): Tensor;
  /** `<module>.weight` where the layer is a product with it and nothing more: no bias, no adapter, no codes. */
  matrix(module: string): Tensor | undefined;
  /** One layer, whose activations may be computed again on the way back. */
  block(run: () => Tensor): Tensor;
  /**
   * A stack of layers of one width over x, (N, C) each, noted as `hidden.0` to `hidden.<count>`: every layer once, or
   * as the pass was asked to go through them (depth.ts).
   */
  layers(count: number, x: Tensor, run: (layer: number, x: Tensor) => Tensor): Tensor;
  /**
   * Under which numbers the layer that runs keeps what is cached of a token: the first is what it reads, the others are
   * of layers that this pass leaves out.
   */
  kept(layer: number): readonly [number, ...number[]];
  /**
   * Attention over the inputs' tokens, or over the cache when there is one. q (N, heads * headDim), k and v (N,
   * kvHeads * headDim).
   */
  attend(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions): Tensor;
  /**
   * Gives an inner tensor to losses and probes, and returns the one to use from there on, which a probe may have
   * changed: `hidden.3` after three blocks, `middle.3` between the halves of the fourth, `router.3`.
   */
  note(name: string, x: Tensor): Tensor;
  /** A tensor that was noted. Throws where none was under the name. */
  noted(name: string): Tensor;
  /** Gives what a layer's router chose to what balances and measures experts. */
  routed(layer: number, routed: Routed): void;
  /** Experts that a token takes in a layer now, of k by the config: training may begin with more. */
  active(layer: number, k: number): number;
  /** The experts that every token takes, by rank: 0 is its likeliest one; those of the config when undefined. */
  readonly ranks: readonly number[] | undefined;
}

/**
 * Of a checkpoint: config.json with what a file beside its weights says, and the tensors of that file, which are used
 * but not saved among the weights. Throws UserError.
 */
export type Beside = (
  json: Json,
  source: {
    readonly ref: string;
    readonly files: ReadonlyMap<string, Uint8Array>;
    readonly tensors: ReadonlyMap<string, TensorEntry>;
  },
) => { readonly json: Json; readonly tensors: ReadonlyMap<string, TensorEntry> };

/** What an encoder is without its head. */
export interface Trunk<C> {
  parameters(config: C): readonly ParameterSpec[];
  /** The last state of every token: (N, C). */
  states(net: Net, config: C, inputs: Inputs): Tensor;
}

/** Values within center - radius and center + radius; radii are not negative. */
export interface Box {
  readonly center: Tensor;
  readonly radius: Tensor;
}

/** Of a classifier of numbers: its equations for boxes of inputs (blocks/box.ts). */
export interface Bounds<C> {
  /** Module of the linear head. */
  readonly head: string;
  /** Why a config has no bounds; undefined where it has. */
  lacks(config: C): string | undefined;
  /**
   * The box of what the head reads, recorded after the pass itself, whose batch norms' statistics it goes by. `heard`
   * is told the box of what every activation reads.
   */
  forward(net: Net, config: C, box: Box, heard: (box: Box) => void): Box;
}

/**
 * What a model is for; an embedder turns texts into vectors (embedder.ts), a token classifier gives every token of a
 * text a class (decoder-classifier.ts), a regressor predicts numbers, a denoiser says what a noisy vector was.
 */
export type Task = "causal-lm" | "classifier" | "token-classifier" | "embedder" | "regressor" | "denoiser";

/** What an architecture is. Its name is the `model_type` of config.json. */
export interface Architecture<C = unknown> extends MethodInfo {
  readonly task: Task;
  /** Of classifiers: whether a config asks for numbers in the place of classes. */
  regresses?(config: C): boolean;
  /** The class of transformers, as `architectures` of config.json names it. */
  readonly className?: string;
  /** Tensors of published checkpoints that hold no weight (masks, tables). */
  readonly ignored?: { test(name: string): boolean };
  /** `model_type` of a model of several parts, and which part this is: tensors of the others are carried through. */
  readonly partOf?: { readonly whole: string; readonly part: string };
  /** Reads what a file beside the weights adds to the model. */
  readonly beside?: Beside;
  /** Prefix that checkpoints of the bare base model lack. */
  readonly basePrefix?: string;
  /** Other names that files may have for a tensor, the likeliest first. */
  olderNames?(name: string): readonly string[];
  /** Of a decoder with a head for classes: what that reads (decoder-classifier.ts). */
  readonly classHead?: "sequence" | "tokens";
  /** Of a decoder: the head of its class for tokens where that is not `score`. */
  readonly tokenHead?: string;
  /** Modules of the head alone, which the file of a pretrained encoder lacks and an adapter trains whole. */
  readonly headModules?: readonly string[];
  /** Reads and checks config.json. `where` names the file in messages. Throws UserError. */
  config(json: Json, where: string): C;
  /** What a config says by its values and by leaving keys out, as config.json of a fresh model writes it. */
  implied?(config: C): Json;
  /**
   * Of a config whose head is the embedding: the names of both, and the config with a head of its own. Undefined for
   * all others.
   */
  tiedHead?(config: C): { readonly head: string; readonly table: string; readonly apart: C } | undefined;
  /** In the order in which `save_pretrained` writes them. */
  parameters(config: C): readonly ParameterSpec[];
  /** The hidden states that the head reads: (N, width), or (batch, width) of a classifier. */
  forward(net: Net, config: C, inputs: Inputs): Tensor;
  /** Logits (rows of hidden, V or classes). */
  head(net: Net, config: C, hidden: Tensor, inputs?: Inputs): Tensor;
  /** Of an encoder of texts: the part below the head, with the names that it has by itself. */
  readonly trunk?: Trunk<C>;
  readonly bounds?: Bounds<C>;
  /** Of decoders whose blocks are attention and a gated feed-forward network, under Llama's names. */
  dense?(config: C): DenseLayout;
  /** Sizes that other parts ask for. */
  sizes(config: C): ModelSizes;
}

export interface ModelSizes {
  readonly layers: number;
  readonly width: number;
  /** Vocabulary, or classes. */
  readonly outputs: number;
  /** Most tokens of a sequence; of a classifier of numbers 0. */
  readonly maxPositions: number;
  /** Heads of every layer, where all attend alike over keys and values of one width. */
  readonly attention?: { readonly heads: number; readonly kvHeads: number; readonly headDim: number };
  /** Layers keep one state of all tokens so far, which no shorter text can go on from. */
  readonly recurrent?: boolean;
  /** A longer sequence turns its positions otherwise from the first on, so that cached keys hold no longer. */
  readonly turnsAnewBeyond?: number;
  /** Shape of one example of a classifier of numbers. */
  readonly example?: readonly number[];
  /** Of a classifier of square images that takes smaller ones, too: what sides are multiples of, and the least. */
  readonly sides?: { readonly multiple: number; readonly least: number };
  /** Of a classifier of texts. */
  readonly text?: TextSizes;
  /** Of a denoiser. */
  readonly noise?: NoiseSizes;
}

/** What a classifier reads texts with. */
export interface TextSizes {
  readonly vocabulary: number;
  /** Kinds of tokens that it tells apart; 0 where it does not. */
  readonly types: number;
  /** From a class's name to its number. */
  readonly labels: Readonly<Record<string, number>>;
}

declare module "../method/registry.ts" {
  interface Contracts {
    architecture: Architecture;
  }
}
