/**
 * What an attack or a probe is: something that is done to models in order to measure them. A file of attack/ or probe/ that exports
 * `method` is one; `--attack relearn` is attack/relearn.ts, `--probe revive` is probe/revive.ts.
 *
 * An attack tries to bring back what was unlearned, and the metrics say whether it did; a probe asks its own question. Both get the
 * models unopened, one at a time to be loaded with `lab.load`, and give a table and the same for machines. Numbers are functions of
 * the inputs and the seed.
 */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import type { GroupReference } from "../data/groups.ts";
import { UserError } from "../errors.ts";
import { nearest } from "../method/nearest.ts";
import type { Options, Values } from "../method/options.ts";
import type { MethodInfo } from "../method/registry.ts";
import type { Metric } from "./contract.ts";
import type { Lab } from "./loaded-model.ts";

/** What is known before a model is opened. */
export interface TechniqueInfo<O extends Options = Options> {
  readonly values: Values<O>;
  readonly metrics: readonly Metric[];
  /** Names of the groups of data; of the one to forget, and of the one that was never learned. */
  readonly groups: readonly string[];
  readonly forget: string;
  readonly holdout: string;
  /** Share of tokens that the min-k attacks look at. */
  readonly minK: number;
  readonly gold: boolean;
  readonly original: boolean;
}

export interface TechniqueSetup<O extends Options = Options>
  extends Omit<TechniqueInfo<O>, "groups" | "gold" | "original"> {
  readonly groups: readonly GroupReference[];
  readonly candidates: readonly Checkpoint[];
  /** The model that never saw what is to be forgotten. */
  readonly gold: Checkpoint | undefined;
  /** The model before anything was unlearned. */
  readonly original: Checkpoint | undefined;
  /** Bits that `--quantize` asks for. */
  readonly quantize: number | undefined;
  readonly seed: number;
  readonly signal: AbortSignal;
  readonly lab: Lab;
}

export interface Findings {
  /** Rows of cells, the header first. */
  readonly table: readonly (readonly string[])[];
  readonly json: Readonly<Record<string, unknown>>;
}

export interface Technique<O extends Options = Options> extends MethodInfo {
  /** Every name begins with that of the technique: `--relearn-rows`. */
  readonly options: O;
  /** Metrics where the user names none. */
  readonly metrics?: readonly string[];
  /** Whether `--original` means something to it. */
  readonly usesOriginal?: boolean;
  /** Throws UserError for what can be known before a model is opened. */
  check?(info: TechniqueInfo<O>): void;
  run(setup: TechniqueSetup<O>): Promise<Findings>;
}

export const defineTechnique = <const O extends Options>(technique: Technique<O>): Technique<O> => technique;

/** Throws UserError unless there is a group of the name. `flag` is what asks for it, `by` the option that names another. */
export function requireGroupNamed(name: string, groups: readonly string[], flag: string, by: string): void {
  if (groups.includes(name)) return;
  throw new UserError(
    `${flag} needs a group named ${name}; the data has ${groups.join(", ")}`,
    `name it, --data ${name}=rows.jsonl, or say which it is: ${by} ${nearest(name, groups) ?? groups[0]}`,
  );
}

/** A number in a table. */
export const cell = (x: number | undefined): string =>
  x === undefined || Number.isNaN(x) ? "-" : Math.abs(x) >= 1000 ? x.toFixed(1) : x.toFixed(4);

declare module "../method/registry.ts" {
  interface Contracts {
    attack: Technique;
    probe: Technique;
  }
}
