/** A draft that writes ahead, against the target that writes alone: the same tokens, or the same distribution. */
import { afterAll, describe, expect, test } from "bun:test";
import { Model } from "../../../src/model/model.ts";
import { Decoder } from "../../../src/run/generating/decoder.ts";
import { type ContinueOptions, type Continuer, Generator } from "../../../src/run/generating/generate.ts";
import { distributionOf, GREEDY, probabilityOf, type SamplingOptions } from "../../../src/run/generating/sampling.ts";
import { SpeculativeGenerator } from "../../../src/run/generating/speculative.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { TINY_DECODERS, TINY_EXPERTS, TINY_RECURRENT, TINY_TEXT } from "../../support/tiny-models.ts";

const gpu = await sharedGpu();
const small = { ...TINY_TEXT.llama!, vocab_size: 12 };
const [target, draft] = await Promise.all([1, 2].map((seed) => Model.fresh(gpu, small, "m", { seed })));
const shortSighted = await Model.fresh(gpu, { ...small, max_position_embeddings: 12 }, "m", { seed: 2 });
const state = await Model.fresh(gpu, TINY_RECURRENT.gru!, "m", { seed: 3 });
afterAll(() => {
  for (const model of [target!, draft!, shortSighted, state]) model.free();
});

const PROMPTS = [
  [1, 2, 3, 4],
  [7, 5],
  [9, 9, 9],
];
const OPTIONS = { ...GREEDY, maxTokens: 11, stop: [] };

const ahead = (by: Model, tokens: number, of = target!) =>
  new SpeculativeGenerator(new Decoder(of, "target"), new Decoder(by, "draft"), tokens);

async function written(writer: Continuer, prompts: readonly number[][], options: ContinueOptions): Promise<number[][]> {
  const answers: number[][] = prompts.map(() => []);
  for await (const { row, id } of writer.generate(prompts, options)) if (id >= 0) answers[row]!.push(id);
  return answers;
}

/** The answers of a writer that is freed then. */
async function once(writer: Continuer, prompts = PROMPTS, options: ContinueOptions = OPTIONS): Promise<number[][]> {
  const found = await written(writer, prompts, options);
  writer.free();
  return found;
}

describe("at temperature 0", () => {
  test.each([1, 2, 5])("with %d tokens ahead rows are what the target writes, however many each keeps", async (k) => {
    const alone = await once(new Generator(target!));
    const writer = ahead(draft!, k);
    expect(await written(writer, PROMPTS, OPTIONS)).toEqual(alone);
    const notes = PROMPTS.map((_, row) => writer.notes(row));
    for (const { drafted, accepted, passes } of notes) {
      expect(accepted! + passes!).toBe(10); // of 11 tokens the first comes with the prompt
      expect(accepted).toBeLessThanOrEqual(drafted!);
    }
    expect(writer.log()).toEqual({
      drafted: notes.reduce((sum, { drafted }) => sum + drafted!, 0),
      accepted: notes.reduce((sum, { accepted }) => sum + accepted!, 0),
      passes: notes.reduce((sum, { passes }) => sum + passes!, 0),
    });
    writer.free();
  });

  test.each(["gpt2", "mistral", "deepseek_v2", "mixtral"])("%s reads drafts as it reads tokens", async (name) => {
    const config = TINY_TEXT[name] ?? TINY_DECODERS[name] ?? TINY_EXPERTS[name]!;
    const other = await Model.fresh(gpu, { ...config, vocab_size: 12 }, "m", { seed: 4 });
    expect(await once(ahead(draft!, 3, other))).toEqual(await once(new Generator(other)));
    other.free();
  });

  test("the target as its own draft is kept whole", async () => {
    const writer = ahead(target!, 4);
    expect(await written(writer, PROMPTS, OPTIONS)).toEqual(await once(new Generator(target!)));
    expect(writer.notes(0)).toEqual({ drafted: 8, accepted: 8, passes: 2 });
    expect(writer.summary()).toBe("the target kept 24 of 24 drafted tokens (100.0%), 5.00 tokens a pass");
    writer.free();
  });

  test("a draft of few positions leaves the rest to the target", async () => {
    const options = { ...OPTIONS, maxTokens: 16 };
    const alone = await once(new Generator(target!), PROMPTS, options);
    expect(await once(ahead(shortSighted, 3), PROMPTS, options)).toEqual(alone);
  });

  test("a token that ends an answer ends it, drafted or not", async () => {
    const alone = await once(new Generator(target!));
    const stop = [alone[0]![4]!];
    const cut = alone.map((ids) => ids.slice(0, ids.includes(stop[0]!) ? ids.indexOf(stop[0]!) : ids.length));
    for (const by of [target!, draft!]) expect(await once(ahead(by, 4), PROMPTS, { ...OPTIONS, stop })).toEqual(cut);
  });

  test("a prompt that goes on from an answer reads what drafts left behind anew", async () => {
    const writer = ahead(draft!, 4);
    const goesOn = { ...OPTIONS, goesOn: true };
    const [first] = await written(writer, [PROMPTS[0]!], goesOn);
    const longer = [[...PROMPTS[0]!, ...first!, 3]];
    expect(await written(writer, longer, goesOn)).toEqual(await once(new Generator(target!), longer));
    writer.free();
  });
});

