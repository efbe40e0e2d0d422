/**
 * Options as data. A definition is a string in arktype's syntax, so one table gives flags, help, config keys, lineage
 * and documentation, and `--help` can be printed without loading arktype (0.2 s).
 */
import type { Kind } from "./kinds.ts";

export interface OptionSpec {
  /** Arktype definition: "0 < number <= 1", "boolean", "'sum' | 'count'", "number[]", "string". */
  readonly type: string;
  readonly help: string;
  /** Left out: the option is optional and undefined when not given, unless `required`. */
  readonly default?: unknown;
  readonly required?: boolean;
  /** "model": one value per model (`--weight 0.5,0.3`); a single value stands for all. Merge parameters only. */
  readonly per?: "model";
  /**
   * What a merge parameter names beside the models: "checkpoint" one that the method opens by itself, "own-checkpoint"
   * one that belongs to one model alone, "model" a model of the merge by its place, 1 the first.
   */
  readonly names?: "checkpoint" | "own-checkpoint" | "model";
  /** One-letter flag. */
  readonly short?: string;
  /** Names in snake_case that it had before: commands, configs and lineages that hold one still mean it. */
  readonly was?: readonly string[];
  /** What stands for the value in help: FILE, N, ... */
  readonly value?: string;
  /** Reads a text whose meaning has several spellings as the one that `type` lists. */
  readonly spelling?: (text: string) => string;
  /**
   * The value names a method of this kind; "string[]" takes several, separated by commas. The options of the chosen
   * methods join those of the script, and `context.picks` has the methods bound to their values.
   */
  readonly kind?: Kind;
  /**
   * The value names methods of this kind in a form that the script reads itself, such as sums of them; `--list` shows
   * them, and their options are no flags.
   */
  readonly lists?: Kind;
  /**
   * With `kind`: the option after which those of the chosen methods stand in logs and lineage; this one when left out.
   */
  readonly optionsAfter?: string;
  /**
   * What the option decides, where that is not the result. "nothing": how the run goes, so lineage leaves it out.
   * "storage": the form in which the result is stored. A resumed run may change either.
   */
  readonly decides?: "nothing" | "storage";
  /** The value may hold a password: no log and no message repeats it. */
  readonly secret?: true;
  /**
   * The value names a place that the run writes to: a checkpoint or one file of tensors, which replace another with
   * `--overwrite` alone, or a text.
   */
  readonly writes?: "checkpoint" | "tensors" | "text";
  /**
   * Other options, of which one must be given too, or this one has no effect and is refused. Together with `with`,
   * either is enough.
   */
  readonly needs?: string | readonly string[];
  /**
   * Values that another option must have, or this one has no effect and is refused: `with: { task_loss: "task-focal"
   * }`.
   */
  readonly with?: Readonly<Record<string, string | readonly string[]>>;
}

/** Keys are in snake_case, as in recipes and configs; the flag of `select_topk` is `--select-topk`. */
export type Options = Readonly<Record<string, OptionSpec>>;

/** The flag of an option: `select_topk` is `--select-topk`. */
export const flagOf = (name: string): string => `--${name.replaceAll("_", "-")}`;

/** The name of the option of a table that is called `key`, or was before; undefined where there is none. */
export function nameIn(table: Options, key: string): string | undefined {
  if (Object.hasOwn(table, key)) return key;
  return Object.keys(table).find((name) => table[name]!.was?.includes(key));
}

/**
 * The TypeScript type of a definition, for the forms in use; arktype's own inference is too deep for tables of options.
 */
type Infer<D extends string> = D extends "boolean"
  ? boolean
  : D extends "string"
    ? string
    : D extends `${infer Item}[]`
      ? Infer<Item>[]
      : D extends `'${infer First}' | ${infer Rest}`
        ? First | Infer<Rest>
        : D extends `'${infer Only}'`
          ? Only
          : D extends `${string}number${string}`
            ? number
            : string;

/** The validated values of a table of options. */
export type Values<O extends Options> = {
  [K in keyof O]: O[K] extends { default: unknown } | { required: true }
    ? Infer<O[K]["type"]>
    : Infer<O[K]["type"]> | undefined;
};
