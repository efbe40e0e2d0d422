import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { collate, type NumbersBatch, stackExamples, type TokenBatch } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { measureImportance } from "../../src/run/fisher/importance.ts";
import type { UnlearnEdit } from "../../src/unlearn/contract.ts";
import { saveImportance } from "../../src/unlearn/importance.ts";
import { method as ssd, usualAlpha } from "../../src/unlearn/methods/edits/ssd.ts";
import { covers } from "../support/covers.ts";
import { sharedGpu } from "../support/gpu.ts";
import { finiteDifference } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

covers("training/add-square", "unlearn/dampen");

const gpu = await sharedGpu();
const folder = mkdtempSync(join(tmpdir(), "ingot-ssd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const { signal } = new AbortController();

const [INPUT, HIDDEN, CLASSES] = [5, 4, 3];
const CONFIG: Json = {
  model_type: "mlp",
  input_size: INPUT,
  hidden_sizes: [HIDDEN],
  num_labels: CLASSES,
  hidden_act: "gelu",
};

const fresh = (seed = 3) => Model.fresh(gpu, CONFIG, "test", { seed });
const exampleOf = (row: number, label = row % CLASSES) => ({ x: normals(100 + row, INPUT), shape: [INPUT], label });
const batches = (rows: readonly number[], size: number): NumbersBatch[] =>
  Array.from({ length: Math.ceil(rows.length / size) }, (_, i) =>
    stackExamples(rows.slice(i * size, (i + 1) * size).map((row) => exampleOf(row))),
  );
const FORGET = [0, 3, 6];
const RETAIN = [1, 2, 4, 5, 7, 8, 10, 11, 13, 14, 16, 17];

async function weightsOf(model: Model): Promise<Map<string, Float32Array>> {
  const found = new Map<string, Float32Array>();
  for (const { name, buffer, size } of model.trainable()) found.set(name, await gpu.readFloats(buffer, size));
  return found;
}

/** Error function by its series; arguments here are small. */
const erf = (x: number): number => {
  let [term, sum] = [x, x];
  for (let n = 1; n < 80; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
};

/** Logits in float64. */
function logits(weights: ReadonlyMap<string, ArrayLike<number>>, x: ArrayLike<number>): number[] {
  const layer = (module: string, input: ArrayLike<number>, out: number) =>
    Array.from({ length: out }, (_, o) => {
      let sum = weights.get(`${module}.bias`)![o]!;
      for (let i = 0; i < input.length; i++) sum += weights.get(`${module}.weight`)![o * input.length + i]! * input[i]!;
      return sum;
    });
  const hidden = layer("layers.0", x, HIDDEN).map((h) => 0.5 * h * (1 + erf(h / Math.SQRT2)));
  return layer("classifier", hidden, CLASSES);
}
const crossEntropy = (z: readonly number[], label: number) =>
  Math.log(z.reduce((sum, value) => sum + Math.exp(value), 0)) - z[label]!;

type Loss = (z: readonly number[], label: number) => number;

/** Mean over batches of the squares (or magnitudes) of the gradient of the batch's mean loss. */
function reference(
  weights: ReadonlyMap<string, Float32Array>,
  given: readonly NumbersBatch[],
  loss: Loss,
  magnitude = false,
): Map<string, Float64Array> {
  const found = new Map<string, Float64Array>();
  for (const [name, values] of weights) {
    const sum = new Float64Array(values.length);
    for (const { x, labels, rows } of given) {
      const mean = (changed: Float64Array) => {
        const all = new Map<string, ArrayLike<number>>([...weights, [name, changed]]);
        let total = 0;
        for (let row = 0; row < rows; row++)
          total += loss(logits(all, x.subarray(row * INPUT, (row + 1) * INPUT)), labels[row]!) / rows;
        return Float64Array.of(total);
      };
      for (const [i, g] of finiteDifference(mean, values, [1]).entries())
        sum[i]! += (magnitude ? Math.abs(g) : g * g) / given.length;
    }
    found.set(name, sum);
  }
  return found;
}

const edit = (ssd as UnlearnEdit).edit!;
async function dampened(
  values: Record<string, unknown>,
  {
    forget = batches(FORGET, 1),
    retain = batches(RETAIN, 1),
    model,
  }: { forget?: NumbersBatch[]; retain?: NumbersBatch[]; model?: Model } = {},
) {
  const used = model ?? (await fresh());
  const warnings: string[] = [];
  const told = (await edit({
    model: used,
    forget,
    retain,
    values: { lambda: 1, fisher: "sample", label_free: false, ...values } as never,
    signal,
    warn: (text) => warnings.push(text),
    done: () => {},
  })) as { alpha: number; selected: number; weights: number; share: number };
  return { told, warnings, weights: await weightsOf(used) };
}

describe("importances", () => {
  test.each([
    ["of every row", 1, false],
    ["of batches, the last one smaller", 5, false],
    ["without labels", 4, true],
  ] as const)("%s agree with float64 differences", async (_, size, labelFree) => {
    const model = await fresh();
    const given = batches(RETAIN, size);
    const measured = await measureImportance(model, given, { labelFree, signal });
    expect(measured.rows).toBe(RETAIN.length);
    const loss: Loss = labelFree ? (z) => z.reduce((sum, value) => sum + value * value, 0) : crossEntropy;
    const expected = reference(await weightsOf(model), given, loss, labelFree);
    for (const [{ name, size }, { buffer }] of measured.of) {
      const got = await gpu.readFloats(buffer, size);
      const most = expected.get(name)!.reduce((a, b) => Math.max(a, b), 0);
      for (const [i, value] of expected.get(name)!.entries())
        expect(Math.abs(got[i]! - value)).toBeLessThan(1e-5 * most);
    }
    measured.free();
  });

  test("of a language model are those of the mean over the tokens that count", async () => {
    const model = await Model.fresh(gpu, TINY_TEXT.llama!, "test", { seed: 1 });
    const sequence = (seed: number, length: number, from: number) => {
      const ids = Int32Array.from({ length }, (_, i) => (7 * i + 11 * seed) % 50);
      return { ids, labels: ids.map((id, i) => (i < from ? -100 : id)), group: 0, place: `${seed}` };
    };
    const rows = [sequence(1, 9, 3), sequence(2, 5, 1), sequence(3, 12, 10)];
    const all = rows.map((row) => collate([[row]]));
    const each = await Promise.all(all.map((batch) => measureImportance(model, [batch], { labelFree: false, signal })));
    const both = await measureImportance(model, all, { labelFree: false, signal });
    for (const [parameter, { buffer }] of both.of) {
      const got = await gpu.readFloats(buffer, parameter.size);
      const parts = await Promise.all(each.map(({ of }) => gpu.readFloats(of.get(parameter)!.buffer, parameter.size)));
      const most = got.reduce((a, b) => Math.max(a, b), 0);
      for (const [i, value] of got.entries())
        expect(Math.abs(value - parts.reduce((sum, part) => sum + part[i]! / 3, 0))).toBeLessThan(1e-5 * most);
    }
    for (const found of [...each, both]) found.free();
  });
});

describe("dampening", () => {
  test("follows the formula, against float64", async () => {
    const before = await weightsOf(await fresh());
    const f = reference(before, batches(FORGET, 1), crossEntropy);
    const r = reference(before, batches(RETAIN, 1), crossEntropy);
    const share = FORGET.length / (FORGET.length + RETAIN.length);
    const [alpha, lambda] = [1.5, 0.7];
    const { told, weights } = await dampened({ alpha, lambda });
    let selected = 0;
    for (const [name, values] of before) {
      for (const [i, w] of values.entries()) {
        const [own, all] = [f.get(name)![i]!, share * f.get(name)![i]! + (1 - share) * r.get(name)![i]!];
        expect(Math.abs(own / all - alpha)).toBeGreaterThan(1e-3); // none lies on the border
        const chosen = own > alpha * all;
        if (chosen) selected++;
        const expected = chosen ? w * Math.min((lambda * all) / own, 1) : w;
        expect(Math.abs(weights.get(name)![i]! - expected)).toBeLessThan(1e-4 * Math.abs(w) + 1e-9);
        if (!chosen) expect(weights.get(name)![i]).toBe(w);
      }
    }
    expect(selected).toBeGreaterThan(3);
    expect(told).toMatchObject({ alpha, selected });
    expect(told.share).toBeCloseTo(selected / told.weights, 12);
  });

  test("alpha without bound leaves every bit, and says so", async () => {
    const { weights, warnings, told } = await dampened({ alpha: 1e30 });
    expect(weights).toEqual(await weightsOf(await fresh()));
    expect(told.selected).toBe(0);
    expect(warnings).toEqual([
      "alpha 1e+30 is not below 5.00, all rows over those to forget: with --fisher sample nothing can be selected",
      "alpha 1e+30 selects no weight: the model is as it was; give a smaller --alpha",
    ]);
  });

  test("a forget set that is all the data leaves every bit for alpha of 1 or more", async () => {
    const same = batches(RETAIN, 4);
    const { weights, told } = await dampened({ alpha: 1, fisher: "batch" }, { forget: same, retain: same });
    expect(told.selected).toBe(0);
    expect(weights).toEqual(await weightsOf(await fresh()));
  });

  test("a large lambda is the identity; 0 makes what is selected 0", async () => {
    const before = await weightsOf(await fresh());
    const large = await dampened({ alpha: 1.5, lambda: 1e9 });
    expect(large.told.selected).toBeGreaterThan(0);
    expect(large.weights).toEqual(before);
    const zero = await dampened({ alpha: 1.5, lambda: 0 });
    let zeros = 0;
    for (const [name, values] of before)
      for (const [i, w] of values.entries()) if (w !== 0 && zero.weights.get(name)![i] === 0) zeros++;
    expect(zeros).toBeGreaterThan(0);
    expect(zeros).toBeLessThanOrEqual(zero.told.selected);
  });

  test("more is selected the smaller alpha is", async () => {
    const counts: number[] = [];
    for (const alpha of [0.5, 1, 1.5, 2, 3]) counts.push((await dampened({ alpha })).told.selected);
    expect(counts).toEqual(counts.toSorted((a, b) => b - a));
    expect(counts[0]!).toBeGreaterThan(counts.at(-1)!);
  });

  test("warns when it takes more than 15 % of the weights", async () => {
    const { warnings, told } = await dampened({ alpha: 0.5 });
    expect(told.share).toBeGreaterThan(0.15);
    expect(warnings[0]).toMatch(
      /^alpha 0.5 selects \d+\.\d % of the weights; expect damage, or give a larger --alpha$/,
    );
  });

  test("alpha by itself stays below what selects nothing", async () => {
    expect(usualAlpha(0.01)).toBe(10);
    expect(usualAlpha(0.2)).toBe(2.5);
    expect((await dampened({})).told.alpha).toBeCloseTo(2.5, 12);
  });

  test.each(["sample", "batch"])(
    "importances from a file give what measuring anew gives, --fisher %s",
    async (fisher) => {
      const size = fisher === "sample" ? 1 : 5;
      const all = [...FORGET, ...RETAIN];
      const model = await fresh();
      const file = join(folder, `${fisher}.safetensors`);
      const measured = await measureImportance(model, batches(all, size), { labelFree: false, signal });
      await saveImportance(model, measured, file);
      measured.free();
      const given = { forget: batches(FORGET, size) };
      const usual = await dampened({ fisher, importance: file }, { ...given, retain: [] });
      expect(usual.told.alpha).toBeCloseTo(2.5, 12);
      const saved = await dampened({ fisher, alpha: 1.5, importance: file }, { ...given, retain: [] });
      expect(saved.told.selected).toBeGreaterThan(0);
      if (fisher === "sample") {
        // The mean over all rows is the mean of both sets by their shares, but for rounding.
        const anew = await dampened({ fisher, alpha: 1.5 }, { ...given, retain: batches(RETAIN, size) });
        expect(saved.told.selected).toBe(anew.told.selected);
        for (const [name, values] of anew.weights)
          for (const [i, w] of values.entries())
            expect(Math.abs(saved.weights.get(name)![i]! - w)).toBeLessThan(1e-4 * Math.abs(w) + 1e-9);
      }
      const again = await dampened({ fisher, alpha: 1.5, importance: file }, { ...given, retain: [] });
      expect(again.weights).toEqual(saved.weights);
    },
  );

  test("warns when gradients of different sizes are compared", async () => {
    const { warnings } = await dampened(
      { fisher: "batch" },
      { forget: batches(FORGET, 5), retain: batches(RETAIN, 5) },
    );
    expect(warnings[0]).toStartWith(
      "importances to the forget set are of gradients of 3 rows, those to the others of 5; they compare at one size only",
    );
  });

  test("refuses importances of another model", async () => {
    const file = join(folder, "other.safetensors");
    const other = await Model.fresh(gpu, { ...CONFIG, hidden_sizes: [7] }, "test", { seed: 1 });
    await saveImportance(other, await measureImportance(other, batches(RETAIN, 1), { labelFree: false, signal }), file);
    expect(dampened({ importance: file }, { retain: [] })).rejects.toThrow(
      `${file} has no importances of layers.0.weight (4, 5)`,
    );
  });

  test("a tied embedding is selected as the one weight that it is", async () => {
    const config = { ...TINY_TEXT.llama!, tie_word_embeddings: true };
    const model = await Model.fresh(gpu, config, "test", { seed: 1 });
    const rows = (first: number): TokenBatch[] =>
      [0, 1, 2].map((row) => {
        const ids = Int32Array.from({ length: 6 }, (_, i) => (first + 5 * row + 3 * i) % 50);
        return collate([[{ ids, labels: ids, group: 0, place: `${row}` }]]);
      });
    const counts = model.trainable().filter(({ name }) => /embed|lm_head/.test(name));
    expect(counts.map(({ name }) => name)).toEqual(["model.embed_tokens.weight"]);
    const { told, weights } = await dampened(
      { alpha: 1.5 },
      { forget: rows(0) as never, retain: rows(20) as never, model },
    );
    expect(told.selected).toBeGreaterThan(0);
    expect([...weights.values()].every((values) => values.every(Number.isFinite))).toBe(true);
  });
});
