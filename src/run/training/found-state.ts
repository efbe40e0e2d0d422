/** States of trainings that are found on the disk; saved-state.ts writes them. */
import path from "node:path";
import { openPlain } from "../../checkpoint/open.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { WatchState } from "./held-out-watch.ts";
import { type Found, OPTIMIZER, wholeStates } from "./state-places.ts";
import type { SavedTraining, TrainingProgress } from "./training-state.ts";

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
export const stepsIn = ({ training, row }: Progress): number => (row?.steps ?? 0) + training.step;

export interface SavedRun {
  readonly progress: Progress;
  /** Folder of the checkpoint. */
  readonly folder: string;
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
