/** The model that --reference names: what a policy is compared with in the place of the model as it was. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { tokenClash } from "../data/same-tokens.ts";
import { UserError } from "../errors.ts";
import type { Gpu } from "../gpu/gpu.ts";
import type { LoadIn } from "../model/held-codes.ts";
import { Model } from "../model/model.ts";
import { openModel } from "../run/open-model.ts";
import type { Opened, RunContext } from "../run/training/technique.ts";

type Run = Pick<RunContext, "warn" | "onExit"> & {
  readonly options: { readonly reference?: string | undefined; readonly load_in?: LoadIn | undefined };
};

/** Its checkpoint, of which only the headers are read. */
export interface ReferenceModel {
  readonly ref: string;
  readonly checkpoint: Checkpoint;
  /** Throws UserError where rows of so many tokens have more than it has positions for. */
  checkLength(tokens: number): void;
  /** The model on the GPU, frozen; the caller frees it. */
  load(gpu: Gpu): Promise<Model>;
}

/**
 * Opens what --reference names; undefined without it. Throws UserError for a model that is no language model, or whose
 * tokens are others than those of the model that is trained.
 */
export async function openReference(run: Run, opened: Opened): Promise<ReferenceModel | undefined> {
  const { reference, load_in: loadIn } = run.options;
  if (reference === undefined) return undefined;
  const warn = (text: string) => run.warn(text);
  const { checkpoint, ref, task, sizes, files } = await openModel(reference, {}, warn);
  run.onExit(() => checkpoint.close());
  if (task !== "causal-lm")
    throw new UserError(`--reference ${ref} is a ${task}, and answers are likely under a language model`);
  const ours = { ref: opened.ref, outputs: opened.sizes.outputs, files: opened.files };
  const clash = tokenClash(ours, { ref, outputs: sizes.outputs, files });
  if (clash)
    throw new UserError(
      `--reference ${ref} reads other tokens: ${clash.message}`,
      "name a model with the tokenizer of the one that is trained",
    );
  return {
    ref,
    checkpoint,
    checkLength(tokens) {
      if (sizes.maxPositions > 0 && tokens > sizes.maxPositions)
        throw new UserError(
          `the longest row has ${tokens} tokens, and --reference ${ref} has ${sizes.maxPositions} positions`,
          `give --max-length ${sizes.maxPositions}, or shorter rows`,
        );
    },
    load: (gpu) => Model.load(gpu, checkpoint, { freeze: () => true, loadIn, warn }),
  };
}
