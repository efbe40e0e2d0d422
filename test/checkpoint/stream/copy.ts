/**
 * What the tests of pipes and crashes run in a separate process: copies a checkpoint, as a script with nothing to do
 * would.
 *
 *   bun copy.ts REF TARGET [{"reverse": true, "retain": true, "chunk": 1000, "pause": 5, ...options of the writer}]
 */
import fs from "node:fs";
import { open } from "../../../src/checkpoint/open.ts";
import { isStream } from "../../../src/checkpoint/stream/stream.ts";
import { ClosedPipe } from "../../../src/checkpoint/write/sink.ts";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import { UserError } from "../../../src/errors.ts";

const [ref = "", target = "", text = "{}"] = process.argv.slice(2);
const { reverse = false, retain = false, chunk = 2 ** 20, pause = 0, ...options } = JSON.parse(text);
try {
  const input = await open(ref);
  const tensors = [...input.tensors.values()];
  if (reverse) tensors.reverse();
  if (retain && isStream(input)) for (const { name } of tensors) input.retain(name);
  const { files, lineage } = input;
  const writer = await createWriter(target, { tensors, files, lineage }, options);
  fs.writeSync(2, "begun\n");
  for (const { name, bytes } of writer.tensors) {
    const entry = input.tensors.get(name)!;
    for (let at = 0; at < bytes; at += chunk) {
      const piece = new Uint8Array(Math.min(chunk, bytes - at));
      await entry.read(piece, at);
      if (retain) await entry.read(piece.fill(0), at); // again, from the spool
      await writer.write(name, piece);
      piece.fill(0xee); // the writer is done with it
      if (pause) await Bun.sleep(pause);
    }
  }
  if (isStream(input)) await input.finish();
  await writer.finish();
  input.close();
} catch (error) {
  if (error instanceof ClosedPipe) {
    fs.writeSync(2, "closed\n");
  } else if (error instanceof UserError) {
    fs.writeSync(2, `${error.message}\n  hint: ${error.hint}\n`);
    process.exitCode = error.exitCode;
  } else {
    throw error;
  }
}
