/**
 * What an attack or a probe is: something that is done to models in order to measure them. A file of methods/attacks/
 * or methods/probes/ is one; `--attack relearn` is attacks/relearn.ts, `--probe revive` is probes/revive.ts.
 *
 * An attack tries to bring back what was unlearned, and the metrics say whether it did; a probe asks its own question.
 * Both get the models unopened, load them one at a time with `loader.load`, and give a table and the same for machines.
 * Numbers are functions of the inputs and the seed.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { GroupReference } from "../data/groups.ts";
import type { Laws } from "../method/laws.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Groups } from "../run/measuring/groups.ts";
import type { ModelLoader } from "../run/measuring/loaded-model.ts";
import type { BoundMetric } from "../run/measuring/metric.ts";
import type { MixedWith } from "../run/measuring/mixed-model.ts";

/** The laws of attacks and probes. */
export const TECHNIQUE_LAWS = {
  reproducible: "the findings depend on models, rows, options and seed alone",
  companions: "the numbers of a model do not depend on the models that are measured beside it",
} as const;

export type TechniqueLaw = keyof typeof TECHNIQUE_LAWS;

/** What is known before a model is opened. */
export interface TechniqueInfo<O extends Options = Options> extends Groups {
  readonly values: Values<O>;
  readonly metrics: readonly BoundMetric[];
  /** Whether there is a model that never saw what is to be forgotten. */
  readonly gold: boolean;
  /** How many models are measured, besides. */
  readonly models: number;
}

export interface TechniqueSetup<O extends Options = Options>
  extends Omit<TechniqueInfo<O>, "groups" | "gold" | "models"> {
  readonly groups: readonly GroupReference[];
  readonly candidates: readonly Checkpoint[];
  /** The model that never saw what is to be forgotten. */
  readonly gold: Checkpoint | undefined;
  /** What --with mixes into a candidate; always undefined unless the technique mixes. */
  mixed(candidate: Checkpoint): MixedWith | undefined;
  /** The models that options of the technique name, by option. */
  readonly named: Readonly<Record<string, Checkpoint>>;
  /** Bits that `--quantize` asks for. */
  readonly quantize: number | undefined;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly loader: ModelLoader;
}

export interface Findings {
  /** Rows of cells, the header first. Numbers are as they are; people see them rounded. */
  readonly table: readonly (readonly TableCell[])[];
  /** The same for machines; every row is about one model. */
  readonly json: Readonly<Record<string, unknown>> & { readonly rows: readonly { readonly model: string }[] };
}

/** Every option begins with the name of the technique (`--relearn-rows`), but for those of `models`. */
export interface Technique<O extends Options = Options> extends MethodInfo<O> {
  readonly laws: Laws<TechniqueLaw>;
  /** Metrics where the user names none; [] for a technique that measures by itself. */
  readonly metrics?: readonly string[];
  /** Those of its options that name a model, which is opened and checked with the others. */
  readonly models?: readonly (keyof O & string)[];
  /** What it works on, where that is not a language model alone. */
  readonly task?: "classifier" | "denoiser";
  /** Whether it makes its own rows, so that it reads none of --data. */
  readonly ownRows?: boolean;
  /** Whether it works on a candidate that is mixed with the model of --with. */
  readonly mixes?: boolean;
  /** Throws UserError for what can be known before a model is opened. */
  check?(info: TechniqueInfo<O>): void;
  run(setup: TechniqueSetup<O>): Promise<Findings>;
}

export const defineTechnique = <const O extends Options>(technique: Technique<O>): Technique<O> => technique;

/**
 * The gold model and then the candidates, as techniques go through them: gold's rows are known when the others are
 * measured. `shown` brings what was found back into the order of results: candidates first, as they were given.
 */
export function goldFirst({ candidates, gold }: Pick<TechniqueSetup, "candidates" | "gold">) {
  const before = gold ? [{ checkpoint: gold, isGold: true }] : [];
  return {
    models: [...before, ...candidates.map((checkpoint) => ({ checkpoint, isGold: false }))],
    shown: <T>(found: readonly T[]): T[] => [...found.slice(before.length), ...found.slice(0, before.length)],
  };
}

/** What a cell of a table holds: a text, or a number, which may be unknown. */
export type TableCell = string | number | undefined;

/** A number in a table; "-" where it is unknown. */
export const cell = (x: number | undefined): string =>
  x === undefined || Number.isNaN(x) ? "-" : Math.abs(x) >= 1000 ? x.toFixed(1) : x.toFixed(4);

declare module "../method/registry.ts" {
  interface Contracts {
    attack: Technique;
    probe: Technique;
  }
}
