/** A weak and a strong model that write in turn, against each of them alone, token by token. */
import { afterAll, describe, expect, test } from "bun:test";
import { keyedUnits } from "../../src/keyed-random.ts";
import { Model } from "../../src/model/model.ts";
import { logProbabilities } from "../../src/run/combining/log-probabilities.ts";
import { confidence } from "../../src/run/confidence.ts";
import { Decoder } from "../../src/run/generating/decoder.ts";
import { Generator } from "../../src/run/generating/generate.ts";
import { GREEDY } from "../../src/run/generating/sampling.ts";
import { Cascade, type CascadeSettings } from "../../src/sample/cascade.ts";
import { sharedGpu } from "../support/gpu.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

const gpu = await sharedGpu();
const [weak, strong] = await Promise.all([1, 2].map((seed) => Model.fresh(gpu, TINY_TEXT.llama!, "m", { seed })));
afterAll(() => {
  for (const model of [weak!, strong!]) model.free();
});
const PROMPTS = [
  [1, 2, 3, 4],
  [7, 5],
  [9, 9, 9],
];
const OPTIONS = { ...GREEDY, maxTokens: 9, stop: [], batch: 3 };

const cascade = (settings: Partial<CascadeSettings>) =>
  new Cascade(new Decoder(weak!, "weak"), new Decoder(strong!, "strong"), {
    ...{ kind: "variance", alpha: 1, rule: "choose", seed: 3 },
    ...settings,
  });

/** Log-probabilities after a sequence, by one model alone. */
async function alone(model: Model, ids: readonly number[]): Promise<Float64Array> {
  const decoder = new Decoder(model, "m");
  const logits = await decoder.read([ids], { most: 32, names: ["one"] });
  decoder.free();
  return logProbabilities(logits, model.sizes.outputs);
}

async function written(source: Model | Cascade): Promise<number[][]> {
  const generator = new Generator(source);
  const found = await generator.complete(PROMPTS, OPTIONS);
  generator.free();
  return found;
}

describe("the ends", () => {
  test("with c = 1 the weak model writes alone, with c = 0 the strong one", async () => {
    const sure = cascade({ alpha: 0 });
    expect(await written(sure)).toEqual(await written(weak!));
    expect(sure.summary()).toBe("the strong model was asked for 0 of 27 tokens");
    const unsure = cascade({ alpha: 1e9 });
    expect(await written(unsure)).toEqual(await written(strong!));
    expect(unsure.summary()).toBe("the strong model was asked for 27 of 27 tokens");
  });
});

describe.each(["variance", "entropy"] as const)("by %s", (kind) => {
  test.each(["choose", "average"] as const)("%s: every token is the one's or the other's, as c says", async (rule) => {
    const settings = { kind, rule, alpha: 0.4 };
    const source = cascade(settings);
    const sequences = PROMPTS.map((prompt) => [...prompt]);
    const units = PROMPTS.map((_, row) => keyedUnits(3, `cascade ${row}`));
    let logits = await source.read(sequences, { most: 32, names: ["a", "b", "c"] });
    const asked = [0, 0, 0];
    const outputs = weak!.sizes.outputs;
    for (let step = 0; step < 6; step++) {
      for (const [row, ids] of sequences.entries()) {
        const [p, q] = [await alone(weak!, ids), await alone(strong!, ids)];
        const c = confidence(p, kind, 0.4);
        const isStrong = rule === "average" || units[row]!() >= c;
        if (isStrong) asked[row]!++;
        const share = rule === "average" ? c : isStrong ? 0 : 1;
        for (let id = 0; id < outputs; id++) {
          const wanted = Math.log(share * Math.exp(p[id]!) + (1 - share) * Math.exp(q[id]!));
          expect(Math.abs(logits[row * outputs + id]! - wanted)).toBeLessThan(1e-3);
        }
        ids.push((7 * step + row) % 50);
      }
      logits = await source.next(sequences, new Set([0, 1, 2]));
    }
    for (const row of [0, 1, 2]) expect(source.notes(row).decided).toBe(7);
    const strongOf = [0, 1, 2].map((row) => source.notes(row).strong);
    for (const [row, count] of strongOf.entries())
      expect(count - asked[row]! === 0 || count - asked[row]! === 1).toBe(true);
    if (rule === "choose") expect(strongOf.some((count) => count > 0 && count < 7)).toBe(true);
    source.free();
  });
});

test("answers do not depend on what is written at once", async () => {
  const together = new Generator(cascade({ alpha: 0.4 }));
  const all = await together.complete(PROMPTS, OPTIONS);
  together.free();
  const single = new Generator(cascade({ alpha: 0.4 }));
  expect(await single.complete(PROMPTS, { ...OPTIONS, batch: 1 })).toEqual(all);
  single.free();
});
