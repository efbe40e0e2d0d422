/** Importance matrices: their files, and what they do to the blocks that are written. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { gguf } from "@huggingface/gguf";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import { type Imatrix, imatrixContents, readImatrix } from "../../../src/checkpoint/gguf/imatrix.ts";
import { GGUF_TYPES } from "../../../src/checkpoint/gguf/types.ts";
import { TARGET_NAMES, targetOf } from "../../../src/checkpoint/gguf/write/targets.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { createWriter } from "../../../src/checkpoint/write/write.ts";
import { runShell } from "../../support/command.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";
import { bytesOf } from "../sample.ts";
import { buildGguf } from "./fixture.ts";
import { sampleOf, write } from "./write/fixture.ts";

setDefaultTimeout(120_000);
let top: string;
const at = (name: string) => path.join(top, name);
beforeAll(() => {
  top = fs.mkdtempSync(path.join(os.tmpdir(), "ingot-imatrix-"));
});
afterAll(() => fs.rmSync(top, { recursive: true }));

async function save(file: string, imatrix: Imatrix): Promise<void> {
  const { entries, tensors, values } = imatrixContents(imatrix);
  const writer = await createWriter(file, { tensors, files: new Map(), lineage: [], gguf: entries }, { flush: false });
  for (const [name, data] of values) await writer.write(name, new Uint8Array(data.buffer));
  await writer.finish();
}

const squares = (columns: number, counts: readonly number[], seed = 1) => ({
  columns,
  sums: normals(seed, columns * counts.length, 2).map((x) => Math.exp(2 * x)),
  counts: Float32Array.from(counts),
});
const imatrixOf = (...entries: [string, ReturnType<typeof squares>][]): Imatrix => ({
  of: new Map(entries),
  datasets: ["a.jsonl", "b.jsonl"],
  chunks: 7,
  chunkSize: 33,
});

test("a file is read again, and by Hugging Face's reader", async () => {
  const made = imatrixOf(
    ["blk.0.attn_q.weight", squares(5, [12])],
    ["blk.0.ffn_up_exps.weight", squares(3, [4, 0, 8], 2)],
  );
  await save(at("one.gguf"), made);
  expect(readImatrix(at("one.gguf"))).toEqual(made);
  const { metadata, tensorInfos } = await gguf(at("one.gguf"), { allowLocalFile: true });
  expect(metadata).toMatchObject({
    "general.type": "imatrix",
    "imatrix.datasets": ["a.jsonl", "b.jsonl"],
    "imatrix.chunk_count": 7,
    "imatrix.chunk_size": 33,
  } as object);
  expect(tensorInfos.map(({ name, shape, dtype }) => [name, shape.map(Number), dtype as number])).toEqual([
    ["blk.0.attn_q.weight.in_sum2", [5, 1], 0],
    ["blk.0.attn_q.weight.counts", [1, 1], 0],
    ["blk.0.ffn_up_exps.weight.in_sum2", [3, 3], 0],
    ["blk.0.ffn_up_exps.weight.counts", [1, 3], 0],
  ]);
});

describe("refused", () => {
  const f32s = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
  const tensor = (name: string, dims: number[], ...values: number[]) => ({
    name,
    dims,
    type: 0,
    bytes: f32s(...values),
  });
  const sums = tensor("x.in_sum2", [2, 1], 1, 2);
  const counts = tensor("x.counts", [1, 1], 3);
  const type = { "general.type": "imatrix" };
  test.each([
    ["a file that is none", undefined, /is not in the GGUF form/],
    ["a model", buildGguf({ "general.type": "model" }, [sums, counts]), /but no importance matrix/],
    ["sums without counts", buildGguf(type, [sums]), /"?x.in_sum2"? does not fit/],
    ["counts of other matrices", buildGguf(type, [sums, tensor("x.counts", [1, 2], 3, 4)]), /does not fit/],
    ["NaN", buildGguf(type, [tensor("x.in_sum2", [2, 1], 1, Number.NaN), counts]), /has the value NaN/],
    ["no tensors", buildGguf(type, []), /statistics of no tensor/],
  ])("%s", (_, bytes, message) => {
    fs.writeFileSync(at("bad.gguf"), bytes ?? "IMATRIX");
    expect(() => readImatrix(at("bad.gguf"))).toThrow(message);
    expect(() => readImatrix(at("absent.gguf"))).toThrow(/no such file/);
  });
});

describe("quantizers", () => {
  const searched = TARGET_NAMES.filter((name) => targetOf(name).quantizer && name !== "q8_0");
  const weight = normals(1, 1 << 14);
  const columns = normals(2, 512).map((x) => Math.exp(2 * x));

  /** Errors of rows of 512, each weighted by its column, as a share of the weighted values. */
  function errorOf(name: (typeof searched)[number], known?: Float32Array): number {
    const { quantizer } = targetOf(name);
    const { weights, decode } = Object.values(GGUF_TYPES).find((one) => one.name === name.toUpperCase())!.blocks!;
    const out = new Uint8Array((weight.length / weights) * quantizer!.bytes);
    quantizer!.quantize(weight, weight.length / weights, out, known);
    const back = new Float32Array(weight.length);
    decode(out, weight.length / weights, back);
    const sum = (of: (i: number) => number) => weight.reduce((all, _, i) => all + columns[i % 512]! * of(i) ** 2, 0);
    return Math.sqrt(sum((i) => weight[i]! - back[i]!) / sum((i) => weight[i]!));
  }

  test.each(searched)("%s errs less where activations are large: by a sixth or more", (name) => {
    expect(errorOf(name, columns)).toBeLessThan(0.84 * errorOf(name));
  });

  test.each(searched)("%s: columns that are 0 throughout are as good as unknown", (name) => {
    const dead = errorOf(name, new Float32Array(512));
    expect(dead).toBeGreaterThan(0);
    expect(dead).toBeLessThan(1.1 * errorOf(name));
  });
});

