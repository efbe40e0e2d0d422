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
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import type { WatchState } from "./held-out-watch.ts";
import { type Found, foreignIn, OPTIMIZER, replaceState, wholeStates } from "./state-folder.ts";
import {
  type HostStateTensor,
  type PagedState,
  readState as readTensor,
  type SavedTraining,
  type StateTensor,
  type TrainingProgress,
} from "./training-state.ts";

/** Of training.json; states of others are refused. */
export const VERSION = 3;

/** training.json */
export interface Progress extends WatchState {
  readonly version: typeof VERSION;
  /** Everything that decides how the run continues; a resumed run must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Digests of the headers of the checkpoints that it read. */
  readonly inputs: readonly string[];
  readonly training: TrainingProgress;
  /** Whether the run is over, and its state was kept. */
  readonly over?: boolean;
  /** Of several trainings in a row: the steps of those that are over, and what else the row of them knows. */
  readonly row?: { readonly steps: number; readonly state: Json };
}

/** Steps that are done, of all trainings in a row. */
const stepsIn = ({ training, row }: Progress): number => (row?.steps ?? 0) + training.step;

export interface SavedRun {
  readonly progress: Progress;
  /** Folder of the checkpoint. */
  readonly folder: string;
}

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

/** The newest whole state in a folder; undefined when there is none. Throws UserError when it is damaged. */
export function findState(folder: string): SavedRun | undefined {
  const found = wholeStates(folder).map(readState);
  const readable = found.filter((state): state is SavedRun => !(state instanceof UserError));
  if (readable.length === 0 && found.length > 0) throw found[0];
  return readable.reduce<SavedRun | undefined>(
    (newest, state) => (newest && stepsIn(newest.progress) >= stepsIn(state.progress) ? newest : state),
    undefined,
  );
}

function readState({ at, file, text }: Found): SavedRun | UserError {
  let progress: Progress;
  try {
    progress = JSON.parse(text);
  } catch (error) {
    return new UserError(
      `${file} is damaged: ${(error as Error).message}`,
      "remove the folder, and train from the start",
    );
  }
  if (progress?.version !== VERSION || !Number.isSafeInteger(progress.training?.step))
    return new UserError(`${file} was written by another version`, "resume with the version that wrote it");
  return { progress, folder: at };
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

/** Opens the tensors of a saved run for the time of `use`. */
export async function withSavedTraining<T>(
  { progress, folder }: SavedRun,
  use: (saved: SavedTraining) => Promise<T>,
): Promise<T> {
  const file = path.join(folder, OPTIMIZER);
  const opened = await openPlain(file);
  try {
    return await use({
      progress: progress.training,
      where: folder,
      async read(name) {
        const entry = opened.tensors.get(name);
        if (!entry) return undefined;
        const bytes = new Uint8Array(entry.bytes);
        await entry.read(bytes, 0);
        return bytes;
      },
    });
  } finally {
    opened.close();
  }
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
