/**
 * What a type of adapter is: how it begins on a model, and how its file is read again. Most types are a declaration
 * (declared.ts): their tensors, their equation, what they fold to.
 */
import type { AdapterFormat } from "../../checkpoint/adapter/format.ts";
import type { Checkpoint } from "../../checkpoint/checkpoint.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Bound } from "../../method/bind.ts";
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { ModelSizes, ParameterSpec } from "../architecture.ts";
import type { AdapterInit, BegunFactors } from "./adapter-init.ts";
import type { LiveAdapter } from "./live-adapter.ts";

/** The model under an adapter. */
export interface AdaptedModel {
  readonly specs: readonly ParameterSpec[];
  readonly parameters: ReadonlyMap<string, Parameter>;
  readonly sizes: ModelSizes;
  /** The names of a head and the embedding that it is tied to. */
  readonly tied: { readonly head: string; readonly table: string } | undefined;
  /** Names of tensors beside the model's, which are carried through. */
  readonly others: readonly string[];
}

/** What an adapter is made with. */
export interface Making {
  readonly gpu: Gpu;
  readonly model: AdaptedModel;
  /** As `targetModules` reads them; the type's own choice when left out. */
  readonly targets?: readonly string[] | undefined;
  readonly seed: number;
  /** How a LoRA adapter begins; with A drawn and B zero when left out. */
  readonly init?: Bound<AdapterInit> | undefined;
  /** How every layer that is adapted begins, where that is of what rows of data say. */
  readonly planned?: ReadonlyMap<string, BegunFactors> | undefined;
  /** Written as `base_model_name_or_path`. */
  readonly base?: string | undefined;
  readonly warn: (message: string) => void;
}

export interface AdapterType<O extends Options = Options> extends MethodInfo<O> {
  /** `peft_type` of its config; of a type that PEFT lacks its own name in capitals. */
  readonly peftType: string;
  /** How a file of it is folded into a base; left out where checkpoint/adapter reads it by itself (LoRA). */
  readonly format?: AdapterFormat;
  /** Of LoRA and its variants: the rank, and the scale s of B A. */
  strength?(values: Values<O>): { readonly rank: number; readonly scale: number };
  /** Key of its config that says of which task all rows are, where parts are mixed by tasks. */
  readonly taskKey?: string;
  /** Modules that a new adapter trains whole beside its targets, by the model's weights. */
  whole?(specs: readonly ParameterSpec[]): string[];
  /** Tokens that it puts before every sequence, by its settings or those of a file. Throws UserError. */
  ahead?(values: Values<O>, from?: Checkpoint): Promise<number>;
  /** A new adapter. Throws UserError for what the type cannot change. */
  fresh(values: Values<O>, making: Making): Promise<LiveAdapter>;
  /** One that a file holds, to train it on or to run it. Throws UserError where it does not fit the model. */
  continued(values: Values<O>, from: Checkpoint, making: Making): Promise<LiveAdapter>;
}

/** Which adapter a model gets. */
export interface AdapterChoice extends Omit<Making, "gpu" | "model" | "warn"> {
  /** Of an adapter that is read its type is the file's, and these are values that replace those of its config. */
  readonly type: Bound<AdapterType>;
  readonly from?: Checkpoint | undefined;
}

declare module "../../method/registry.ts" {
  interface Contracts {
    adapter: AdapterType;
  }
}
