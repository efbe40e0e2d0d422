/**
 * The state of a training run on the disk: enough to continue bit for bit on the same adapter.
 *
 *   <folder>/last/   a checkpoint that any tool opens (weights as held on the GPU), optimizer.safetensors,
 *     training.json
 *
 * How one state takes the place of another is in state-folder.ts.
 */
import path from "node:path";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import { findState, type Progress, stepsIn } from "./found-state.ts";
import { foreignIn, replaceState } from "./state-folder.ts";
import { OPTIMIZER } from "./state-places.ts";
import { type HostStateTensor, type PagedState, readState as readTensor, type StateTensor } from "./training-state.ts";

/**
 * Writes the state, with the model's weights. Throws UserError (exit 1) when the disk is full; the state before
 * stays.
 */
export async function saveState(
  folder: string,
  {
    model,
    tensors,
    progress,
    files,
    lineage,
  }: {
    readonly model: Model;
    readonly tensors: readonly (StateTensor | PagedState | HostStateTensor)[];
    readonly progress: Progress;
    readonly files: ReadonlyMap<string, Uint8Array>;
    readonly lineage: readonly LineageEntry[];
  },
): Promise<void> {
  const newest = findState(folder)?.folder;
  await replaceState(folder, newest, `${JSON.stringify(progress, null, 2)}\n`, async (saving) => {
    await saveModel(model, saving, { files, lineage, dtype: "held" });
    await saveTensors(model.gpu, tensors, path.join(saving, OPTIMIZER));
  });
}

async function saveTensors(
  gpu: Gpu,
  tensors: readonly (StateTensor | PagedState | HostStateTensor)[],
  file: string,
): Promise<void> {
  const infos = tensors.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }));
  const writer = await createWriter(file, { tensors: infos, files: new Map(), lineage: [] });
  try {
    for (const tensor of tensors) {
      const { name, bytes } = tensor;
      for (let at = 0; at < bytes; at += 2 ** 24) {
        const piece = Math.min(2 ** 24, bytes - at);
        await writer.write(name, await readTensor(gpu, tensor, at, piece));
      }
    }
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Throws UserError when a state would be saved over something else. */
export function refuseForeign(folder: string): void {
  const foreign = foreignIn(folder);
  if (foreign !== undefined)
    throw new UserError(`${foreign} exists but is not a saved training state`, "give another --state DIR");
}

/** Throws UserError when a new run would overwrite a saved run that has done steps. */
export function refuseOverwriting(folder: string): void {
  const found = findState(folder);
  const step = found ? stepsIn(found.progress) : 0;
  if (found?.progress.over)
    throw new UserError(
      `${folder} holds the state that --keep-state left after step ${step}`,
      "give another --state DIR, or remove the folder",
    );
  if (step > 0)
    throw new UserError(
      `${folder} holds step ${step} of a run that was not finished`,
      "continue with --resume, or remove the folder to start again",
    );
}

/** Throws UserError for the first setting that differs from those the run began with. */
export function checkSettings(saved: Progress, now: Progress["settings"], folder: string): void {
  for (const key of new Set([...Object.keys(saved.settings), ...Object.keys(now)])) {
    const [then, given] = [JSON.stringify(saved.settings[key]), JSON.stringify(now[key])];
    if (then === given) continue;
    throw new UserError(
      `${folder} was saved with ${key} ${then ?? "not set"}; this run has ${given ?? "none"}`,
      "resume with the settings that the run began with",
    );
  }
}

/** Throws UserError when a checkpoint that the run began with has been replaced. */
export function checkInputs(saved: Progress, now: readonly { ref: string; digest: string }[], folder: string): void {
  const other = now.find(({ digest }, i) => digest !== saved.inputs[i]);
  if (other)
    throw new UserError(
      `${folder} was saved by a run that read another ${other.ref}`,
      "put that one back, or remove the folder to start again",
    );
}
