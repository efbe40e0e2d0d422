/** Opens the model that an edit changes. */
import { describeModel } from "../run/open-model.ts";
import type { TextOptions } from "../run/text-tools.ts";
import { type StartOptions, start } from "../run/training/starting-model.ts";

/** What it takes to open a model. */
interface Opening {
  readonly options: Omit<StartOptions, "model" | "init" | "seed" | "warn"> & TextOptions;
  readonly seed: number;
  warn(text: string): void;
  onExit(cleanup: () => void): void;
}

/** Opens the model that an edit changes, and what reads its data. Reads headers only. */
export async function opened(context: Opening, ref: string) {
  const { options, seed } = context;
  const begun = await start({
    ...options,
    model: ref,
    init: undefined,
    neverNew: true,
    seed,
    warn: (text) => context.warn(text),
  });
  context.onExit(() => begun.close());
  return { begun, ...(await describeModel(begun, options, (text) => context.warn(text))) };
}
