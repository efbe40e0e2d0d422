/**
 * Causal tracing in memory: what is restored is the clean run, nothing restored the corrupted one, and all between as
 * float64 has it.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import fc from "fast-check";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { blocksHolding, causalTrace, spotsOf, windowAt } from "../../../src/run/tracing/causal-trace.ts";
import type { Fact } from "../../../src/run/tracing/facts.ts";
import { embeddingDeviation, PARTS, type Part, type Restored, Tracer } from "../../../src/run/tracing/tracer.ts";
import { type Replace, referenceLogits } from "../../model/reference.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { normals } from "../../support/random.ts";
import { TINY_EXPERTS, TINY_NEOX, TINY_TEXT } from "../../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();

const fact = (ids: readonly number[], prompt: number, subject: readonly number[]): Fact => ({
  ids: Int32Array.from(ids),
  prompt,
  answer: Array.from({ length: ids.length - prompt }, (_, i) => prompt + i),
  subject,
  place: "here:1",
  index: 0,
});

describe("what is traced", () => {
  test("the last token of the subject and of the prompt, or all from the subject on", () => {
    const given = { subject: [2, 3, 5], prompt: 9 };
    expect(spotsOf(given, false)).toEqual([
      { spot: "subject", place: 5 },
      { spot: "end", place: 8 },
    ]);
    expect(spotsOf(given, true).map(({ spot, place }) => `${place} ${spot}`)).toEqual([
      "2 earlier",
      "3 earlier",
      "4 earlier",
      "5 subject",
      "6 between",
      "7 between",
      "8 end",
    ]);
    expect(spotsOf({ subject: [0, 1], prompt: 2 }, false)).toEqual([{ spot: "subject", place: 1 }]);
  });

  test("windows lie about their block and end where the model does", () => {
    expect([0, 3, 5].map((block) => windowAt(block, 1, 6))).toEqual([[0], [3], [5]]);
    expect([0, 3, 5].map((block) => windowAt(block, 3, 6))).toEqual([
      [0, 1],
      [2, 3, 4],
      [4, 5],
    ]);
    expect(windowAt(2, 10, 6)).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test("the blocks that hold a share are the fewest", () => {
    expect(blocksHolding([1, 5, 3, 1], 0.8)).toEqual({ first: 1, last: 2, share: 0.8 });
    expect(blocksHolding([1, -5, 1], 0.5)).toEqual({ first: 0, last: 0, share: 0.5 });
    expect(blocksHolding([0, -1], 0.8)).toBeUndefined();
    expect(blocksHolding([Number.NaN, 1], 0.8)).toBeUndefined();
    const effects = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 1, maxLength: 9 });
    fc.assert(
      fc.property(effects, fc.integer({ min: 1, max: 10 }), (list, tenths) => {
        const found = blocksHolding(list, tenths / 10);
        const held = (first: number, last: number) =>
          list.slice(first, last + 1).reduce((sum, x) => sum + Math.max(0, x), 0) * 10;
        const goal = held(0, list.length) * (tenths / 10);
        if (!found) return expect(goal).toBe(0);
        expect(held(found.first, found.last)).toBeGreaterThanOrEqual(goal - 1e-9);
        for (let first = 0; first + found.last - found.first - 1 < list.length && found.last > found.first; first++)
          expect(held(first, first + found.last - found.first - 1)).toBeLessThan(goal);
      }),
    );
  });
});

const ROW = [3, 17, 40, 8, 21, 5, 33, 9];
const all = (n: number) => Array.from({ length: n }, (_, i) => i);

describe.each(Object.entries({ ...TINY_TEXT, ...TINY_NEOX, ...TINY_EXPERTS }))("%s", (_, json) => {
  let model: Model;
  let tracer: Tracer;
  beforeAll(async () => {
    model = await Model.fresh(gpu, json, "tiny", { seed: 4, freeze: () => true });
    tracer = new Tracer(model, 5);
  });
  afterAll(() => {
    tracer.free();
    model.free();
  });
  const two = fact(ROW, 6, [1, 2]);
  const one = fact(ROW.slice(0, 6), 5, [1, 2]);
  const noise = normals(8, 48);

  test("restoring all is the clean run, restoring nothing the corrupted one, to the bit", async () => {
    const blocks = all(model.sizes.layers);
    const asked: Restored[] = PARTS.flatMap((part) => [
      { part, blocks: [], places: all(8) },
      { part, blocks, places: [] },
      { part, blocks, places: [0] }, // before the subject
    ]);
    const { clean, corrupted, restored } = await tracer.trace(two, noise, [
      { part: "state", blocks, places: all(7) },
      ...asked,
    ]);
    expect(Math.abs(clean - corrupted)).toBeGreaterThan(1e-3 * clean);
    expect(restored).toEqual([clean, ...asked.map(() => corrupted)]);
  });

  test("the state at the prompt's last token decides its next one", async () => {
    const blocks = all(model.sizes.layers);
    const asked = blocks.map((block): Restored => ({ part: "state", blocks: [block], places: [4] }));
    const { clean, restored } = await tracer.trace(one, noise, asked);
    expect(restored.at(-1)).toBe(clean);
    expect(restored[0]).not.toBe(clean);
  });

  test("without noise all runs are one", async () => {
    const asked = PARTS.flatMap((part) =>
      all(model.sizes.layers).map((block): Restored => ({ part, blocks: [block], places: [2, 5] })),
    );
    const { clean, corrupted, restored } = await tracer.trace(two, new Float32Array(48), asked);
    expect(new Set([clean, corrupted, ...restored]).size).toBe(1);
  });
});

describe("against float64", () => {
  const CASES = ["llama", "llama with llama3 scaling and biases", "qwen3"];
  test.each(CASES)("%s", async (kind) => {
    const json: Json = { ...TINY_TEXT[kind]!, num_hidden_layers: 3 };
    const model = await Model.fresh(gpu, json, "tiny", { seed: 7, freeze: () => true });
    const weights = new Map<string, Float64Array>();
    for (const [name, parameter] of model.parameters)
      weights.set(name, Float64Array.from(await gpu.readFloats(parameter.buffer, parameter.size)));
    const table = weights.get("model.embed_tokens.weight")!;
    const mean = table.reduce((a, b) => a + b, 0) / table.length;
    const deviation = Math.sqrt(table.reduce((sum, x) => sum + (x - mean) ** 2, 0) / table.length);
    expect(await embeddingDeviation(model)).toBeCloseTo(deviation, 6);

    const given = fact(ROW, 6, [1, 2]);
    const noise = normals(9, 48, 0.5);
    const states = new Map<string, Float64Array[]>();
    const probability = (replace: Replace): number => {
      const logits = referenceLogits(json, weights, { ids: [ROW] }, undefined, replace);
      const logs = given.answer.map((at) => {
        const row = logits.subarray((at - 1) * 50, at * 50);
        return row[ROW[at]!]! - Math.log(row.reduce((sum, x) => sum + Math.exp(x), 0));
      });
      return Math.exp(logs.reduce((a, b) => a + b, 0) / logs.length);
    };
    const clean = probability((name, x) => {
      states.set(name, x);
      return x;
    });
    const corrupt = (x: Float64Array[]) =>
      x.map((v, i) => (given.subject.includes(i) ? v.map((y, c) => y + noise[24 * given.subject.indexOf(i) + c]!) : v));
    const plus = (a: Float64Array, b: Float64Array, c: Float64Array) => a.map((v, i) => v + b[i]! - c[i]!);
    const patched = ({ part, blocks, places }: Restored): number => {
      let before: Float64Array[] = [];
      return probability((name, x) => {
        const [kind, index] = name.split(".");
        const block = Number(index) - (kind === "hidden" ? 1 : 0);
        const into = kind === "middle" ? `hidden.${block}` : `middle.${block}`;
        const parts: Part[] = kind === "middle" ? ["attn"] : ["mlp", "state"];
        const y =
          name === "hidden.0"
            ? corrupt(x)
            : x.map((v, i) => {
                if (!parts.includes(part) || !blocks.includes(block) || !places.includes(i)) return v;
                if (part === "state") return states.get(name)![i]!;
                return plus(before[i]!, states.get(name)![i]!, states.get(into)![i]!);
              });
        before = y;
        return y;
      });
    };
    const asked: Restored[] = PARTS.flatMap((part) =>
      [[0], [1], [2], [0, 1], [1, 2]].flatMap((blocks) =>
        [[2], [5], [1, 2, 3]].map((places) => ({ part, blocks, places })),
      ),
    );
    const tracer = new Tracer(model, 9);
    const traced = await tracer.trace(given, noise, asked);
    tracer.free();
    model.free();
    expect(traced.clean / clean).toBeCloseTo(1, 4);
    expect(traced.corrupted / patched({ part: "state", blocks: [], places: [] })).toBeCloseTo(1, 4);
    for (const [i, restored] of traced.restored.entries()) expect(restored / patched(asked[i]!)).toBeCloseTo(1, 4);
    expect(new Set(traced.restored.map((p) => p.toFixed(7))).size).toBeGreaterThan(30);
  });
});

describe("a fact that one block holds", () => {
  const [LAYERS, WIDTH, SUBJECTS, HOLDER] = [4, 32, 24, 2];
  const json = {
    model_type: "llama",
    hidden_size: WIDTH,
    intermediate_size: SUBJECTS,
    num_hidden_layers: LAYERS,
    num_attention_heads: 2,
    vocab_size: SUBJECTS,
    max_position_embeddings: 16,
    rms_norm_eps: 1e-6,
  };
  const OPTIONS = {
    draws: 2,
    noise: 10,
    window: 1,
    all: true,
    seed: 0,
    batch: 8,
    signal: new AbortController().signal,
  };
  // The MLP of one block answers subject s with token s % 8; all other blocks add nothing to the state.
  const facts = [11, 18, 21].map((s, index) => ({ ...fact([5, 9, s, s % 8], 3, [2]), index }));
  let model: Model;
  beforeAll(async () => {
    model = await Model.fresh(gpu, json, "planted", { seed: 1, freeze: () => true, dtype: "f32" });
    const set = (name: string, value: (row: number, column: number) => number) => {
      const parameter = model.parameters.get(name)!;
      const columns = parameter.shape[1]!;
      parameter.write(
        Float32Array.from({ length: parameter.size }, (_, i) => value(Math.floor(i / columns), i % columns)),
      );
    };
    const one = (row: number, column: number) => (row === column ? 1 : 0);
    set("model.embed_tokens.weight", one);
    set("lm_head.weight", (token, c) => (c === SUBJECTS + token ? 3 : 0));
    for (let block = 0; block < LAYERS; block++) {
      const at = `model.layers.${block}`;
      set(`${at}.self_attn.o_proj.weight`, () => 0);
      set(`${at}.mlp.gate_proj.weight`, one);
      set(`${at}.mlp.up_proj.weight`, one);
      set(`${at}.mlp.down_proj.weight`, (c, s) => (block === HOLDER && c === SUBJECTS + (s % 8) ? 1 : 0));
    }
  });
  afterAll(() => model.free());

  test("is found there, and nowhere else", async () => {
    const { clean, corrupted, of } = await causalTrace(model, facts, OPTIONS);
    expect(clean).toBeGreaterThan(0.99);
    expect(corrupted).toBeLessThan(0.5);
    const [state, mlp, attn] = PARTS.map((part) => of.get(part)!.get("subject")!);
    expect(mlp!.map((effect, block) => (block === HOLDER ? effect > 0.4 : effect === 0))).toEqual(Array(4).fill(true));
    expect(attn).toEqual([0, 0, 0, 0]);
    // The subject is the prompt's last token: with its state everything comes back.
    for (const effect of state!) expect(effect).toBeCloseTo(clean - corrupted, 12);
    expect(blocksHolding(mlp!, 0.8)).toEqual({ first: HOLDER, last: HOLDER, share: 1 });
    expect([...of.get("mlp")!.keys()]).toEqual(["subject"]);
  });

  test("is found by every window that holds its block", async () => {
    const { of } = await causalTrace(model, facts, { ...OPTIONS, window: 3 });
    const mlp = of.get("mlp")!.get("subject")!;
    expect(mlp[0]).toBe(0);
    expect(new Set(mlp.slice(1)).size).toBe(1);
    expect(mlp[1]).toBeGreaterThan(0.4);
  });

  test("has effects that are means over facts and draws, whatever is run beside them", async () => {
    const mlp = async (list: readonly Fact[], more: object = {}) =>
      (await causalTrace(model, list, { ...OPTIONS, noise: 4, ...more })).of.get("mlp")!.get("subject")![HOLDER]!;
    const whole = await mlp(facts);
    const each = await Promise.all(facts.map((one) => mlp([one])));
    expect(whole).toBeCloseTo(each.reduce((a, b) => a + b, 0) / 3, 12);
    expect(new Set(each).size).toBe(3);
    expect(await mlp(facts, { batch: 3 })).toBe(whole);
    expect(await mlp(facts, { seed: 1 })).not.toBe(whole);
    expect(await mlp(facts, { draws: 1 })).not.toBe(whole);
  });
});