const WARM: SamplingOptions = { ...GREEDY, temperature: 1.3, seed: 5 };

test("draws do not depend on what is written at once", async () => {
  const options = { ...OPTIONS, ...WARM, keys: ["a", "b", "c"] };
  const all = await once(ahead(draft!, 3), PROMPTS, options);
  for (const [row, prompt] of PROMPTS.entries())
    expect(await once(ahead(draft!, 3), [prompt], { ...options, keys: [options.keys[row]!] })).toEqual([all[row]!]);
});

/** What the target draws from after a sequence. */
async function chances(ids: readonly number[], options: SamplingOptions) {
  const decoder = new Decoder(target!, "m");
  const logits = await decoder.read([ids], { most: 32, names: ["one"] });
  decoder.free();
  return distributionOf(logits, ids, options);
}

describe.each([
  ["everything", WARM],
  ["top-k", { ...WARM, topK: 5 }],
  ["top-p and min-p", { ...WARM, topP: 0.8, minP: 0.1, repetitionPenalty: 1.5 }],
])("drawn from %s", (_, options) => {
  test("the second and third token are distributed as the target says, by a chi-square test", async () => {
    const [rows, rounds] = [64, 12];
    const prompt = [1, 2, 3];
    const counts = new Map<string, number>();
    const writer = ahead(draft!, 2);
    for (let round = 0; round < rounds; round++) {
      const keys = Array.from({ length: rows }, (_, row) => `${round}.${row}`);
      const found = await written(
        writer,
        keys.map(() => prompt),
        { ...options, maxTokens: 3, stop: [], keys },
      );
      for (const ids of found) counts.set(ids.join(), (counts.get(ids.join()) ?? 0) + 1);
    }
    const { drafted, accepted } = writer.log();
    expect(accepted).toBeGreaterThan(0);
    expect(accepted).toBeLessThan(drafted!);
    writer.free();
    // The first token is the target's own; what follows it is drafted for.
    const first = Map.groupBy([...counts], ([ids]) => Number(ids.split(",")[0]));
    const [most, list] = [...first].toSorted((a, b) => sum(b[1]) - sum(a[1]))[0]!;
    expectLike(
      list.map(([ids, n]): [number, number] => [Number(ids.split(",")[1]), n]),
      await chances([...prompt, most], options),
    );
    const second = Map.groupBy(list, ([ids]) => Number(ids.split(",")[1]));
    const [then, rest] = [...second].toSorted((a, b) => sum(b[1]) - sum(a[1]))[0]!;
    expectLike(
      rest.map(([ids, n]): [number, number] => [Number(ids.split(",")[2]), n]),
      await chances([...prompt, most, then], options),
    );
  });
});

const sum = (list: readonly (readonly [string, number])[]) => list.reduce((total, [, n]) => total + n, 0);

/** Counts of ids have the probabilities: chi-square below its 1 - 1e-4 quantile, and nothing that cannot be drawn. */
function expectLike(list: readonly (readonly [number, number])[], p: Awaited<ReturnType<typeof chances>>): void {
  const counts = new Array<number>(12).fill(0);
  for (const [id, n] of list) counts[id]! += n;
  const total = counts.reduce((a, b) => a + b, 0);
  let square = 0;
  let free = -1;
  for (const [id, n] of counts.entries()) {
    const expected = total * probabilityOf(p, id);
    if (expected === 0) expect(n).toBe(0);
    else {
      square += (n - expected) ** 2 / expected;
      free++;
    }
  }
  // Wilson and Hilferty's quantile of chi-square.
  const quantile = free * (1 - 2 / (9 * free) + 3.72 * Math.sqrt(2 / (9 * free))) ** 3;
  expect(square).toBeLessThan(quantile);
}

test("refuses models that keep a state", () => {
  expect(() => ahead(state, 2)).toThrow("draft keeps one state of all tokens in a layer");
});
