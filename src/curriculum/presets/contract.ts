/**
 * What a preset is: the stages of a whole recipe with the settings of its source, as commands of ingot one after the
 * other. Each file of methods/presets/ is one: `curriculum preset tulu` is tulu.ts.
 */
import type { Options, Values } from "../../method/options.ts";
import type { MethodInfo } from "../../method/registry.ts";

/** Options of every preset. */
export const PRESET = {
  to: { type: "string", help: "folder that all stages write to; the preset's name when left out", value: "DIR" },
  test: { type: "string", required: true, help: "rows that every model is measured on at the end", value: "FILE" },
  reward: {
    type: "string",
    default: "exact",
    help: "verifier of align --reward that says which answers are right",
    value: "VERIFIER",
  },
  micro_batch: {
    type: "number.integer >= 1",
    default: 8,
    help: "most rows that run at once; updates are as large as the recipe says all the same",
    value: "N",
  },
  written_as: {
    type: "'script' | 'stages'",
    default: "script",
    help: "a script of the shell, or a file that curriculum --stages runs",
  },
  max_new_tokens: { type: "number.integer >= 1", default: 256, help: "most tokens of a sampled answer", value: "N" },
} as const satisfies Options;

/** A command of the recipe. */
export interface Stage {
  readonly title: string;
  /** The program and its arguments. */
  readonly words: readonly string[];
  /** What it writes, last; a command that writes to stdout is sent there. Nothing is skipped where it is left out. */
  readonly makes?: string;
}

export interface PresetGiven<O extends Options = Options> {
  /** Reference of the model that the recipe begins with. */
  readonly model: string;
  /** Folder without a slash at its end. */
  readonly to: string;
  readonly shared: Values<typeof PRESET>;
  readonly values: Values<O>;
}

export interface Preset<O extends Options = Options> extends MethodInfo<O> {
  stages(given: PresetGiven<O>): Stage[];
}

export const definePreset = <const O extends Options>(preset: Preset<O>): Preset<O> => preset;

declare module "../../method/registry.ts" {
  interface Contracts {
    preset: Preset;
  }
}
