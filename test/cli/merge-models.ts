/** Tiny checkpoints on the disk, and the merge script run on them in separate processes. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { decodeFloats, encodeFloats } from "../../src/checkpoint/decode.ts";
import { DTYPE_BYTES, type Dtype, isFloat } from "../../src/checkpoint/dtype.ts";
import { sizeOf } from "../../src/tensor/tensor.ts";
import { fileOf, type Made, readIndependently } from "../checkpoint/sample.ts";
import { normals, randomWords } from "../support/random.ts";
import { CLIENT, served, servedEnvironment } from "../support/served/served.ts";

const SCRIPT = join(import.meta.dir, "../../scripts/merge.ts");

export type Shapes = Record<string, readonly number[] | readonly [Dtype, readonly number[]]>;

/** Tensors with normal values, or random bytes where the type holds no reals; F32 where no type is given. */
export function tensorsOf(shapes: Shapes, seed: number, dtype: Dtype = "F32"): Made[] {
  return Object.entries(shapes).map(([name, spec], k) => {
    const typed = typeof spec[0] === "string" ? (spec as readonly [Dtype, readonly number[]]) : undefined;
    const shape = [...(typed?.[1] ?? (spec as readonly number[]))];
    const type = typed?.[0] ?? dtype;
    const bytes = sizeOf(shape) * DTYPE_BYTES[type];
    const word = randomWords(1000 * seed + k);
    const data = isFloat(type)
      ? encodeFloats(normals(1000 * seed + k, sizeOf(shape), 0.1), type)
      : Uint8Array.from({ length: bytes }, () => word() & 1);
    return { name, dtype: type, shape, bytes, data };
  });
}

/** A decoder of two blocks with 16 tokens. */
export const DECODER: Shapes = {
  "model.embed_tokens.weight": [16, 8],
  "model.layers.0.mlp.up_proj.weight": [12, 8],
  "model.layers.0.norm.weight": [8],
  "model.layers.1.mlp.up_proj.weight": [12, 8],
  "model.layers.1.norm.weight": [8],
  "model.norm.weight": [8],
  "lm_head.weight": [16, 8],
};

const CONFIG = { model_type: "llama", num_hidden_layers: 2, vocab_size: 16, tie_word_embeddings: false };

/** Writes a model of one file, in a folder with its config unless `path` ends in .safetensors. */
export function writeModel(path: string, tensors: readonly Made[], files: Record<string, unknown> = {}): string {
  const single = path.endsWith(".safetensors");
  mkdirSync(single ? dirname(path) : path, { recursive: true });
  writeFileSync(single ? path : join(path, "model.safetensors"), fileOf(tensors));
  if (single) return path;
  for (const [name, value] of Object.entries({ "config.json": CONFIG, ...files })) {
    writeFileSync(join(path, name), typeof value === "string" ? value : JSON.stringify(value));
  }
  return path;
}

export interface Merged {
  readonly code: number;
  readonly out: Uint8Array;
  readonly text: string;
  readonly err: string;
}

export interface Setting {
  readonly cwd: string;
  readonly stdin?: Uint8Array | undefined;
  readonly env?: Record<string, string>;
}

/** Runs `merge`; without `stdin` it gets an empty one, with an environment a process of its own. */
export async function merge(argv: readonly string[], { cwd, stdin, env }: Setting): Promise<Merged> {
  const ran = stdin === undefined && env === undefined ? await served(SCRIPT, argv, cwd) : undefined;
  if (ran) return { ...ran, text: new TextDecoder().decode(ran.out) };
  const child = Bun.spawn([process.execPath, SCRIPT, ...argv], {
    cwd,
    stdin: stdin ?? "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, text: new TextDecoder().decode(out), err };
}

/** Starts `merge` and leaves it running. */
export const started = (argv: readonly string[], cwd: string) =>
  Bun.spawn([process.execPath, SCRIPT, ...argv], { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe" });

/** Runs a line of bash in which $MERGE is the merge script. */
export async function shell(line: string, cwd: string): Promise<Merged> {
  const child = Bun.spawn(["bash", "-c", line], {
    cwd,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...(await servedEnvironment(line)), MERGE: `${process.execPath} ${CLIENT} ${SCRIPT}` },
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).bytes(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  return { code, out, text: new TextDecoder().decode(out), err };
}

export interface Read {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly data: Uint8Array;
  readonly floats: Float32Array;
}

/** The tensors of a safetensors file, read without the code under test. */
export function readTensors(file: Uint8Array): Map<string, Read> {
  const { tensors } = readIndependently(file);
  return new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => {
      const bytes = data.slice();
      const floats = isFloat(dtype as Dtype) ? decodeFloats(bytes, dtype as Dtype) : new Float32Array();
      return [name, { dtype, shape, data: bytes, floats }];
    }),
  );
}

/** Values of a made tensor. */
export const floatsOf = ({ data, dtype }: Made): Float32Array => decodeFloats(data, dtype);
