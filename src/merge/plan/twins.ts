/**
 * Tensors that are copied because their type has no arithmetic here. Codes and scales of one model mean nothing beside
 * the averaged tensors of others, so a merge takes them only where all models have the same bytes.
 */
import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { UserError } from "../../errors.ts";
import { entriesOf, type ValuedTask } from "../job/task.ts";
import { Notes } from "./notes.ts";

const UNREAD = "not compared with the other models, since a pipe is read once";

/** Bytes compared at a time. */
const PIECE = 4 << 20;

/**
 * Throws UserError at the first tensor that differs from its twins. Gives warnings about those that could not be
 * compared, since `readable` says that they come through a pipe. Memory: two pieces of 4 MB.
 */
export async function checkTwins(
  tasks: readonly ValuedTask[],
  readable: (entry: TensorEntry) => boolean,
): Promise<string[]> {
  const notes = new Notes();
  for (const task of tasks) {
    const own = entriesOf(task)[0]!;
    for (const { ref, entry } of task.twins ?? []) {
      if (!readable(own) || !readable(entry)) notes.add(UNREAD, task.name);
      else if (!(await equal(own, entry))) {
        throw new UserError(
          `${task.name} is ${own.dtype}, which has no arithmetic here, and differs in ${ref}`,
          "dequantize the models with the tool that made them; codes and scales of one model fit no other",
        );
      }
    }
  }
  return notes.lines();
}

async function equal(a: TensorEntry, b: TensorEntry): Promise<boolean> {
  const size = Math.min(PIECE, a.bytes);
  const [left, right] = [new Uint8Array(size), new Uint8Array(size)];
  for (let offset = 0; offset < a.bytes; offset += size) {
    const length = Math.min(size, a.bytes - offset);
    await a.read(left.subarray(0, length), offset);
    await b.read(right.subarray(0, length), offset);
    if (Buffer.compare(left.subarray(0, length), right.subarray(0, length)) !== 0) return false;
  }
  return true;
}
