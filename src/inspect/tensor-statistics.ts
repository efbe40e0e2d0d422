/**
 * Statistics of the tensors of a checkpoint, in the order of its header and in one pass, so that a pipe can be read
 * too.
 */
import type { Checkpoint, TensorEntry } from "../checkpoint/checkpoint.ts";
import { isStream } from "../checkpoint/stream/stream.ts";
import { type GpuSource, inFlight, type Task } from "./in-flight-reads.ts";
import { statisticsTasks, type Tally } from "./statistics.ts";

export interface ReadOptions {
  readonly signal?: AbortSignal;
  /** Called when a tensor is read. */
  readonly done?: (entry: TensorEntry) => void;
  /** Values per chunk; left out, as suits the adapter. Tests set it to see tensors of several chunks. */
  readonly chunkValues?: number;
}

const SKIP_BYTES = 1 << 20;

/** Reads a tensor for nothing: what a pipe passes over unread would have to be kept. */
export function skipTask(entry: TensorEntry): Task {
  return async () => {
    const piece = new Uint8Array(Math.min(SKIP_BYTES, entry.bytes));
    for (let at = 0; at < entry.bytes; at += piece.length) {
      await entry.read(piece.subarray(0, Math.min(piece.length, entry.bytes - at)), at);
    }
    return async () => {};
  };
}

/** Tallies by name of the tensors that `wanted` chooses. Rejects with a UserError when a file or pipe is cut short. */
export async function tallyTensors(
  source: GpuSource,
  checkpoint: Checkpoint,
  wanted: (name: string) => boolean,
  { signal, done, chunkValues }: ReadOptions = {},
): Promise<Map<string, { entry: TensorEntry; tally: Tally }>> {
  const found = new Map<string, Tally>();
  async function* tasks(): AsyncGenerator<Task> {
    for (const entry of checkpoint.tensors.values()) {
      if (wanted(entry.name)) {
        const keep = (tally: Tally) => {
          found.set(entry.name, tally);
          done?.(entry);
        };
        yield* await statisticsTasks(source, entry, keep, chunkValues);
      } else if (checkpoint.kind === "stream") yield skipTask(entry);
    }
  }
  await inFlight(tasks(), checkpoint.kind === "stream", signal);
  if (isStream(checkpoint)) await checkpoint.finish();
  const ordered = [...checkpoint.tensors.values()].filter(({ name }) => found.has(name));
  return new Map(ordered.map((entry) => [entry.name, { entry, tally: found.get(entry.name)! }]));
}
