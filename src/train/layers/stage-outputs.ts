/**
 * What the frozen first layers of a perceptron give for rows, so that a stage begins there: computed once, and kept in
 * a file that holds `outputs` (rows, width) F32 and `key`, a digest of all that they are made of.
 *
 * Every batch has the same number of rows, the last one filled up with the first row: kernels then do the same sums
 * for a row here and in a training that computes its first layers in every step, and both give the same bytes.
 */
import { existsSync, mkdirSync } from "node:fs";
import { openPlain } from "../../checkpoint/open.ts";
import { createWriter } from "../../checkpoint/write/write.ts";
import { batchKey, type NumbersInput, stackExamples } from "../../data/batch.ts";
import type { Example } from "../../data/examples.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { fillInputs, recordInputs } from "../../run/batch-programs.ts";
import { Programs } from "../../run/programs.ts";
import { profileOf } from "../../tensor/program.ts";
import { Recorder } from "../../tensor/recorder.ts";

export type NumberExample = Example & NumbersInput;

/** Where the frozen first layers end. */
export interface Boundary {
  /** Name of the hidden state there, as the architecture notes it. */
  readonly note: string;
  readonly width: number;
  /** Layers below it. */
  readonly modules: readonly string[];
}

/**
 * The last hidden state that no trained weight has a part in; undefined where the first layer is trained. Goes by
 * `trainable` of the weights.
 */
export function boundaryOf(model: Model, example: NumberExample): Boundary | undefined {
  const rec = new Recorder(profileOf(model.gpu));
  const modules: string[] = [];
  let found: Boundary | undefined;
  model.record(rec, recordInputs(rec, stackExamples([example])), {
    observe: (module) => modules.push(module),
    replace(note, x) {
      if (modules.length > 0 && !x.needsGrad) found = { note, width: x.shape.at(-1) ?? 0, modules: [...modules] };
      return x;
    },
  });
  return found;
}

/** What is there at the boundary for every row: (rows, width). */
export async function outputsAt(
  model: Model,
  { note, width }: Boundary,
  examples: readonly NumberExample[],
  batchSize: number,
): Promise<Float32Array> {
  const [first] = examples;
  if (!first) return new Float32Array(0);
  const programs = new Programs(model.gpu);
  const outputs = new Float32Array(examples.length * width);
  try {
    for (let at = 0; at < examples.length; at += batchSize) {
      const batch = stackExamples(Array.from({ length: batchSize }, (_, i) => examples[at + i] ?? first));
      const { program } = await programs.get(batchKey(batch), (rec) => {
        const found = model.record(rec, recordInputs(rec, batch)).notes.get(note);
        if (!found) throw new Error(`nothing was noted as ${note}`);
        rec.output("outputs", found);
      });
      fillInputs(program, batch);
      program.run();
      const own = await program.read("outputs");
      outputs.set(own.subarray(0, Math.min(batchSize, examples.length - at) * width), at * width);
    }
  } finally {
    programs.free();
  }
  return outputs;
}

/** A digest of the rows, the weights below the boundary, the config, the rows of a batch and the device. */
export async function outputsKey(
  model: Model,
  { note, modules }: Boundary,
  examples: readonly NumberExample[],
  batchSize: number,
): Promise<Uint8Array> {
  const { gpu, json, parameters } = model;
  const hash = new Bun.CryptoHasher("sha256");
  const add = ({ buffer, byteOffset, byteLength }: Float32Array) =>
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  hash.update(JSON.stringify({ note, batchSize, json, device: gpu.adapter.description, rows: examples.length }));
  for (const { name, shape, buffer, size } of parameters.values()) {
    if (!modules.some((module) => name.startsWith(`${module}.`))) continue;
    hash.update(JSON.stringify([name, shape]));
    add(await gpu.readFloats(buffer, size));
  }
  for (const { x } of examples) add(x);
  return new Uint8Array(hash.digest());
}

/** Makes the folder of files. Throws UserError where that cannot be. */
export function makeCache(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true });
  } catch (error) {
    throw new UserError(
      `--cache ${folder} cannot be made: ${error instanceof Error ? error.message : error}`,
      "name a folder that can be written to",
    );
  }
}

/** The outputs that a file holds; undefined where there is no file, or one of other weights or rows. */
async function read(file: string, key: Uint8Array, values: number): Promise<Float32Array | undefined> {
  if (!existsSync(file)) return undefined;
  const checkpoint = await openPlain(file);
  try {
    const [outputs, known] = ["outputs", "key"].map((name) => checkpoint.tensors.get(name));
    if (outputs?.dtype !== "F32" || known?.dtype !== "U8" || known.bytes !== key.length)
      throw new UserError(
        `${file} holds no outputs of a stage: it lacks outputs (F32) or key (U8)`,
        "name another folder with --cache",
      );
    const [found, made] = [new Uint8Array(outputs.bytes), new Uint8Array(key.length)];
    await known.read(made, 0);
    if (outputs.bytes !== 4 * values || made.some((byte, i) => byte !== key[i])) return undefined;
    await outputs.read(found, 0);
    return new Float32Array(found.buffer);
  } finally {
    checkpoint.close();
  }
}

async function write(file: string, key: Uint8Array, outputs: Float32Array, rows: number): Promise<void> {
  const shape = [rows, outputs.length / rows];
  const tensors = [
    { name: "key", dtype: "U8" as const, shape: [key.length], bytes: key.length },
    { name: "outputs", dtype: "F32" as const, shape, bytes: outputs.byteLength },
  ];
  const writer = await createWriter(file, { tensors, files: new Map(), lineage: [] });
  try {
    await writer.write("key", key);
    await writer.write("outputs", new Uint8Array(outputs.buffer, outputs.byteOffset, outputs.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

export interface KeptOutputs {
  readonly outputs: Float32Array;
  /** "again": the file was of other weights or rows. */
  readonly cache: "read" | "made" | "again";
}

/** The outputs from the file, which is written where there is none, or one that is out of date. */
export async function keptOutputs(
  file: string,
  model: Model,
  boundary: Boundary,
  examples: readonly NumberExample[],
  batchSize: number,
): Promise<KeptOutputs> {
  const key = await outputsKey(model, boundary, examples, batchSize);
  const known = await read(file, key, examples.length * boundary.width);
  if (known) return { outputs: known, cache: "read" };
  const was = existsSync(file);
  await write(file, key, await outputsAt(model, boundary, examples, batchSize), examples.length);
  // From the file, too: what trains is what another run reads.
  const outputs = await read(file, key, examples.length * boundary.width);
  if (!outputs) throw new Error(`${file} is not what was written`);
  return { outputs, cache: was ? "again" : "made" };
}
