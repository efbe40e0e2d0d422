/** Answers that come and go in rows of one cache: each is the one that it is when it is made alone. */
import { expect, test } from "bun:test";
import type { Json } from "../../../src/model/architecture.ts";
import { Model } from "../../../src/model/model.ts";
import { Generator } from "../../../src/run/generating/generate.ts";
import { RowWriter, type Written } from "../../../src/run/generating/row-writer.ts";
import { GREEDY } from "../../../src/run/generating/sampling.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_DECODERS, TINY_RECURRENT, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const [RECURRENT] = Object.values(TINY_RECURRENT);
const MODELS: Readonly<Record<string, Json>> = {
  llama: TINY_TEXT.llama!,
  "with a window": TINY_TEXT.mistral!,
  longrope: TINY_DECODERS["phi3 with longrope in a part of a head"]!,
  recurrent: RECURRENT!,
};

/** The later ones are longer than the room that the first ones need. */
const PROMPTS = [[1, 2, 3], [7], [5, 9, 11, 13, 2, 8, 1], [4, 4], [3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8]];
const LENGTHS = [5, 9, 3, 1, 20, 7];
const END = 0;

test.each(Object.entries(MODELS))("%s", async (_, config) => {
  const model = await Model.fresh(gpu, config, "rows", { seed: 1 });
  const samplings = PROMPTS.map((_, i) => ({ ...GREEDY, temperature: i % 2, seed: i }));
  const alone: number[][] = [];
  for (const [i, prompt] of PROMPTS.entries()) {
    const generator = new Generator(model);
    const asked = { ...samplings[i]!, maxTokens: LENGTHS[i]!, stop: [END], keys: [`${i}`], batch: 1 };
    alone.push(...(await generator.complete([prompt], asked)));
    generator.free();
  }
  const rows = new RowWriter(model, "rows", 3);
  const found: number[][] = PROMPTS.map(() => []);
  const done = new Set<number>();
  const waiting = PROMPTS.map((ids, i): Written => {
    const options = { sampling: samplings[i]!, key: `${i}`, maxTokens: LENGTHS[i]!, stop: [END] };
    return {
      ...{ ids, ...options },
      push(id) {
        found[i]!.push(id);
        return false;
      },
      take(made) {
        expect(done.has(i)).toBe(false);
        if (made.done) done.add(i);
      },
    };
  });
  let most = 0;
  while (waiting.length > 0 || rows.running > 0) {
    while (waiting[0] && rows.fits(waiting[0])) await rows.join(waiting.shift()!);
    most = Math.max(most, rows.running);
    if (rows.running > 0) await rows.step();
  }
  expect(found).toEqual(alone);
  expect([done.size, most > 1]).toEqual([PROMPTS.length, true]);
  rows.free();
  model.free();
});

test("an answer ends where it is told to, and its row is free again", async () => {
  const model = await Model.fresh(gpu, TINY_TEXT.llama!, "rows", { seed: 1 });
  const rows = new RowWriter(model, "rows", 1);
  const pushed: number[] = [];
  const written: Written = {
    ...{ ids: [1, 2], sampling: GREEDY, key: "0", maxTokens: 9, stop: [] },
    push: (id) => pushed.push(id) === 3,
    take() {},
  };
  expect(rows.fits(written)).toBe(true);
  await rows.join(written);
  expect(rows.fits(written)).toBe(false);
  await rows.step();
  await rows.step();
  expect([pushed.length, rows.running, rows.fits(written)]).toEqual([3, 0, true]);
  rows.free();
  model.free();
});
