/** The state of a stream between stages and within one, beside weights and the training that is under way. */

import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import type { Json } from "../../json.ts";
import type { SavedRun } from "../../run/training/found-state.ts";
import {
  type HostStateTensor,
  type SavedTraining,
  type StateTensor,
  stateTensor,
} from "../../run/training/training-state.ts";
import { Parameter } from "../../tensor/parameter.ts";
import type { HostTensor, Learner, TaskScore } from "./contract.ts";
import { contentDigest } from "./source.ts";
import type { ReadTasks } from "./tasks.ts";

/** Scores before the first stage and after each of those that are done. */
export interface StreamScores {
  readonly before: readonly TaskScore[];
  /** R: by stage, of every task. */
  readonly after: readonly (readonly TaskScore[])[];
  /** Of each group of --eval-data: before, and after each stage. */
  readonly general: readonly (readonly { readonly name: string; readonly loss: number }[])[];
}

/** What is saved as JSON. */
export interface StreamState {
  /** Stages that are done. */
  readonly stage: number;
  readonly scores: StreamScores;
  readonly method: Json;
  /** By task, what its rows hold: `rowDigests`. */
  readonly rows: readonly string[];
}

/** What the rows of every task hold, in few characters each: those that are learnt, and those that are scored. */
export const rowDigests = ({ tasks, earlier, rows, measuredRows }: ReadTasks): string[] => [
  ...tasks.map(({ index }) => [rows, measuredRows].map((all) => contentDigest(all, all.of([index]))).join(" ")),
  ...earlier.map(({ index }) => contentDigest(rows, rows.of([index]))),
];

/** Throws UserError where a task has other rows than when the state was saved. */
export function refuseOtherRows({ rows: then }: StreamState, read: ReadTasks, folder: string): void {
  const now = rowDigests(read);
  const all = [...read.tasks, ...read.earlier];
  const at = now.findIndex((digest, i) => then[i] !== digest);
  const other = at < 0 && then.length > now.length ? all.at(-1) : all[at];
  if (other)
    throw new UserError(
      `${folder} was saved with other rows of the task ${other.name}`,
      "a run resumes on the data it began with",
    );
}

/** Where a saved run stands. Throws UserError for the state of one training, or of other stages. */
export async function streamStateOf({ progress, folder }: SavedRun, stages: number): Promise<StreamState> {
  const { row } = progress;
  if (!row) throw new UserError(`${folder} is the state of one training, not of a stream`, "give another --state DIR");
  const { type } = await import("../../method/ark.ts");
  const score = type({ loss: "number", "accuracy?": "number", counted: "number" });
  const group = type({ name: "string", loss: "number" });
  const found = type({
    stage: "number.integer >= 0",
    scores: { before: score.array(), after: score.array().array(), general: group.array().array() },
    method: "unknown",
    rows: "string[]",
  })(row.state);
  if (found instanceof type.errors || found.stage >= stages)
    throw new UserError(
      `${folder}/training.json does not say where its stream stands: ${found instanceof type.errors ? found.summary : `stage ${found.stage} of ${stages}`}`,
      "remove the folder, and train from the start",
    );
  return { ...found, method: found.method as Json };
}

const PREFIX = "continual.";

const isHost = (kept: Parameter | HostTensor): kept is HostTensor => !(kept instanceof Parameter);

const keptOf = (learner: Learner) => learner.kept?.() ?? [];

/** What a learner keeps, as tensors of a state. */
export function learnerTensors(learner: Learner): (StateTensor | HostStateTensor)[] {
  return keptOf(learner).map((kept) => {
    const name = `${PREFIX}${kept.name}`;
    if (isHost(kept)) {
      const { buffer, byteOffset, byteLength } = kept.values;
      const host = new Uint8Array(buffer, byteOffset, byteLength);
      return { name, shape: kept.shape, dtype: "F32" as const, host, bytes: byteLength };
    }
    return stateTensor(name, kept, kept.buffer, kept.dtype);
  });
}

/** Gives a learner back what it kept. Throws UserError where something is missing. */
export async function loadLearner(gpu: Gpu, learner: Learner, state: Json, saved: SavedTraining): Promise<void> {
  await learner.load?.(state);
  for (const kept of keptOf(learner)) {
    const bytes = await saved.read(`${PREFIX}${kept.name}`);
    const expected = isHost(kept) ? kept.values.byteLength : kept.bytes;
    if (bytes?.byteLength !== expected)
      throw new UserError(
        `${saved.where} holds ${bytes === undefined ? "no" : `${bytes.byteLength} bytes of`} ${kept.name}, expected ${expected} bytes`,
        "resume with the settings that the run began with",
      );
    if (isHost(kept)) new Uint8Array(kept.values.buffer, kept.values.byteOffset, expected).set(bytes);
    else gpu.write(kept.buffer, 0, bytes);
  }
}
