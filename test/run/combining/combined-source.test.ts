/** Rules over views: what a view reads, against the model run by hand; the trivial rule against plain sampling. */
import { afterAll, expect, test } from "bun:test";
import { depthOf } from "../../../src/model/depth.ts";
import { Model } from "../../../src/model/model.ts";
import { CombinedSource } from "../../../src/run/combining/combined-source.ts";
import type { Rule, View } from "../../../src/run/combining/contract.ts";
import { passesOf } from "../../../src/run/combining/passes.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_EXPERTS, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const freed: { free(): void }[] = [];
const keep = <T extends { free(): void }>(made: T): T => {
  freed.push(made);
  return made;
};
afterAll(() => {
  for (const each of freed.reverse()) each.free();
});
const dense = keep(await Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed: 1 }));
const other = keep(await Model.fresh(gpu, { ...TINY_TEXT.llama!, vocab_size: 53 }, "n", { seed: 2 }));
const PROMPTS = [[1, 2, 3, 4], [7, 5], [9]];
const OPTIONS = { most: 16, names: ["a", "b", "c"] };

/** Gives the logits of one view as they are. */
const showing = (views: readonly View[], view: number): Rule => ({ views, begin: () => (said) => said[view]! });
const source = (rule: Rule, models: readonly Model[] = [dense]) =>
  keep(new CombinedSource(rule, models, { refs: models.map(() => "m") }));

test("the trivial rule of one model draws what plain sampling draws, bit for bit", async () => {
  const trivial = source(showing([{ model: 0 }], 0));
  const plain = keep(new Decoder(dense, "m"));
  expect(await trivial.read(PROMPTS, OPTIONS)).toEqual(await plain.read(PROMPTS, OPTIONS));
  const sampling = { ...GREEDY, temperature: 1, maxTokens: 6, stop: [], batch: 3 };
  const want = await new Generator(keep(new Decoder(dense, "m"))).complete(PROMPTS, sampling);
  expect(await new Generator(trivial).complete(PROMPTS, sampling)).toEqual(want);
  expect(await new Generator(trivial).complete(PROMPTS, { ...sampling, batch: 2 })).toEqual(want);
});

test("a view with another prompt goes on from that, and ids that a model alone has are left out", async () => {
  const before = (ids: readonly number[]) => [8, 8, ...ids];
  const views = [{ model: 0 }, { model: 1, prompt: before }];
  const both = source(showing(views, 1), [dense, other]);
  expect(both.sizes.outputs).toBe(50);
  const alone = keep(new Decoder(other, "n"));
  const cut = (logits: Float32Array) => PROMPTS.map((_, row) => logits.slice(row * 53, row * 53 + 50));
  const rows = (logits: Float32Array) => PROMPTS.map((_, row) => logits.slice(row * 50, row * 50 + 50));
  expect(rows(await both.read(PROMPTS, OPTIONS))).toEqual(cut(await alone.read(PROMPTS.map(before), OPTIONS)));
  const longer = PROMPTS.map((ids) => [...ids, 6]);
  const running = new Set([0, 1, 2]);
  expect(rows(await both.next(longer, running))).toEqual(cut(await alone.next(longer.map(before), running)));
});

test("a view after a layer is what a model without the later layers says", async () => {
  const early = source(showing([{ model: 0 }, { model: 0, layer: 1 }], 1));
  const depth = depthOf([1, 0]);
  const cut = keep(new Decoder(dense, "m", { prompt: depth, next: depth }));
  expect(await early.read(PROMPTS, OPTIONS)).toEqual(await cut.read(PROMPTS, OPTIONS));
  const longer = PROMPTS.map((ids) => [...ids, 6]);
  const running = new Set([0, 1, 2]);
  expect(await early.next(longer, running)).toEqual(await cut.next(longer, running));
});

