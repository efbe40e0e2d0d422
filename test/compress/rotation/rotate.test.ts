/** `compress rotate`: Hadamard matrices, and models that compute the same. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../../src/checkpoint/open.ts";
import { hadamard, randomRotation } from "../../../src/compress/rotation/hadamard.ts";
import { collate } from "../../../src/data/batch.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { saveModel } from "../../../src/model/save.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { normals } from "../../support/random.ts";
import { TINY_DECODERS, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-rotate-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("rows of a Hadamard matrix are orthogonal, in every order that there is here", () => {
  const orders = Array.from({ length: 160 }, (_, i) => i + 1).filter((n) => hadamard(n));
  // Of all multiples of 4 these are not made of Paley's.
  const lacking = Array.from({ length: 40 }, (_, i) => 4 * (i + 1)).filter((n) => !orders.includes(n));
  expect(lacking).toEqual([52, 92, 100, 116, 156]);
  for (const n of orders) {
    const signs = hadamard(n)!;
    expect([...new Set(signs)].filter((sign) => Math.abs(sign) !== 1)).toEqual([]);
    for (let i = 0; i < n; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0;
        for (let k = 0; k < n; k++) sum += signs[i * n + k]! * signs[j * n + k]!;
        if (sum !== (i === j ? n : 0)) throw new Error(`rows ${i} and ${j} of order ${n}: ${sum}`);
      }
  }
  expect([hadamard(3), hadamard(6)]).toEqual([undefined, undefined]);
});

test("rotations hang on seed and name", () => {
  const one = randomRotation(12, 0, "a");
  expect(randomRotation(12, 0, "a")).toEqual(one);
  expect(randomRotation(12, 1, "a")).not.toEqual(one);
  expect(randomRotation(12, 0, "b")).not.toEqual(one);
});

test("inputs of which two are large lose less to rounding once they are turned", () => {
  const [n, tokens] = [48, 40];
  const x = normals(5, tokens * n).map((v, i) => (i % n === 7 || i % n === 30 ? 60 * v : v));
  const rotation = randomRotation(n, 1, "stream")!;
  const turned = Float32Array.from(x, (_, i) => {
    const [token, column] = [Math.floor(i / n) * n, i % n];
    let sum = 0;
    for (let k = 0; k < n; k++) sum += x[token + k]! * rotation[k * n + column]!;
    return sum;
  });
  /** What the ordinary inputs keep where each token is rounded to 4 bits by its largest: the share that becomes 0. */
  const lost = (values: Float32Array) =>
    values.filter((v, i) => {
      const token = Math.floor(i / n) * n;
      const most = Math.max(...values.subarray(token, token + n).map(Math.abs));
      return Math.round((7 * v) / most) === 0;
    }).length / values.length;
  expect(lost(x)).toBeGreaterThan(0.8);
  expect(lost(turned)).toBeLessThan(0.25);
});

const IDS = Int32Array.of(1, 5, 7, 2, 9, 49, 0, 3);
const BATCH = collate([[{ ids: IDS, labels: IDS, group: 0, place: "0" }]], { buckets: "none" });

async function logits(path: string): Promise<Float32Array> {
  const checkpoint = await open(path);
  const model = await Model.load(gpu, checkpoint, { freeze: () => true });
  const found = await logitsOf(gpu, model, BATCH);
  model.free();
  checkpoint.close();
  return found;
}

/** A random model, whose norms have gains of their own, saved. */
async function saved(name: string, json: Json): Promise<string> {
  const model = await Model.fresh(gpu, json, "m", { seed: 1, freeze: () => true });
  for (const { name, size, buffer } of model.parameters.values())
    if (/norm.*weight$/.test(name)) gpu.write(buffer, 0, new Uint8Array(normals(3, size, 0.3, 1).buffer));
  await saveModel(model, join(folder, name), {
    files: new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]),
    lineage: [],
  });
  model.free();
  return name;
}

const even = { num_attention_heads: 3, head_dim: 8 };
const MODELS: Record<string, Json> = {
  tied: { ...TINY_TEXT["llama with llama3 scaling and biases"]!, ...even },
  qwen3: { ...TINY_TEXT.qwen3!, ...even, num_key_value_heads: 3 },
  fused: { ...TINY_DECODERS.phi3!, ...even },
  granite: { ...TINY_DECODERS.granite!, ...even },
};

describe.each(Object.entries(MODELS))("%s", (name, json) => {
  test("computes the same when it is turned", async () => {
    await saved(name, json);
    const before = await logits(join(folder, name));
    const { code, err } = await runScript("compress", ["rotate", name, "--seed", "3", "-o", `${name}-turned`], folder);
    expect([code, err.split("\n").filter((line) => line.startsWith("error"))]).toEqual([0, []]);
    const after = await logits(join(folder, `${name}-turned`));
    const most = Math.max(...before.map(Math.abs));
    expect(Math.max(...before.map((x, i) => Math.abs(x - after[i]!)))).toBeLessThan(2e-4 * most);
    const [one, other] = await Promise.all([open(join(folder, name)), open(join(folder, `${name}-turned`))]);
    const read = async (checkpoint: typeof one, tensor: string) => {
      const entry = checkpoint.tensors.get(tensor)!;
      const bytes = new Uint8Array(entry.bytes);
      await entry.read(bytes, 0);
      return new Float32Array(bytes.buffer);
    };
    expect([...new Set(await read(other, "model.layers.1.input_layernorm.weight"))]).toEqual([1]);
    const o = "model.layers.0.self_attn.o_proj.weight";
    expect(await read(other, o)).not.toEqual(await read(one, o));
    one.close();
    other.close();
  });
});

test("refuses what rotations change", async () => {
  const refusal = async (name: string, json: Json, ...more: string[]) => {
    await saved(name, json);
    const { code, err } = await runScript("compress", ["rotate", name, ...more, "-o", `${name}-not`], folder);
    expect(code).toBe(2);
    return err;
  };
  expect(await refusal("cohere2", TINY_DECODERS.cohere2!)).toContain(
    "cohere2 cannot be rotated: its norms take the mean",
  );
  expect(await refusal("gemma2", TINY_DECODERS.gemma2!)).toContain("it has norms behind its layers");
  expect(await refusal("gpt2", TINY_TEXT.gpt2!)).toContain("gpt2 cannot be rotated");
  const odd = { ...TINY_TEXT.llama!, head_dim: 6 };
  expect(await refusal("odd", odd)).toContain("no Hadamard matrix of order 6 is known here (heads)");
  const { code } = await runScript("compress", ["rotate", "odd", "--heads", "false", "-n"], folder);
  expect(code).toBe(0);
});
