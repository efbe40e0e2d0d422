/**
 * Safetensors files for tests, made and read without the code under test: a writer that writes anything, and a
 * reader that follows the format's description and nothing else.
 */
import { expect } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { TensorInfo } from "../../src/checkpoint/checkpoint.ts";
import { DTYPE_BYTES, type Dtype } from "../../src/checkpoint/dtype.ts";
import { UserError } from "../../src/errors.ts";

/** A file with this header text and this data, whether they fit or not. */
export function raw(header: string | Uint8Array, data: Uint8Array = new Uint8Array(), length?: bigint): Uint8Array {
  const json = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const out = new Uint8Array(8 + json.length + data.length);
  new DataView(out.buffer).setBigUint64(0, length ?? BigInt(json.length), true);
  out.set(json, 8);
  out.set(data, 8 + json.length);
  return out;
}

export interface Made extends TensorInfo {
  data: Uint8Array;
}

/** Tensors with bytes that differ from place to place. */
export function make(specs: Record<string, [Dtype, number[]]>, salt = 0): Made[] {
  return Object.entries(specs).map(([name, [dtype, shape]], k) => {
    const bytes = shape.reduce((product, side) => product * side, 1) * DTYPE_BYTES[dtype];
    return { name, dtype, shape, bytes, data: Uint8Array.from({ length: bytes }, (_, i) => i * 7 + k * 31 + salt) };
  });
}

/** A valid file of these tensors. */
export function fileOf(tensors: readonly Made[], metadata?: Record<string, string>): Uint8Array {
  let at = 0;
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  for (const { name, dtype, shape, bytes } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  return raw(JSON.stringify(header), Buffer.concat(tensors.map(({ data }) => data)));
}

/** Reads a file as the format's description says: no checks but those the description demands of a writer. */
export function readIndependently(file: Uint8Array) {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = view.getUint32(0, true) + view.getUint32(4, true) * 2 ** 32;
  const text = new TextDecoder().decode(file.subarray(8, 8 + length));
  expect((8 + length) % 8).toBe(0);
  expect(text[0]).toBe("{");
  const { __metadata__: metadata = {}, ...rest } = JSON.parse(text) as Record<string, Record<string, unknown>>;
  const tensors = new Map<string, { dtype: string; shape: number[]; data: Uint8Array }>();
  let at = 0;
  for (const [name, info] of Object.entries(rest)) {
    const { dtype, shape, data_offsets } = info as { dtype: string; shape: number[]; data_offsets: [number, number] };
    expect(data_offsets[0]).toBe(at);
    at = data_offsets[1];
    tensors.set(name, { dtype, shape, data: file.subarray(8 + length + data_offsets[0], 8 + length + at) });
  }
  expect(8 + length + at).toBe(file.length);
  return { metadata: metadata as Record<string, string>, tensors };
}

/** Runs `body` in a temporary folder that is removed after. */
export async function inFolder<T>(body: (folder: string) => Promise<T> | T): Promise<T> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-test-"));
  try {
    return await body(folder);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

/** The UserError that `work` must throw. */
export async function refusal(work: () => unknown): Promise<UserError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof UserError) return error;
    throw error;
  }
  throw new Error("expected a UserError, but nothing was thrown");
}

/** All bytes of a tensor, read in one piece. */
export async function bytesOf(entry: {
  bytes: number;
  read(into: Uint8Array, offset: number): Promise<void>;
}): Promise<Uint8Array> {
  const into = new Uint8Array(entry.bytes);
  await entry.read(into, 0);
  return into;
}
