/** Commands that several presets have. */
import type { PresetGiven, Stage } from "./contract.ts";

/** A number as a command line has it: 5e-6, 0.05, 128. */
const written = (value: number): string => (value !== 0 && Math.abs(value) < 1e-3 ? value.toExponential() : `${value}`);

type Flags = Readonly<Record<string, string | number | true | undefined>>;

/** `--batch-size 8 --pack`; flags without a value are left out. */
export const flags = (given: Flags): string[] =>
  Object.entries(given).flatMap(([name, value]) => {
    if (value === undefined) return [];
    const flag = `--${name.replaceAll("_", "-")}`;
    return value === true ? [flag] : [flag, typeof value === "number" ? written(value) : value];
  });

/** Rows of a micro-batch, and how many make an update of `rows`. */
export function batchOf(rows: number, { shared }: Pick<PresetGiven, "shared">): Flags {
  const most = Math.min(rows, shared.micro_batch);
  // The largest number of rows that divides the update.
  const batch_size = Array.from({ length: most }, (_, i) => most - i).find((size) => rows % size === 0)!;
  return { batch_size, accumulate: rows / batch_size };
}

/** Trains a model into a folder; a run that was stopped goes on. */
export const trains = (
  title: string,
  script: "train" | "align" | "curriculum",
  model: string,
  given: Flags,
  makes: string,
): Stage => ({
  title,
  words: ["ingot", script, model, ...flags({ ...given, resume: true })],
  makes,
});

/** Measures models side by side on the test rows. */
export const measures = (models: readonly string[], { shared }: Pick<PresetGiven, "shared">): Stage => ({
  title: "How often greedy answers are right, model by model",
  words: [
    ...["ingot", "evaluate", ...models, "--data", shared.test, "--metric", "exact-match"],
    ...flags({ max_tokens: shared.max_new_tokens }),
  ],
});
