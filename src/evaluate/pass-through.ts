/** `--pass`: the model goes on to stdout, byte for byte as it was read, and the result elsewhere. */
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { createWriter } from "../checkpoint/write/write.ts";
import { textOutput } from "../cli/output.ts";
import { UserError } from "../errors.ts";
import type { EvaluateContext } from "./command.ts";

/** Takes the result for machines, and for people where they are asked. */
type Result = (value: Readonly<Record<string, unknown>>, text: () => string) => void;

/** Writes the result where it belongs: to stdout or -o; with --pass to stderr or -o. Throws UserError where -o is a folder. */
export function resultOf(context: EvaluateContext): Result {
  const { options, out } = context;
  if (!options.pass || out === "-")
    return (value, text) => (options.json ? context.line(value) : context.print(text()));
  const target = textOutput(out);
  context.onExit((ok) => (ok ? target.commit() : target.discard()));
  return (value, text) => target.write(`${options.json ? JSON.stringify(value) : text()}\n`);
}

/** Copies the model to stdout as it is read, and keeps it for the evaluation. */
export async function passing(checkpoint: Checkpoint): Promise<Checkpoint> {
  const held = new Map<string, Uint8Array>();
  const tensors = [...checkpoint.tensors.values()];
  if (tensors.some(({ patch }) => patch))
    throw new UserError(
      "--pass hands a checkpoint on as it is; an adapter would be lost",
      "merge it first: bun run merge",
    );
  const writer = await createWriter("-", { tensors, files: checkpoint.files, lineage: checkpoint.lineage });
  for (const tensor of tensors) {
    const bytes = new Uint8Array(tensor.bytes);
    await tensor.read(bytes, 0);
    held.set(tensor.name, bytes);
    await writer.write(tensor.name, bytes);
  }
  await writer.finish();
  const entries = tensors.map((tensor) => {
    const read = async (into: Uint8Array, offset: number) =>
      into.set(held.get(tensor.name)!.subarray(offset, offset + into.length));
    return [tensor.name, { ...tensor, read }] as const;
  });
  return { ...checkpoint, tensors: new Map(entries) };
}
