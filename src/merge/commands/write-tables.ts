/**
 * Writes a model whose tables of tokens are others, and all else of which is as it was: no arithmetic, in small pieces.
 */
import type { Checkpoint, LineageEntry, TensorEntry } from "../../checkpoint/checkpoint.ts";
import { open } from "../../checkpoint/open.ts";
import { isStream } from "../../checkpoint/stream/stream.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import type { PlainContext } from "../../cli/context.ts";
import { UserError } from "../../errors.ts";
import { type NamedModel, nameModels } from "../../model/names.ts";
import { ResultWatch } from "../finite.ts";
import { tablesOf } from "../vocabulary/tables.ts";
import { writeOptions } from "../write-options.ts";

/** Bytes that are copied at a time. */
const PIECE = 1 << 23;

type Context = Omit<PlainContext, "options"> & { readonly options: object };

/**
 * Opens a model under its own names; it is closed at the end of the run. Its tables can be read several times, also
 * where it comes through a pipe.
 */
export async function openModel(context: PlainContext, ref: string): Promise<NamedModel> {
  const checkpoint = await open(ref, { warn: (text) => context.warn(text) });
  context.onExit(() => checkpoint.close());
  const warnings: string[] = [];
  const model = nameModels(new Map([["model", checkpoint]]), "model", warnings).get("model")!;
  if (isStream(checkpoint)) for (const name of tablesOf(model)) checkpoint.retain(model.tensors.get(name)!.name);
  for (const warning of warnings) context.warn(warning);
  return model;
}

/** Throws UserError where an adapter changes a tensor: what is copied as it is stored would lose that. */
export function refuseAdapter({ ref, tensors }: NamedModel): void {
  if ([...tensors.values()].some(({ patch }) => patch))
    throw new UserError(
      `${ref} has an adapter, which is not copied`,
      "merge it into its base first: ingot merge base+adapter --method passthrough -o merged/",
    );
}

/** The tensors of a model with the new tables in place of its own, under the names that it stores. */
export const withTables = (model: NamedModel, tables: ReadonlyMap<string, TensorEntry>): TensorEntry[] =>
  [...model.tensors].map(([name, entry]) => ({ ...(tables.get(name) ?? entry), name: entry.name }));

/** Checks that what came through a pipe ended where its header says. */
export async function finishStreams(...checkpoints: readonly Checkpoint[]): Promise<void> {
  for (const checkpoint of checkpoints) if (isStream(checkpoint)) await checkpoint.finish();
}

/** What is written. */
export interface Written {
  readonly tensors: readonly TensorEntry[];
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly lineage: readonly LineageEntry[];
}

/**
 * Writes the result to `context.out`; gives its bytes. The target is tried and the header written before `make` gives
 * the tensors that are read.
 */
export async function writeResult(
  context: Context,
  { tensors, files, lineage }: Written,
  make: () => Promise<readonly TensorEntry[]> = async () => tensors,
): Promise<number> {
  const hub = { warn: (text: string) => context.warn(text), progress: context.progress };
  const writer = await createWriter(
    context.out,
    { tensors, files, lineage },
    { ...writeOptions({ ...context, options: { ...context.options } }), hub },
  );
  const keep = context.onExit((ok) => (ok ? undefined : writer.abort()));
  const made = new Map((await make()).map((tensor) => [tensor.name, tensor]));
  const total = writer.tensors.reduce((sum, { bytes }) => sum + bytes, 0);
  context.progress.start({ total, unit: "bytes" });
  const watch = new ResultWatch();
  for (const { name, bytes } of writer.tensors) {
    const tensor = made.get(name)!;
    for (let at = 0; at < bytes; at += PIECE) {
      context.signal.throwIfAborted();
      const piece = new Uint8Array(Math.min(PIECE, bytes - at));
      await tensor.read(piece, at);
      watch.look(tensor, piece);
      await writer.write(name, piece);
      context.progress.advance(piece.length, name);
    }
  }
  context.progress.done();
  await writer.finish();
  keep();
  for (const remark of watch.remarks()) context.warn(remark);
  return writer.bytes;
}
