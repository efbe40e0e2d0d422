/**
 * GGUF files and PyTorch's files that are damaged or made to harm: each is read or refused with a UserError, in bounded
 * time, and what is read lies inside the file.
 */
import { afterAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import fc from "fast-check";
import { open } from "../../src/checkpoint/open.ts";
import { Refused } from "../../src/checkpoint/pickle/globals.ts";
import { unpickle } from "../../src/checkpoint/pickle/unpickle.ts";
import { UserError } from "../../src/errors.ts";
import { HANG_MS } from "../support/hang.ts";
import { buildGguf, type GgufTensor, metadataOf } from "./gguf/fixture.ts";
import { dict, int, pickled, str, tensor, torchFile } from "./pickle/fixture.ts";
import { inFolder } from "./sample.ts";

const SEED = 20_261;
/** One word for each kind of refusal, by the message that names it. */
const KINDS: [string, RegExp][] = [
  ["counts against the file", /says it has|more than fit|is cut short|ends inside its header|says its zip directory/],
  ["places against the file", /ends at byte|after its storage|outside the file|over another entry|overlap/],
  ["GGUF header", /GGUF|alignment|value of type|sides|nested deeper|metadata|begins at offset|multiple of|parts of a/],
  ["GGUF type", /which is not supported/],
  ["GGUF model", /expected a whole number above 0|but the |but token_embd|rows, which|two tensors|rotary|blocks|table/],
  ["zip", /zip|compressed|encrypted|twice|two sizes|does not begin where|data\.pkl|possible size|TorchScript/],
  ["pickle", /its pickle/],
  ["tensors", /holds no tensors|dict of tensors|several places|view with steps|several times|does not have|not text/],
  [
    "another kind of file",
    /expected safetensors|a safetensors file|torch\.save|big-endian|header of|bytes, expected at most|states a header/,
  ],
];
const counts = new Map<string, number>();
const bump = (kind: string) => counts.set(kind, (counts.get(kind) ?? 0) + 1);
let slowest = 0;

function judged(started: number, error?: unknown): void {
  const ms = performance.now() - started;
  slowest = Math.max(slowest, ms);
  if (ms > HANG_MS) throw new Error(`a case took ${ms} ms`);
  if (error === undefined) return void bump("read");
  if (!(error instanceof UserError) && !(error instanceof Refused)) throw error;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not reach a terminal
  if (error instanceof UserError && /[\u0000-\u001f\u007f]/.test(error.message)) throw new Error("an unfit message");
  if (error instanceof Refused) return void bump("pickle alone");
  const kind = KINDS.find(([, pattern]) => pattern.test(error.message));
  if (kind === undefined) throw new Error(`no kind for: ${error.message}`);
  bump(kind[0]);
}

/** Opens a file and reads a part of each tensor, as large as it may be. */
async function tried(file: string): Promise<void> {
  const started = performance.now();
  let failure: unknown;
  try {
    const checkpoint = await open(file);
    try {
      for (const entry of checkpoint.tensors.values()) {
        const part = new Uint8Array(Math.min(entry.bytes, 1 << 16));
        await entry.read(part, entry.bytes - part.length);
      }
    } finally {
      checkpoint.close();
    }
  } catch (error) {
    failure = error;
  }
  judged(started, failure);
}

/** Changes of a few bytes: to odd values, of single bits, of whole words, and cuts. */
const edit = fc.record({
  at: fc.nat(2 ** 30 - 1).map((n) => n / 2 ** 30),
  op: fc.constantFrom("byte", "bit", "word", "long", "cut", "copy"),
  value: fc.oneof(fc.constantFrom(0, 1, 127, 128, 254, 255), fc.nat(255)),
});
type Edit = typeof edit extends fc.Arbitrary<infer T> ? T : never;

/** `near`: how much of the file the edits may hit, from its start (a header) or its end (a directory). */
function edited(file: Uint8Array, edits: readonly Edit[], near: { start: number; end: number }): Uint8Array {
  let bytes = file.slice();
  for (const { at, op, value } of edits) {
    const span = near.end - near.start;
    const place = Math.min(bytes.length - 1, near.start + Math.floor(at * span));
    if (op === "byte") bytes[place] = value;
    else if (op === "bit") bytes[place]! ^= 1 << (value & 7);
    else if (op === "word") bytes.fill(value, place, place + 4);
    else if (op === "long") bytes.fill(value, place, place + 8);
    else if (op === "copy") bytes.copyWithin(place, near.start + (value % span), near.start + (value % span) + 9);
    else bytes = bytes.slice(0, Math.max(4, place));
  }
  return bytes;
}

/** A model with every type of blocks, and a tokenizer. */
function quantized(): { file: Uint8Array; header: number } {
  const blocks: [string, number, number, number][] = [
    ["blk.0.attn_q.weight", 12, 256, 144],
    ["blk.0.attn_k.weight", 10, 256, 84],
    ["blk.0.attn_v.weight", 11, 256, 110],
    ["blk.0.attn_output.weight", 13, 256, 176],
    ["blk.0.ffn_gate.weight", 14, 256, 210],
    ["blk.0.ffn_up.weight", 23, 256, 136],
    ["blk.0.ffn_down.weight", 2, 32, 18],
    ["output.weight", 39, 32, 17],
    ["token_embd.weight", 8, 32, 34],
  ];
  const tensors = blocks.map(([name, type, weights, bytes]): GgufTensor => {
    const [columns, rows] = [256, name === "blk.0.ffn_up.weight" ? 64 : 16];
    return { name, type, dims: [columns, rows], bytes: new Uint8Array(((columns * rows) / weights) * bytes).fill(7) };
  });
  const metadata = {
    ...metadataOf("llama"),
    "llama.embedding_length": 256,
    "tokenizer.ggml.model": "llama",
    "tokenizer.ggml.tokens": ["<unk>", "<s>", "</s>", "a", "b", "ab"],
    "tokenizer.ggml.scores": [0, 0, 0, -1.5, -2, -0.5],
    "tokenizer.ggml.token_type": [2, 3, 3, 1, 1, 1],
    "tokenizer.chat_template": "{{ messages }}",
  };
  const file = buildGguf(metadata, tensors);
  const data = tensors.reduce((sum, { bytes }) => sum + Math.ceil(bytes.length / 32) * 32, 0);
  return { file, header: file.length - data };
}

const weights = new Uint8Array(64);
const view = (offset: number, shape: number[]) => tensor({ key: "0", elements: 16, offset, shape });
const PICKLE = pickled(dict({ epoch: int(3), name: str("x"), model: dict({ a: view(0, [2, 4]), b: view(8, [8]) }) }));

const run = (numRuns: number) => ({ numRuns, seed: SEED, endOnFailure: false });
const someEdits = fc.array(edit, { minLength: 1, maxLength: 3 });

describe("fuzz", () => {
  test(
    "2,500 GGUF files with quantized tensors",
    () =>
      inFolder(async (folder) => {
        const { file, header } = quantized();
        const name = path.join(folder, "x.gguf");
        fs.writeFileSync(name, file);
        await tried(name);
        expect(counts.get("read")).toBe(1);
        await fc.assert(
          fc.asyncProperty(someEdits, fc.boolean(), async (edits, table) => {
            fs.writeFileSync(name, edited(file, edits, { start: table ? header - 700 : 0, end: header }));
            await tried(name);
          }),
          run(2500),
        );
      }),
    60_000,
  );

  test(
    "2,500 files of torch.save",
    () =>
      inFolder(async (folder) => {
        const file = torchFile(PICKLE, { 0: weights });
        const name = path.join(folder, "x.bin");
        await fc.assert(
          fc.asyncProperty(someEdits, fc.boolean(), async (edits, directory) => {
            const start = directory ? file.length - 400 : 0;
            fs.writeFileSync(name, edited(file, edits, { start, end: file.length }));
            await tried(name);
          }),
          run(2500),
        );
      }),
    60_000,
  );

  test("30,000 pickles from memory", () => {
    const whole = { start: 2, end: PICKLE.length };
    fc.assert(
      fc.property(someEdits, (edits) => {
        const started = performance.now();
        try {
          unpickle(edited(PICKLE, edits, whole));
        } catch (error) {
          return judged(started, error);
        }
        judged(started);
      }),
      run(30_000),
    );
  }, 120_000);

  test("10,000 pickles of any opcodes", () => {
    const codes = fc.constantFrom(..."(.012NKMJGXUTCB]}ael)tuqrhjcRbQsioPI".split("").map((c) => c.charCodeAt(0)));
    const any = fc.oneof(codes, fc.integer({ min: 0x80, max: 0x98 }), fc.nat(255));
    fc.assert(
      fc.property(fc.array(any, { maxLength: 60 }), (bytes) => {
        const started = performance.now();
        try {
          unpickle(Uint8Array.from([...bytes, 0x2e]));
        } catch (error) {
          return judged(started, error);
        }
        judged(started);
      }),
      run(10_000),
    );
  }, 120_000);

  test("met every rule", () => {
    for (const [kind] of KINDS) expect([kind, counts.get(kind) ?? 0]).not.toEqual([kind, 0]);
  });

  afterAll(() => {
    const total = [...counts.values()].reduce((a, b) => a + b, 0);
    const rows = [...counts].sort((a, b) => b[1] - a[1]).map(([kind, n]) => `  ${String(n).padStart(6)}  ${kind}`);
    console.error(`fuzz: seed ${SEED}, ${total} cases, slowest ${slowest.toFixed(1)} ms\n${rows.join("\n")}`);
  });
});
