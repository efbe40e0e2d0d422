/**
 * Blocks beside those of gguf-py and libggml (test/golden/gguf-blocks, README there): the same bytes where the
 * reference rounds in one way only, and for searches an error as small as the reference's.
 */
import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { encodeFloats } from "../../../../src/checkpoint/decode.ts";
import { GGUF_TYPES } from "../../../../src/checkpoint/gguf/types.ts";
import { isTarget, TARGET_NAMES, targetOf } from "../../../../src/checkpoint/gguf/write/targets.ts";
import { openPlain } from "../../../../src/checkpoint/open.ts";
import { normals } from "../../../support/random.ts";
import { bytesOf } from "../../sample.ts";

const GOLDEN = path.join(import.meta.dir, "../../../golden/gguf-blocks");

interface Case {
  type: string;
  bytes: string;
  values: string;
  quantised_by: string;
  rms_error?: number;
}
const FILES: { file: string; cases: Case[] }[] = JSON.parse(fs.readFileSync(`${GOLDEN}/cases.json`, "utf8"));

async function read(file: string) {
  const opened = await openPlain(`${GOLDEN}/${file}.safetensors`);
  const found = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const [name, entry] of opened.tensors) found.set(name, new Uint8Array(await bytesOf(entry)));
  opened.close();
  return found;
}

const floats = (bytes: Uint8Array) => new Float32Array(bytes.slice().buffer);

/** The rows as blocks of a type. */
function quantized(type: string, weight: Float32Array): Uint8Array<ArrayBuffer> {
  const name = type.toLowerCase();
  if (!isTarget(name)) throw new Error(`${type} is not written`);
  const { quantizer } = targetOf(name);
  if (quantizer === undefined) return new Uint8Array(encodeFloats(weight, type === "F16" ? "F16" : "BF16"));
  const out = new Uint8Array((weight.length / quantizer.weights) * quantizer.bytes);
  quantizer.quantize(weight, weight.length / quantizer.weights, out);
  return out;
}

function rms(found: Float32Array, wanted: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < wanted.length; i++) sum += (found[i]! - wanted[i]!) ** 2;
  return Math.sqrt(sum / wanted.length);
}

/** Types whose reference tries scales and keeps the best; all others round each value once. */
const SEARCHED = /_K$|^IQ/;

describe.each(FILES)("$file", ({ file, cases }) => {
  const written = cases.filter(({ type }) => isTarget(type.toLowerCase()));

  test.each(written.filter(({ type }) => !SEARCHED.test(type)))("$bytes ($quantised_by) are the same", async (one) => {
    const golden = await read(file);
    const found = quantized(one.type, floats(golden.get("weight")!));
    expect(Buffer.compare(found, golden.get(one.bytes)!)).toBe(0);
  });

  test.each(written.filter(({ type }) => SEARCHED.test(type)))("$type errs no more than the reference", async (one) => {
    const golden = await read(file);
    const weight = floats(golden.get("weight")!);
    const blocks = Object.values(GGUF_TYPES).find(({ name }) => name === one.type)!.blocks!;
    const values = new Float32Array(weight.length);
    blocks.decode(quantized(one.type, weight), weight.length / blocks.weights, values);
    const error = rms(values, weight);
    expect(error).toBeLessThan(1.03 * one.rms_error!);
  });
});

test("zeros and blocks of one value come back", () => {
  for (const name of TARGET_NAMES.filter((target) => targetOf(target).quantizer !== undefined)) {
    const type = name.toUpperCase();
    const { weights, decode } = Object.values(GGUF_TYPES).find((one) => one.name === type)!.blocks!;
    for (const value of [0, 1, -2]) {
      const weight = new Float32Array(weights).fill(value);
      const back = new Float32Array(weights);
      decode(quantized(type, weight), 1, back);
      // Of a scale 11 bits are kept; a code of few bits times a scale of few bits misses by more.
      const worst = Math.max(...back.map((x) => Math.abs(x - value)));
      expect([type, value, worst <= Math.abs(value) * 2 ** -10]).toEqual([type, value, true]);
    }
  }
});

test("bits and errors are those of the table in docs/formats.md, and every type is in it", () => {
  const page = fs.readFileSync(path.join(import.meta.dir, "../../../../docs/formats.md"), "utf8");
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+\.\d+) \| (\d+\.\d+) % \|$/gm)].map(([, ...cells]) => cells);
  const names = TARGET_NAMES.filter((name) => targetOf(name).quantizer !== undefined);
  expect(rows.map(([name]) => name!).sort()).toEqual([...names].sort());
  const values = normals(1, 1 << 16);
  for (const [name, bits, error] of rows) {
    const blocks = Object.values(GGUF_TYPES).find((one) => one.name === name!.toUpperCase())!.blocks!;
    const back = new Float32Array(values.length);
    blocks.decode(quantized(name!, values), values.length / blocks.weights, back);
    const share = (100 * rms(back, values)) / rms(new Float32Array(values.length), values);
    expect([name, ((8 * blocks.bytes) / blocks.weights).toFixed(2), share.toFixed(2)]).toEqual([name, bits, error]);
  }
});