/** The logits of one prompt by a model, with its routers' logits changed by `add` (N * E). */
async function logitsOf(model: Model, ranks: readonly number[] | undefined, shift?: Float32Array) {
  const [ids] = PROMPTS;
  const rec = new Recorder(profileOf(gpu), { training: false });
  const n = ids!.length;
  const [batch, length] = [1, n];
  const inputs = { batch, length, ids: rec.input("ids", [n], "i32"), positions: rec.input("positions", [n], "i32") };
  const replace = (name: string, x: Parameters<typeof rec.reshape>[0]) =>
    name === "router.0" && shift ? rec.constant(shift, x.shape, "router") : x;
  const { hidden, head, notes } = model.record(rec, inputs, { ranks, replace });
  rec.output("logits", head(hidden));
  if (!shift) rec.output("router", notes.get("router.0")!);
  const program = keep(await Program.compile(gpu, rec));
  program.write("ids", Int32Array.from(ids!));
  program.write("positions", Int32Array.from(ids!.keys()));
  program.run();
  return {
    logits: await program.read("logits"),
    router: shift ? new Float32Array() : await program.read("router"),
  };
}

test("ranks choose experts: those of the config, more or fewer of them, and one that is not the likeliest", async () => {
  const config = { ...TINY_EXPERTS.mixtral!, num_hidden_layers: 1 };
  const model = keep(await Model.fresh(gpu, config, "x", { seed: 3 }));
  const plain = await logitsOf(model, undefined);
  expect((await logitsOf(model, [0, 1])).logits).toEqual(plain.logits);
  for (const count of [1, 3]) {
    const variant = await model.variant({ ...config, num_experts_per_tok: count }, "x", new Map());
    const want = (await logitsOf(variant, undefined)).logits;
    const found = (
      await logitsOf(
        model,
        Array.from({ length: count }, (_, rank) => rank),
      )
    ).logits;
    for (const [i, x] of found.entries()) expect(x).toBeCloseTo(want[i]!, 4);
  }
  // Without each token's likeliest expert the second one is the first.
  const without = plain.router.slice();
  for (let row = 0; row < 4; row++) {
    const own = without.subarray(row * 4, row * 4 + 4);
    own[own.indexOf(Math.max(...own))] = -1e4;
  }
  const want = (await logitsOf(model, [0], without)).logits;
  const second = (await logitsOf(model, [1])).logits;
  for (const [i, x] of second.entries()) expect(x).toBeCloseTo(want[i]!, 4);
  expect(second).not.toEqual(plain.logits);
  // The decoder with its cache says the same of the last token.
  const cached = await source(showing([{ model: 0, ranks: [1] }], 0), [model]).read([PROMPTS[0]!], OPTIONS);
  for (const [i, x] of cached.entries()) expect(x).toBeCloseTo(second[3 * 50 + i]!, 4);
});

test("weights that are no shares keep what the config's experts weigh together", async () => {
  const config = { ...TINY_EXPERTS.qwen2_moe!, num_hidden_layers: 1 };
  const model = keep(await Model.fresh(gpu, config, "x", { seed: 3 }));
  const plain = (await logitsOf(model, undefined)).logits;
  const same = (await logitsOf(model, [1, 0])).logits;
  for (const [i, x] of same.entries()) expect(x).toBeCloseTo(plain[i]!, 4);
});

test("views of one model that differ in their layer alone are one pass", () => {
  const map = (ids: readonly number[]) => ids;
  const views = [
    { model: 0 },
    { model: 0, layer: 2 },
    { model: 0, layer: 1 },
    { model: 0, prompt: map },
    { model: 0, ranks: [1, 0] },
    { model: 0, ranks: [0, 1], layer: 0 },
    { model: 1, prompt: map },
  ];
  const { passes, seen } = passesOf(views, [2, 2]);
  expect(passes).toEqual([
    { model: 0, prompt: undefined, ranks: undefined, early: [1] },
    { model: 0, prompt: map, ranks: undefined, early: [] },
    { model: 0, prompt: undefined, ranks: [0, 1], early: [0] },
    { model: 1, prompt: map, ranks: undefined, early: [] },
  ]);
  const whole = (pass: number) => ({ pass, early: undefined });
  const after = (pass: number) => ({ pass, early: 0 });
  expect(seen).toEqual([whole(0), whole(0), after(0), whole(1), whole(2), after(2), whole(3)]);
});

test("notes are kept for each token of an answer", async () => {
  const noting: Rule = {
    views: [{ model: 0 }],
    begin: (prompt) => (said, place) => {
      place.note("length", place.tokens.length - prompt.length);
      return said[0]!;
    },
  };
  const noted = source(noting);
  await new Generator(noted).complete(PROMPTS, { ...GREEDY, maxTokens: 3, stop: [], batch: 3 });
  expect(noted.notes(1)).toEqual({ notes: { length: [0, 1, 2] } });
});
