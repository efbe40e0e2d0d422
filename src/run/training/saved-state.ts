/**
 * The state of a training run on the disk: enough to continue bit for bit on the same adapter.
 *
 *   <folder>/last/   a checkpoint that any tool opens (weights as held on the GPU), optimizer.safetensors,
 *     training.json
 *
 * A new state is written beside the old one and takes its place by renames; whenever the process dies, the old one,
 * or both, or the new one are whole, and `findState` finds the newest.
 */
import fs from "node:fs";
import path from "node:path";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import type { SavedTraining, StateTensor, TrainingProgress } from "./training-state.ts";

/** Of training.json; states of others are refused. */
export const VERSION = 3;

/** training.json */
export interface Progress {
  readonly version: typeof VERSION;
  /** Everything that decides how the run continues; a resumed run must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Digests of the headers of the checkpoints that it read. */
  readonly inputs: readonly string[];
  /** The step with the lowest held-out loss. */
  readonly best?: { readonly step: number; readonly loss: number };
  readonly training: TrainingProgress;
}

const LAST = "last";
const SAVING = ".saving";
const BEFORE = ".before";
const PROGRESS = "training.json";
const OPTIMIZER = "optimizer.safetensors";

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
    readonly tensors: readonly StateTensor[];
    readonly progress: Progress;
    readonly files: ReadonlyMap<string, Uint8Array>;
    readonly lineage: readonly LineageEntry[];
  },
): Promise<void> {
  const saving = path.join(folder, SAVING);
  try {
    fs.rmSync(saving, { recursive: true, force: true });
    fs.mkdirSync(saving, { recursive: true });
  } catch (error) {
    throw new UserError(
      `--state: ${folder} cannot be written (${(error as NodeJS.ErrnoException).code})`,
      "give another --state DIR, or --save-every 0",
      1,
    );
  }
  try {
    await saveModel(model, saving, { files, lineage, dtype: "held" });
    await saveTensors(model.gpu, tensors, path.join(saving, OPTIMIZER));
    flushed(path.join(saving, PROGRESS), `${JSON.stringify(progress, null, 2)}\n`);
    const last = path.join(folder, LAST);
    const before = path.join(folder, BEFORE);
    fs.rmSync(before, { recursive: true, force: true });
    if (fs.existsSync(last)) fs.renameSync(last, before);
    fs.renameSync(saving, last);
    fs.rmSync(before, { recursive: true, force: true });
  } catch (error) {
    fs.rmSync(saving, { recursive: true, force: true });
    throw error;
  }
}

function flushed(file: string, text: string): void {
  const fd = fs.openSync(file, "w");
  try {
    fs.writeFileSync(fd, text);
    if (process.env.INGOT_NO_FSYNC !== "1") fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

async function saveTensors(gpu: Gpu, tensors: readonly StateTensor[], file: string): Promise<void> {
  const infos = tensors.map(({ name, dtype, shape, bytes }) => ({ name, dtype, shape, bytes }));
  const writer = await createWriter(file, { tensors: infos, files: new Map(), lineage: [] });
  try {
    for (const { name, buffer, bytes } of tensors) {
      for (let at = 0; at < bytes; at += 2 ** 24) {
        const piece = Math.min(2 ** 24, bytes - at);
        await writer.write(name, await gpu.read(buffer, at, piece, (view) => view.slice(0, piece)));
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
  for (const name of [LAST, BEFORE]) {
    const at = path.join(folder, name);
    const file = path.join(at, PROGRESS);
    if (!fs.existsSync(file)) continue;
    let progress: Progress;
    try {
      progress = JSON.parse(fs.readFileSync(file, "utf8"));
    } catch (error) {
      throw new UserError(
        `${file} is damaged: ${(error as Error).message}`,
        "remove the folder, and train from the start",
      );
    }
    if (progress.version !== VERSION || !Number.isSafeInteger(progress.training?.step))
      throw new UserError(`${file} was written by another version`, "resume with the version that wrote it");
    return { progress, folder: at };
  }
  return undefined;
}

/**
 * Throws UserError when a new run would overwrite what the folder holds: a saved run that has done steps, or
 * something else.
 */
export function refuseOverwriting(folder: string): void {
  const step = findState(folder)?.progress.training.step ?? 0;
  if (step > 0)
    throw new UserError(
      `${folder} holds step ${step} of a run that was not finished`,
      "continue with --resume, or remove the folder to start again",
    );
  for (const name of [LAST, BEFORE]) {
    const at = path.join(folder, name);
    if (fs.existsSync(at) && !fs.existsSync(path.join(at, PROGRESS)))
      throw new UserError(`${at} exists but is not a saved training state`, "give another --state DIR");
  }
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

/** Removes the state of a run that is over. */
export function removeState(folder: string): void {
  for (const name of [LAST, SAVING, BEFORE]) fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  try {
    fs.rmdirSync(folder);
  } catch {
    // the folder holds something else, which stays
  }
}
