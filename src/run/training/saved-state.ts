/**
 * The state of a training run on the disk: enough to go on bit for bit on the same adapter.
 *
 *   <folder>/last/   a checkpoint that any tool opens (weights as held on the GPU), optimizer.safetensors, training.json
 *
 * A new state is written beside the old one and takes its place by renames; whenever the process dies, the old one, or both, or
 * the new one are whole, and `openState` finds the newest.
 */
import fs from "node:fs";
import path from "node:path";
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { DTYPE_BYTES } from "../../checkpoint/dtype.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { OrderState } from "../../data/order.ts";
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { Model } from "../../model/model.ts";
import { saveModel } from "../../model/save.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Updater } from "./updater.ts";

/** Of training.json; states of others are refused. */
export const VERSION = 3;

/** training.json */
export interface Progress {
  readonly version: typeof VERSION;
  /** Steps that were done. */
  readonly step: number;
  /** Everything that decides how the run goes on; a resumed run must have the same. */
  readonly settings: Readonly<Record<string, unknown>>;
  readonly order: OrderState;
  /** Tokens or examples seen. */
  readonly seen: number;
  readonly best?: { readonly step: number; readonly loss: number };
  /** States of controllers and update rules, by name. */
  readonly states: Readonly<Record<string, Json>>;
  /** Digests of the headers of the checkpoints that it read. */
  readonly inputs: readonly string[];
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

/** Writes the state. Throws UserError (exit 1) when the disk is full; the state before stays. */
export async function saveState(
  folder: string,
  {
    model,
    updater,
    extra,
    progress,
    files,
    lineage,
  }: {
    readonly model: Model;
    readonly updater: Updater;
    /** Weights that are trained, or kept, beside the model. */
    readonly extra: readonly Parameter[];
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
    await saveOptimizer(model.gpu, held(updater, extra), path.join(saving, OPTIMIZER));
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

/** What the optimizer's file holds: its states, and the weights that are no part of the model. */
const held = (updater: Updater, extra: readonly Parameter[]) => [
  ...updater.states(),
  ...extra.map((parameter) => ({
    name: updater.names().get(parameter) ?? parameter.name,
    parameter,
    buffer: parameter.buffer,
    dtype: parameter.dtype,
  })),
];

async function saveOptimizer(gpu: Gpu, states: ReturnType<typeof held>, file: string): Promise<void> {
  const tensors = states.map(({ name, parameter, dtype }) => {
    const as = dtype === "bf16" ? ("BF16" as const) : ("F32" as const);
    return { name, dtype: as, shape: parameter.shape, bytes: parameter.size * DTYPE_BYTES[as] };
  });
  const writer = await createWriter(file, { tensors, files: new Map(), lineage: [] });
  try {
    for (const [i, { buffer }] of states.entries()) {
      const { name, bytes } = tensors[i]!;
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
    if (progress.version !== VERSION || !Number.isSafeInteger(progress.step))
      throw new UserError(`${file} was written by another version`, "resume with the version that wrote it");
    return { progress, folder: at };
  }
  return undefined;
}

/**
 * Refuses a folder whose contents a run that begins anew would take away: a saved run that has gone some way, or what is no state at
 * all. Throws UserError.
 */
export function refuseOverwriting(folder: string): void {
  const step = findState(folder)?.progress.step ?? 0;
  if (step > 0)
    throw new UserError(
      `${folder} holds step ${step} of a run that was not finished`,
      "go on with --resume, or remove the folder to begin anew",
    );
  for (const name of [LAST, BEFORE]) {
    const at = path.join(folder, name);
    if (fs.existsSync(at) && !fs.existsSync(path.join(at, PROGRESS)))
      throw new UserError(`${at} is in the way: states are saved there, and it is none`, "give another --state DIR");
  }
}

/** Brings the optimizer's states back. Throws UserError when one is missing or does not fit. */
export async function loadOptimizer(
  gpu: Gpu,
  updater: Updater,
  extra: readonly Parameter[],
  folder: string,
): Promise<void> {
  const file = path.join(folder, OPTIMIZER);
  const saved = await openPlain(file);
  try {
    for (const { name, parameter, buffer } of held(updater, extra)) {
      const entry = saved.tensors.get(name);
      if (!entry) throw new UserError(`${file} has no ${name}`, "resume with the settings the run began with");
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      if (extra.includes(parameter) && buffer === parameter.buffer) gpu.write(buffer, 0, bytes);
      else updater.load(name, bytes);
    }
  } finally {
    saved.close();
  }
}

/** Throws UserError for the first setting that differs from those the run began with. */
export function checkSettings(saved: Progress, now: Progress["settings"], folder: string): void {
  for (const key of new Set([...Object.keys(saved.settings), ...Object.keys(now)])) {
    const [then, given] = [JSON.stringify(saved.settings[key]), JSON.stringify(now[key])];
    if (then === given) continue;
    throw new UserError(
      `${folder} was saved with ${key} ${then ?? "not set"}; this run has ${given ?? "none"}`,
      "a run resumes with the settings it began with",
    );
  }
}

/** Throws UserError when a checkpoint that the run began with has been replaced. */
export function checkInputs(saved: Progress, now: readonly { ref: string; digest: string }[], folder: string): void {
  const other = now.find(({ digest }, i) => digest !== saved.inputs[i]);
  if (other)
    throw new UserError(
      `${folder} was saved by a run that read another ${other.ref}`,
      "put that one back, or remove the folder to begin anew",
    );
}

/** Removes the state of a run that is over. */
export function removeState(folder: string): void {
  for (const name of [LAST, SAVING, BEFORE]) fs.rmSync(path.join(folder, name), { recursive: true, force: true });
  try {
    fs.rmdirSync(folder);
  } catch {
    // something else is in it, which is not ours to remove
  }
}
