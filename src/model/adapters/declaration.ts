/**
 * What a type of adapter declares: its settings, its tensors for each target and for all together, its equation, and
 * what it folds to. declared.ts makes the type of it.
 *
 *   a target    a linear layer, an embedding, or the experts' matrices of one name
 *   a part      a tensor of one target; its name in the file is `base_model.model.MODULE.PART`
 *   shared      a tensor of all targets; its name in the file is its own
 */
import type { FileModule, FlatFactors, Folded, HostTensor } from "../../checkpoint/adapter/format.ts";
import type { JsonObject } from "../../json.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import type { ModelSizes, ParameterSpec } from "../architecture.ts";
import type { DrawnStep } from "./bit-draws.ts";
import type {
  AdaptedPlace,
  AdapterGroups,
  EmbeddingPlace,
  ExpertsPlace,
  KeysValues,
  LinearPlace,
  Pass,
  TrainedPart,
} from "./live-adapter.ts";
import type { Target } from "./targets.ts";

/** What a tensor begins as; drawn by (seed, name in the file). */
export type Beginning =
  | "zeros"
  | "ones"
  /** Uniform in [-bound, bound). */
  | { readonly uniform: number }
  /** Normal, of this standard deviation. */
  | { readonly normal: number }
  | { readonly values: Float32Array }
  /** Rows of the model's embedding of tokens, drawn. */
  | "tokens"
  /** From the weight of the target, as it lies in memory, in f32. */
  | { readonly from: (weight: Float32Array) => Float32Array };

export interface TensorSpec {
  readonly shape: readonly number[];
  readonly begins: Beginning;
  /** Never trained, but saved and held: a random projection. */
  readonly fixed?: boolean;
  /** A file may lack it, and then it is as it begins. */
  readonly optional?: boolean;
  /** false: what an optimizer takes off weights by themselves is not taken off it. */
  readonly decays?: false;
}

/** By part, or by name of what is shared. */
export type TensorSpecs = Readonly<Record<string, TensorSpec>>;

/** Sides of a target, as the file of an adapter tells them too. */
export type Sides = Pick<FileModule, "module" | "into" | "out" | "transposed">;

/** A module of a file that is folded, with everything that all modules share. */
export interface FoldedModule extends Omit<FileModule, "shared"> {
  shared(name: string): HostTensor;
}

/** What is known beside a target. */
export interface Setup<O extends Options> {
  readonly values: Values<O>;
  /** All of them, in the model's order. */
  readonly targets: readonly Sides[];
  /** Names the adapter, or the option, in messages. */
  readonly where: string;
  /** Unknown where a file is folded. */
  readonly sizes?: ModelSizes;
  /** adapter_config.json of an adapter that is read. */
  readonly json?: JsonObject;
}

/** A target in a recording, with its tensors. */
export type Adapted<P extends AdaptedPlace, O extends Options> = P & {
  readonly values: Values<O>;
  /** adapter_config.json */
  readonly json: JsonObject;
  readonly target: Target;
  tensor(part: string): Tensor;
  shared(name: string): Tensor;
};

/** What is known where no target is. */
export type Everywhere<O extends Options> = Pick<AdaptedPlace, "rec"> &
  Pick<Adapted<AdaptedPlace, O>, "values" | "shared"> & { readonly sizes: ModelSizes };

/** A forward pass that begins, or an inner tensor of it. */
export type AdaptedPass<O extends Options> = Pass & Everywhere<O>;

/** Tokens before every sequence. */
export interface DeclaredAhead<O extends Options> {
  tokens(values: Values<O>): number;
  /** As `Ahead` has them; one of the two. */
  rows?(place: Everywhere<O>): Tensor;
  keysValues?(place: Everywhere<O>): readonly KeysValues[];
}

