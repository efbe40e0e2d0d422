/**
 * Strategies in context: ideal observers in plain arithmetic, weights of pure ones, and a decoder that is trained on
 * coins.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { coinBiases, flips, GRID, gridBiases, predictive } from "../../../src/data/coins.ts";
import { Random } from "../../../src/data/random.ts";
import { mixtureWeight } from "../../../src/evaluate/icl-mixture.ts";
import { runScript } from "../../support/command.ts";

test("an observer of two coins says what Bayes does, and one of the grid nearly (h + 1) / (n + 2)", () => {
  // After heads: (0.2^2 + 0.8^2) / (0.2 + 0.8).
  expect(predictive([0.2, 0.8], [2, 1, 1])).toEqual([0.5, expect.closeTo(0.68, 12)]);
  const sequence = flips([0.7], 30, new Random(1, "a"));
  let heads = 0;
  for (const [n, p] of predictive(gridBiases(), sequence).entries()) {
    expect(p).toBeCloseTo((heads + 1) / (n + 2), 3);
    heads += sequence[n + 1] === 1 ? 1 : 0;
  }
  expect(coinBiases(0, 8)).toEqual(coinBiases(0, 16).slice(0, 8));
  expect(gridBiases()[0]).toBe(0.5 / GRID);
});

test("pure observers have weights of 1 and 0, and a mixture its own", () => {
  const sequence = flips(coinBiases(3, 4), 64, new Random(2, "b"));
  const [memory, general] = [predictive(coinBiases(3, 4), sequence), predictive(gridBiases(), sequence)];
  for (const w of [0, 1, 0.3]) {
    const places = memory.map((m, i) => ({ memory: m, general: general[i]!, model: w * m + (1 - w) * general[i]! }));
    const found = mixtureWeight(places);
    expect(found.weight).toBeCloseTo(w, 5);
    expect(found.kl).toBeLessThan(1e-9);
  }
  expect(mixtureWeight([{ memory: 0.5, general: 0.5, model: 0.4 }]).weight).toBe(0.5);
});

let folder = "";
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
const LONG = process.env.INGOT_TEST_LONG === "1";
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-icl-"));
  const tiny = {
    ...{ model_type: "llama", hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2 },
    ...{ vocab_size: 3, max_position_embeddings: 33 },
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(tiny));
  expect((await run("data", "coins --coins 2 --length 16 --size 64 -q -o few.jsonl")).err).toBe("");
  expect((await run("train", "--init tiny.json --data few.jsonl --steps 1 -q -o fresh/")).err).toBe("");
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const probe = async (models: string, more: string) => {
  const { text, err } = await run("evaluate", `${models} --probe icl-strategy ${more} --json -q`);
  expect(err).toBe("");
  return JSON.parse(text).rows;
};

test("a fresh model has losses near ln 2, the observers theirs", async () => {
  const [row] = await probe("fresh", "--icl-strategy-coins 2 --icl-strategy-length 16 --icl-strategy-sequences 16");
  for (const kind of ["known", "new"]) expect(Math.abs(row[kind].loss - Math.log(2))).toBeLessThan(0.1);
  expect(row.known.loss_memory).toBeLessThan(row.known.loss_general);
  expect(row.new.loss_general).toBeLessThan(row.new.loss_memory);
});

test.skipIf(!LONG)(
  "few coins are remembered, and many are not: the weight of memory rises with training on few",
  async () => {
    for (const coins of [2, 1024]) {
      await run("data", `coins --coins ${coins} --length 32 --size 4000 -q -o ${coins}.jsonl`);
      const common = `--data ${coins}.jsonl --batch-size 64 --lr 3e-3 -q`;
      expect((await run("train", `--init tiny.json ${common} --steps 60 -o early-${coins}/`)).err).toBe("");
      expect((await run("train", `early-${coins}/ ${common} --steps 300 -o late-${coins}/`)).err).toBe("");
    }
    const weights: number[] = [];
    for (const name of ["early-2", "late-2"])
      weights.push((await probe(name, "--icl-strategy-coins 2"))[0].known.weight);
    const [many] = await probe("late-1024", "--icl-strategy-coins 1024");
    expect(weights[1]!).toBeGreaterThan(0.8);
    expect(weights[1]!).toBeGreaterThan(weights[0]! - 0.05);
    // 1024 coins are nearly all biases: both observers say nearly the same, and the model is near to both.
    expect(many.new.kl).toBeLessThan(0.02);
  },
  300_000,
);

test.each([
  ["--icl-strategy-length 40", "fresh cannot read 40 flips of data coins"],
  ["--data few.jsonl", "--data has no effect with --probe icl-strategy"],
])("%s is refused", async (more, message) => {
  const { code, err } = await run("evaluate", `fresh --probe icl-strategy ${more} -q`);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});