const WIDE = { ...TINY_TEXT.llama!, hidden_size: 64, num_attention_heads: 4, num_key_value_heads: 2 };

describe("a model that is written", () => {
  test("weighs every matrix by its own statistics, in the order of its columns", async () => {
    const sample = await sampleOf({ ...WIDE, intermediate_size: 96 }, "F32");
    const stored = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"];
    const entries = [0, 1].flatMap((layer) => [
      ...stored.map((name, i) => [`blk.${layer}.${name}.weight`, squares(64, [2], 10 * layer + i)] as const),
      [`blk.${layer}.ffn_down.weight`, squares(96, [2], 10 * layer + 9)] as const,
    ]);
    await save(at("all.gguf"), imatrixOf(...entries.map(([name, one]) => [name, one] as [string, typeof one])));
    const said = await write(sample, at("known.gguf"), { ggufType: ["q4_0"], ggufImatrix: at("all.gguf") });
    await write(sample, at("plain.gguf"), { ggufType: ["q4_0"] });
    expect(said.join()).toMatch(/no statistics of token_embd.weight, output.weight: quantized as without it/);
    const [known, plain] = [await open(at("known.gguf")), await open(at("plain.gguf"))];
    const columnsOf = new Map<string, ReturnType<typeof squares>>(entries);
    for (const { name, shape, data } of sample.tensors) {
      const short = /layers\.(\d)\.(?:self_attn|mlp)\.(\w)/.exec(name);
      if (!short) continue;
      const as = { q: "attn_q", k: "attn_k", v: "attn_v", o: "attn_output", g: "ffn_gate", u: "ffn_up", d: "ffn_down" };
      const { sums } = columnsOf.get(`blk.${short[1]}.${as[short[2] as "q"]}.weight`)!;
      const wanted = decodeFloats(data, "F32");
      const error = async (from: typeof known) => {
        const back = decodeFloats(await bytesOf(from.tensors.get(name)!), "F32");
        return wanted.reduce((all, x, i) => all + sums[i % shape[1]!]! * (x - back[i]!) ** 2, 0);
      };
      expect([name, (await error(known)) < 0.9 * (await error(plain))]).toEqual([name, true]);
    }
    for (const one of [known, plain]) one.close();
    const { metadata } = await gguf(at("known.gguf"), { allowLocalFile: true });
    expect(metadata).toMatchObject({
      "quantize.imatrix.file": at("all.gguf"),
      "quantize.imatrix.dataset": "a.jsonl, b.jsonl",
      "quantize.imatrix.entries_count": 14,
      "quantize.imatrix.chunks_count": 7,
    } as object);
  });

  test("each expert has statistics of its own; one that no token met is quantized without", async () => {
    const sample = await sampleOf({ ...TINY_EXPERTS.mixtral!, hidden_size: 32, num_attention_heads: 4 }, "F32");
    await save(at("e.gguf"), imatrixOf(["blk.0.ffn_gate_exps.weight", squares(32, [3, 0, 5, 1])]));
    await write(sample, at("known.gguf"), { ggufType: ["q4_0"], ggufImatrix: at("e.gguf") });
    await write(sample, at("plain.gguf"), { ggufType: ["q4_0"] });
    const [known, plain] = [await open(at("known.gguf")), await open(at("plain.gguf"))];
    const same = async (expert: number, layer = 0) => {
      const name = `model.layers.${layer}.block_sparse_moe.experts.${expert}.w1.weight`;
      const [a, b] = [await bytesOf(known.tensors.get(name)!), await bytesOf(plain.tensors.get(name)!)];
      return Buffer.compare(a, b) === 0;
    };
    expect([await same(0), await same(1), await same(2), await same(3), await same(0, 1)]).toEqual([
      ...[false, true, false, false, true],
    ]);
    for (const one of [known, plain]) one.close();
  });

  test("statistics that no type can use are refused", async () => {
    const sample = await sampleOf({ ...WIDE, intermediate_size: 96 }, "F32");
    await save(at("idle.gguf"), imatrixOf(["blk.0.attn_q.weight", squares(64, [1])]));
    const written = write(sample, at("none.gguf"), { ggufType: ["q8_0"], ggufImatrix: at("idle.gguf") });
    await expect(written).rejects.toThrow("--gguf-imatrix has no effect");
  });

  test("a folder is refused as what it is", () => {
    expect(() => readImatrix(top)).toThrow(`${top} is a folder; expected a file`);
  });

  test("statistics of another model are refused", async () => {
    const sample = await sampleOf({ ...WIDE, intermediate_size: 96 }, "F32");
    const refused = (imatrix: Imatrix, message: RegExp) =>
      save(at("other.gguf"), imatrix).then(() =>
        expect(write(sample, at("none.gguf"), { ggufType: ["q4_0"], ggufImatrix: at("other.gguf") })).rejects.toThrow(
          message,
        ),
      );
    await refused(imatrixOf(["blk.0.attn_q.weight", squares(32, [1])]), /attn_q.weight"? are of 1 x 32 columns/);
    await refused(imatrixOf(["blk.9.attn_q.weight", squares(64, [1])]), /and of no matrix that is quantized/);
    expect(fs.existsSync(at("none.gguf"))).toBe(false);
  });
});

describe("from the shell", () => {
  test("a place that cannot be written is refused before anything is measured", async () => {
    fs.writeFileSync(at("few.jsonl"), JSON.stringify({ input_ids: [1, 2, 3] }));
    await write(await sampleOf(TINY_TEXT.llama!, "F32"), at("plain"), {});
    // No such device: it is not opened before the place is known to be good.
    const line = "$EVALUATE imatrix plain --data few.jsonl --device none -o absent/im.gguf";
    const { code, err } = await runShell(line, top);
    expect([err, code]).toEqual([expect.stringContaining("absent: no such folder"), 2]);
  });

  const config = { ...TINY_TEXT.llama!, hidden_size: 256, intermediate_size: 256, num_hidden_layers: 1 };
  const init = { ...config, num_attention_heads: 4, num_key_value_heads: 2, vocab_size: 260, initializer_range: 0.06 };

  test("a trained model of few bits loses less with what was measured on its data", async () => {
    const words = "the cat sat on a mat while the dog ran to the red barn".split(" ");
    const picks = normals(5, 24 * 6);
    const row = (i: number) =>
      Array.from(picks.subarray(6 * i, 6 * i + 6), (x) => words[Math.abs(Math.floor(4 * x)) % words.length]).join(" ");
    const rows = Array.from({ length: 24 }, (_, i) => JSON.stringify({ text: row(i) }));
    fs.writeFileSync(at("rows.jsonl"), rows.join("\n"));
    fs.writeFileSync(at("init.json"), JSON.stringify({ ...init, tie_word_embeddings: true }));
    const types = "--gguf-type q2_k,token_embd.weight=f16";
    const { code, err, text } = await runShell(
      "set -e; $TRAIN --init init.json --tokenizer byte --data rows.jsonl --steps 25 --batch-size 6 --lr 3e-3 -o m/;" +
        "$EVALUATE imatrix m/ --data rows.jsonl -o im.gguf; $EVALUATE imatrix m/ --data rows.jsonl -o again.gguf;" +
        `$MERGE m/ --method passthrough ${types} -o p.gguf;` +
        `$MERGE m/ --method passthrough ${types} --gguf-imatrix im.gguf -o i.gguf;` +
        "$EVALUATE m/ p.gguf i.gguf --data rows.jsonl --metric perplexity --bootstrap 0 --json",
      top,
    );
    expect([err, code]).toEqual([expect.any(String), 0]);
    expect(fs.readFileSync(at("im.gguf")).equals(fs.readFileSync(at("again.gguf")))).toBe(true);
    const { of } = readImatrix(at("im.gguf"));
    expect([...of.keys()].sort()).toEqual(
      ["attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up"].map(
        (one) => `blk.0.${one}.weight`,
      ),
    );
    const found = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const [whole, plain, known] = found[0].rows.map(({ value }: { value: number }) => value);
    expect(known).toBeLessThan(plain);
    expect(plain).toBeGreaterThan(whole);
  });

  test("models and targets that there is no matrix of are refused", async () => {
    await write(await sampleOf(TINY_TEXT.gpt2!), at("g/"));
    fs.writeFileSync(at("ids.jsonl"), JSON.stringify({ input_ids: [1, 2, 3] }));
    const ran = await runShell("$EVALUATE imatrix g/ --data ids.jsonl -o x.gguf", top);
    expect([ran.err, ran.code]).toEqual([expect.stringMatching(/not made of models of type gpt2/), 2]);
    const other = await runShell("$EVALUATE imatrix g/ --data ids.jsonl -o x/", top);
    expect(other.err).toMatch(/an importance matrix is a GGUF file, and x\/ is none/);
  });
});