export interface AdapterDeclaration<O extends Options> extends MethodInfo<O> {
  /** PEFT's `peft_type`, which the file's name spells; the type's own name in capitals when left out. */
  readonly peftType?: string;
  /** Kinds of targets that it can change; none of a type that changes only inner tensors. */
  readonly takes: readonly Target["kind"][];
  /** Key of the config that says of which task all rows are, where parts are mixed by tasks. */
  readonly taskKey?: string;
  /** Whether PEFT's config says `fan_in_fan_out`; else weights stored (in, out) are refused. */
  readonly fanInFanOut?: boolean;
  /** What is changed when nothing is asked for; every linear layer but head, routers and experts when left out. */
  usual?(target: Target): boolean;
  /** Modules of the model that are trained and saved whole beside the targets, as PEFT's modules_to_save. */
  whole?(specs: readonly ParameterSpec[]): string[];
  /** Whether a layer keeps what earlier tokens left, so that no shorter text can go on from it. */
  recurrent?(values: Values<O>, sizes: ModelSizes): boolean;
  /** Where its parts are trained stage after stage: how many stages, and what of a part is trained in one, from 1. */
  readonly stages?: {
    count(values: Values<O>): number;
    /** Whether the stage of every step is drawn. */
    readonly drawn?: boolean;
    /** Weight of tokens that are marked as of the stage; 1 when left out. */
    focus?(values: Values<O>): number;
    trained(part: string, stage: number, values: Values<O>, shape: readonly number[]): Omit<TrainedPart, "parameter">;
  };
  /** Where every step of a training draws which parts of a target it uses. */
  readonly draws?: {
    /** A fixed part, into which the draw is written. */
    readonly part: string;
    /** Its values, for each of so many targets. */
    at(step: DrawnStep, targets: number, values: Values<O>): readonly Float32Array[];
    /** What is then trained of another part. */
    trained(part: string, drawn: Float32Array, values: Values<O>): Omit<TrainedPart, "parameter">;
  };
  /** What it takes groups of the data for, where it tells them apart. */
  groups?(values: Values<O>): AdapterGroups | undefined;
  /** A type whose result is another one: its parts, and the config of these modules. */
  readonly exports?: {
    readonly parts: readonly string[];
    config(json: JsonObject, values: Values<O>, modules: readonly string[]): Readonly<Record<string, unknown>>;
  };
  /**
   * Names of the parts that a target may have, and of all that is shared, where * stands for a number: a file's tensors
   * are told by them.
   */
  readonly parts: readonly string[];
  readonly sharedParts?: readonly string[];
  /** Keys of adapter_config.json that options have; the option's own name when left out. */
  readonly keys?: Readonly<Partial<Record<keyof O & string, string>>>;
  /** Options whose values rank_pattern and alpha_pattern of a config give single layers; refused when left out. */
  readonly patterned?: { readonly rank: keyof O & string; readonly alpha: keyof O & string };
  /** Further keys of adapter_config.json; `written` is its target_modules. */
  config?(setup: Setup<O>, written: readonly string[] | string): Readonly<Record<string, unknown>>;
  /** Throws UserError for a config that asks for what is not done here. */
  check?(json: JsonObject, where: string): void;
  /** Throws UserError for a target that the settings do not suit. */
  tensors(target: Sides, setup: Setup<O>): TensorSpecs;
  shared?(setup: Setup<O>): TensorSpecs;
  /** A linear layer's result with bias and residual, (N, in) -> (N, out). */
  linear?(layer: Adapted<LinearPlace, O>, x: Tensor): Tensor;
  /** The rows of experts' matrices, (N k, in) -> (N k, out). */
  experts?(layer: Adapted<ExpertsPlace, O>, x: Tensor): Tensor;
  /** Rows of an embedding, (N) -> (N, C). */
  embed?(layer: Adapted<EmbeddingPlace, O>): Tensor;
  /** Takes the place of an inner tensor, by the names of `Net.note`. */
  note?(pass: AdaptedPass<O>, name: string, x: Tensor): Tensor;
  /** Hears of every forward pass before its layers. */
  begin?(pass: AdaptedPass<O>): void;
  readonly ahead?: DeclaredAhead<O>;
  /**
   * The low-rank change that comes nearest, where the change depends on the input. `tensor` gives a part of a module,
   * undefined for one that a file may lack.
   */
  flat?(tensor: (part: string) => HostTensor | undefined, values: Values<O>): FlatFactors;
  /** What a linear layer of a file folds to; left out where the change depends on the input. */
  fold?(module: FoldedModule, setup: Setup<O>): Folded;
}
