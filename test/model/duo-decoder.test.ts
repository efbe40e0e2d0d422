/** Decoders with two sizes of feed-forward networks: what is Llama in them, how ways are drawn, what oracles find. */
import { expect, setDefaultTimeout, test } from "bun:test";
import type { Batch } from "../../src/data/batch.ts";
import type { Json } from "../../src/model/architecture.ts";
import { method as architecture } from "../../src/model/architectures/duo-decoder.ts";
import { tellWays } from "../../src/model/blocks/duo.ts";
import { describeConfig } from "../../src/model/description.ts";
import { Model } from "../../src/model/model.ts";
import { fillInputs, recordInputs } from "../../src/run/batch-programs.ts";
import { countedLoss } from "../../src/run/scoring/mean-loss.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { computeOracle, layersIn, OracleSums, placementsOf } from "../../src/run/tracing/feed-forward-ways.ts";
import { crossEntropyObjective } from "../../src/run/training/cross-entropy.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { batchOf, OTHERS, ROWS } from "../run/training/experts/mixtures.ts";
import { sharedGpu } from "../support/gpu.ts";
import { logitsOf } from "../support/logits.ts";
import { normals } from "../support/random.ts";
import { TINY_DUO, TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const { signal } = new AbortController();
const fresh = (json: Json, more: object = {}) => Model.fresh(gpu, { ...json, ...more }, "m", { seed: 4 });

/** The Llama that a model is with its small networks alone. */
async function smallAlone(duo: Model): Promise<Model> {
  const llama = await fresh(TINY_TEXT.llama!, { intermediate_size: 5 });
  for (const [name, parameter] of llama.parameters) {
    const from = duo.parameters.get(name.replace(".mlp.", ".small_mlp."))!;
    parameter.write(await gpu.readFloats(from.buffer, from.size));
  }
  return llama;
}

/** Logits where every layer adds these shares of its big and small network. */
async function logitsBy(model: Model, batch: Batch, big: number, small: number): Promise<Float32Array> {
  const rec = new Recorder(profileOf(gpu), { training: false });
  const share = (of: number) => rec.constant(Float32Array.of(of), [1, 1], "share");
  tellWays(rec, () => ({ big: share(big), small: share(small) }));
  const { hidden, head } = model.record(rec, recordInputs(rec, batch));
  rec.output("logits", head(hidden));
  const program = await Program.compile(gpu, rec);
  fillInputs(program, batch);
  program.run();
  const logits = await program.read("logits");
  program.free();
  return logits;
}

function near(found: Float32Array, wanted: Float32Array): void {
  const most = Math.max(...wanted.map(Math.abs));
  expect(found.length).toBe(wanted.length);
  for (const [i, x] of wanted.entries()) expect(Math.abs(found[i]! - x) / most).toBeLessThan(1e-5);
}

const meanLoss = async (model: Model, batches: readonly Batch[]) => {
  const scorer = new Scorer(model);
  let [sum, counted] = [0, 0];
  for (const batch of batches) {
    const loss = countedLoss(await scorer.score(batch), 0, batch.rows * batch.length);
    sum += loss.sum;
    counted += loss.counted;
  }
  await scorer.free();
  return { mean: sum / counted, counted };
};

test("with big networks alone it is Llama, bit for bit, and with small ones a narrow Llama", async () => {
  const [duo, llama] = [await fresh(TINY_DUO), await fresh(TINY_TEXT.llama!)];
  const wanted = await logitsOf(gpu, llama, ROWS);
  expect(await logitsOf(gpu, duo, ROWS)).toEqual(wanted);
  near(await logitsBy(duo, ROWS, 1, 0), wanted);
  const narrow = await smallAlone(duo);
  near(await logitsBy(duo, ROWS, 0, 1), await logitsOf(gpu, narrow, ROWS));
  expect(await logitsBy(duo, ROWS, 0, 0)).not.toEqual(wanted);
  for (const model of [duo, llama, narrow]) model.free();
});

test("training draws one way for a layer and batch, as often as the config says", async () => {
  const model = await fresh(TINY_DUO);
  const objective = crossEntropyObjective(model);
  const rec = new Recorder(profileOf(gpu));
  const recorded = objective.record(rec, ROWS, "");
  rec.backward(recorded.backward);
  const program = await Program.compile(gpu, rec);
  objective.fill(program, ROWS, objective.counted(ROWS, ""), "");
  const draws = async (seed: number) => {
    program.run({ accumulate: 0, seed });
    const learns = async (layer: number, name: string) => {
      const { gradient, size } = model.parameters.get(`model.layers.${layer}.${name}.down_proj.weight`)!;
      return (await gpu.readFloats(gradient, size)).some((x) => x !== 0);
    };
    const names = [0, 1].map((layer) => ["mlp", "small_mlp"].map((name) => learns(layer, name)));
    const ways = [];
    for (const [big, small] of await Promise.all(names.map((own) => Promise.all(own)))) {
      expect(big && small).toBe(false);
      ways.push(big ? "big" : small ? "small" : "none");
    }
    return ways;
  };
  const found = [];
  for (let seed = 0; seed < 100; seed++) found.push(await draws(seed));
  expect(await draws(7)).toEqual(found[7]!);
  const all = found.flat();
  const share = (way: string) => all.filter((one) => one === way).length / all.length;
  // Of 200 draws the deviation of a share is 0.034.
  expect(Math.abs(share("none") - 0.3)).toBeLessThan(0.12);
  expect(Math.abs(share("big") - 0.35)).toBeLessThan(0.12);
  expect(Math.abs(share("small") - 0.35)).toBeLessThan(0.12);
  // Layers draw apart from each other.
  expect(found.filter(([a, b]) => a !== b).length).toBeGreaterThan(40);
  program.free();
  model.free();
});

test("sums of an oracle are those of trying everything", () => {
  const [layers, tokens] = [3, 20];
  const values = normals(5, tokens * 8);
  const sums = new OracleSums(layers);
  for (let t = 0; t < tokens; t++) sums.add((placement) => values[8 * t + placement]!);
  const all = placementsOf(layers);
  expect(all).toEqual([0, 1, 2, 4, 3, 5, 6, 7]);
  const mean = (of: (t: number) => number) =>
    Array.from({ length: tokens }, (_, t) => of(t)).reduce((a, b) => a + b) / tokens;
  const figures = sums.figures();
  for (const [big, found] of figures.entries()) {
    const most = all.filter((placement) => layersIn(placement, layers).length <= big);
    const own = all.filter((placement) => layersIn(placement, layers).length === big);
    const at = (t: number, placement: number) => values[8 * t + placement]!;
    const best = (t: number) => most.reduce((a, b) => (at(t, b) < at(t, a) ? b : a));
    expect(found.oracle).toBeCloseTo(
      mean((t) => at(t, best(t))),
      10,
    );
    const losses = own.map((placement) => mean((t) => at(t, placement)));
    expect(found.random).toBeCloseTo(losses.reduce((a, b) => a + b) / own.length, 10);
    expect(found.fixed).toBeCloseTo(Math.min(...losses), 10);
    expect(found.placement).toEqual(layersIn(own[losses.indexOf(Math.min(...losses))]!, layers));
    expect(found.difficulty).toBeCloseTo(
      mean((t) => at(t, 0) - at(t, best(t))),
      10,
    );
    expect(found.helped).toBeCloseTo(
      mean((t) => Number(best(t) !== 0)),
      10,
    );
    for (const [layer, share] of found.layers.entries())
      expect(share).toBeCloseTo(
        mean((t) => (best(t) >> layer) & 1),
        10,
      );
  }
});

test("an oracle of more big networks loses no more, and no more than a draw", async () => {
  const model = await fresh(TINY_DUO, { num_hidden_layers: 3 });
  const batches = [ROWS, OTHERS, batchOf([3, 9, 27, 31, 43, 29])];
  const { tokens, budgets } = await computeOracle(model, batches, { ref: "m", signal });
  expect(budgets.length).toBe(4);
  for (const [big, { oracle, random, fixed }] of budgets.entries()) {
    expect(oracle).toBeLessThanOrEqual(budgets[big - 1]?.oracle ?? Number.POSITIVE_INFINITY);
    expect(oracle).toBeLessThanOrEqual(fixed);
    expect(fixed).toBeLessThanOrEqual(random);
  }
  expect(budgets[3]!.oracle).toBeLessThan(budgets[0]!.oracle - 0.1);
  const whole = await meanLoss(model, batches);
  expect(tokens).toBe(whole.counted);
  expect(budgets[3]!.random).toBeCloseTo(whole.mean, 5);
  model.free();
  const two = await fresh(TINY_DUO);
  const narrow = await smallAlone(two);
  const alone = (await computeOracle(two, batches, { ref: "m", signal })).budgets[0]!;
  expect(alone.oracle).toBeCloseTo((await meanLoss(narrow, batches)).mean, 5);
  expect([alone.random, alone.fixed, alone.difficulty, alone.helped]).toEqual([alone.oracle, alone.oracle, 0, 0]);
  for (const one of [two, narrow]) one.free();
});

test("a config says all that was read, and what cannot be tried is refused", async () => {
  const { config } = await describeConfig(TINY_DUO, "m");
  const implied = architecture.implied!(architecture.config(TINY_DUO, "m"));
  expect(architecture.config({ model_type: "duo_decoder", ...implied }, "m")).toEqual(
    architecture.config(TINY_DUO, "m"),
  );
  expect(config).toEqual(architecture.config(TINY_DUO, "m"));
  const { small_intermediate_size: _, ...plain } = TINY_DUO;
  expect(architecture.config(plain, "m").smallInner).toBe(5);
  const wrong = describeConfig({ ...TINY_DUO, skip_probability: 1 }, "m");
  await expect(wrong).rejects.toThrow("skip_probability must be a number of at least 0 below 1");
  const oracle = async (json: Json, more: object = {}) => {
    const model = await fresh(json, more);
    return computeOracle(model, [ROWS], { ref: "m", signal }).finally(() => model.free());
  };
  await expect(oracle(TINY_TEXT.llama!)).rejects.toThrow("m is a llama, which has no small feed-forward networks");
  await expect(oracle(TINY_DUO, { num_hidden_layers: 9 })).rejects.toThrow("m has 9 layers, whose placements are 512");
});
