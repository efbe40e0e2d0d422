/** `--zeroshot-head`: one tower measured with the head of a data set, as merged models are with one after the other. */
import fs from "node:fs";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { HEAD_FILE, MAX_FILES_BYTES } from "../checkpoint/safetensors/metadata.ts";
import { UserError } from "../errors.ts";
import { HEAD } from "../model/zero-shot-head.ts";

/** The checkpoint with this file in place of a head beside or among its weights. Throws UserError. */
export function withHeadFile(checkpoint: Checkpoint, file: string | undefined): Checkpoint {
  if (file === undefined) return checkpoint;
  let bytes: Uint8Array;
  try {
    const { size } = fs.statSync(file);
    if (size > MAX_FILES_BYTES) throw new Error(`it has ${size} bytes, at most ${MAX_FILES_BYTES} are read`);
    bytes = fs.readFileSync(file);
  } catch (error) {
    throw new UserError(`--zeroshot-head ${file} cannot be read: ${(error as Error).message}`, "is the path right?");
  }
  const files = new Map([...checkpoint.files, [HEAD_FILE, bytes]]);
  return { ...checkpoint, files, tensors: new Map([...checkpoint.tensors].filter(([name]) => name !== HEAD)) };
}
