/**
 * What a technique is to the frame that trains: it says which data, which objective, and what happens between steps.
 * The frame (run-training.ts) owns the rest. Each phase hands its result to the next, so a technique keeps nothing
 * between calls:
 *
 *   open -> data(opened) -> build -> work(built, data) -> restore -> loop -> save
 */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import type { Read } from "../../checkpoint/lineage/input.ts";
import type { EncodeOptions } from "../../data/sequences.ts";
import type { Split } from "../../data/split.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Values } from "../../method/options.ts";
import type { Picks } from "../../method/picks.ts";

import type { Embedding } from "../../model/embedder.ts";
import type { Model } from "../../model/model.ts";
import type { PageStoreOptions } from "../../tensor/paging/page-kind.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { CommandContext } from "../command-context.ts";
import type { DescribedModel } from "../open-model.ts";
import type { BatchSource, OrderChoice } from "./batch-source.ts";
import type { Carrying } from "./carried-state.ts";
import type { ConfigChange } from "./config-change.ts";
import type { Controller } from "./controller.ts";
import type { HeldOutBatches } from "./held-out-objective.ts";
import type { Judge } from "./held-out-watch.ts";
import type { Objective } from "./objective.ts";
import type { RUN } from "./options.ts";
import type { SmallerResult } from "./smaller-result.ts";
import type { UpdateRule } from "./update-rule.ts";

/** Options of one way to begin, to make batches, or of one loss, which other scripts lack. */
type Particular =
  | ("init" | "data" | "pack" | "mixture" | "smoothing" | "z_loss")
  | ("precision" | "loss_scale" | "loss_scale_every");

/** The command line of a script that trains. */
export interface RunContext extends CommandContext {
  readonly options: Omit<Values<typeof RUN>, Particular> & Partial<Pick<Values<typeof RUN>, Particular>>;
  /** The optimizer and the schedule. */
  readonly picks: Picks<typeof RUN>;
  /** Values of the method's options. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Values that are not the defaults, without those that decide nothing. */
  readonly chosen: Readonly<Record<string, unknown>>;
  /** Values that decide the result: a run resumes with these alone. */
  readonly decisive: Readonly<Record<string, unknown>>;
}

/** What is known before any weight is read. */
export interface Opened extends DescribedModel {
  /** How rows become batches. */
  readonly order: OrderChoice;
  /** What is held out of the training data, where --eval-split says so: `data` reads what it leaves. */
  readonly split: Split | undefined;
}

/** What a technique read. */
export interface TrainingData<B> {
  readonly source: BatchSource<B>;
  /** Held-out rows that the objective itself measures, in the place of their cross-entropy. */
  readonly heldOut?: readonly HeldOutBatches<B>[];
}

/** The model on the GPU, with what was known before. */
export interface Loaded extends Opened {
  readonly gpu: Gpu;
  readonly model: Model;
}

/** What is known when a technique sets its work up. */
export interface Built extends Loaded {
  readonly steps: number;
  /** True when resuming: weights and the states of controllers and rules come from the saved run. */
  readonly resumed: boolean;
  /** Digests of the headers of the checkpoints that were read, as far as they are known. */
  readonly inputs: readonly string[];
  /** The model as it was before training, frozen: a second one in memory. */
  original(): Promise<Model>;
}

/** What is trained, and what takes part in it. */
export interface Work<B> {
  readonly objective: Objective<B>;
  /** Batches in place of those that were read, where models take part in making them. */
  readonly source?: BatchSource<B>;
  /** Trained beside the model, and left out of the result. */
  readonly extra?: readonly Parameter[];
  /** What follows the training from step to step, in this order. */
  readonly controllers?: readonly Controller[];
  /** What changes the way from gradients to weights; composed as update-rule.ts says. */
  readonly updates?: readonly UpdateRule[];
  /** Which step of how many the schedule of rates is at, in a step from 1; that step of all when left out. */
  place?(step: number): { readonly step: number; readonly steps: number };
  /** What the rate of a step, from 1, is multiplied by. */
  multiplier?(step: number): number;
  /** The stage of a step, from 1, of an adapter that is trained in stages; they share the steps when left out. */
  stage?(step: number): number;
  /** Further memory on the GPU in bytes, by kind. */
  readonly memory?: Readonly<Record<string, number>>;
  /** Numbers of the whole run, which are told with those of the last step. */
  told?(): Readonly<Record<string, number>>;
  /** A smaller model that is written in the place of the trained one, when every step is done; freed afterwards. */
  result?(files: ReadonlyMap<string, Uint8Array>): Promise<SmallerResult>;
  /** Called when every step is done, before the result is written, whose lineage it gets. */
  end?(lineage: readonly LineageEntry[]): Promise<void>;
  free?(): void;
}

export interface Technique<B, D extends TrainingData<B> = TrainingData<B>> {
  /** For lineage: what did it, and how. */
  readonly script: string;
  readonly method?: string;
  /** What of held-out losses is best when it is least; their mean when left out. */
  readonly judge?: Judge | undefined;
  /** What the model is called among its inputs; "model" when left out. */
  readonly role?: string;
  /** Whether it learns numbers that rows say, where the model predicts such; such models are refused elsewhere. */
  readonly regresses?: boolean;
  /** Whether it trains denoisers; such models are refused elsewhere. */
  readonly denoises?: boolean;
  /** Where its experts are, where not all in memory. */
  readonly experts?: PageStoreOptions | undefined;
  /** The config of the model that is trained, made of that which is named. */
  readonly changed?: ConfigChange | undefined;
  /** Where the model is trained as an embedder, on pairs of texts. */
  readonly embeds?: Embedding | undefined;
  /** Reference of the model that is trained; undefined with --init. */
  readonly model: string | undefined;
  /** What the run takes over from one on other data, and whether another may from it. */
  readonly carrying?: Carrying;
  /** Of language models: the forms that a row may take, of training and held-out rows. Asked before data are read. */
  readonly shows?: ((described: DescribedModel) => Promise<EncodeOptions["shown"]>) | undefined;
  /** Reads the data. */
  data(opened: Opened): Promise<D>;
  /** Weights that are trained where options do not say, as patterns of names; perhaps chosen by the model as it was. */
  readonly trains?: readonly string[] | ((loaded: Loaded, data: D) => Promise<readonly string[]>) | undefined;
  /** Sets up what is trained. */
  work(built: Built, data: D): Promise<Work<B>>;
  /** Rows to measure the result on, as `evaluate --data` takes them; the held-out ones when left out. */
  readonly measured?: readonly string[];
  /** What else it read, for lineage. Their roles are names of options, which lineage then does not repeat. */
  read?(data: D): readonly Read[];
}
