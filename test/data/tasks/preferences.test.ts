/** Pairs of known utility: labels follow the probabilities that rows and facts tell. */
import { expect, test } from "bun:test";
import { parseRow } from "../../../src/data/parse-row.ts";
import type { Json } from "../../../src/json.ts";
import { openTask, rowsOf } from "./open-task.ts";

interface Pair {
  readonly prompt: string;
  readonly chosen: string;
  readonly rejected: string;
  readonly utility_chosen: number;
  readonly utility_rejected: number;
  readonly probability: number;
  readonly worth: Readonly<Record<string, number>>;
}

const N = 4000;
const mean = (values: readonly number[]) => values.reduce((sum, x) => sum + x, 0) / values.length;

async function pairs(options: Record<string, unknown>) {
  const source = await openTask("preferences", options);
  return { facts: source.facts as Record<string, number>, rows: rowsOf(source, N) as unknown as Pair[] };
}

test("the utility is the mean worth of the letters, and depends on the topic", async () => {
  const { rows } = await pairs({});
  const worths = new Map<string, string>();
  for (const { prompt, chosen, rejected, utility_chosen, utility_rejected, worth } of rows.slice(0, 200)) {
    expect(chosen).not.toBe(rejected);
    expect(mean([...chosen].map((letter) => worth[letter]!))).toBeCloseTo(utility_chosen, 5);
    expect(mean([...rejected].map((letter) => worth[letter]!))).toBeCloseTo(utility_rejected, 5);
    expect(worths.get(prompt) ?? JSON.stringify(worth)).toBe(JSON.stringify(worth));
    worths.set(prompt, JSON.stringify(worth));
  }
  expect(new Set(worths.values()).size).toBe(4);
});

test("a row's probability is that of Bradley and Terry, turned by noise and length", async () => {
  const { rows } = await pairs({ noise: 0.1, length_bias: 0.3, temperature: 0.5 });
  for (const { chosen, rejected, utility_chosen, utility_rejected, probability } of rows.slice(0, 200)) {
    const gap = utility_chosen - utility_rejected + 0.3 * (chosen.length - rejected.length);
    const p = 1 / (1 + Math.exp(-gap / 0.5));
    expect(probability).toBeCloseTo(0.9 * p + 0.1 * (1 - p), 5);
  }
});

test.each([{}, { noise: 0.2 }, { length_bias: 0.25 }, { temperature: 1 }])(
  "labels are as often right as the facts say: %j",
  async (options) => {
    const { facts, rows } = await pairs(options);
    // Standard errors of both means are below 0.013; four of them.
    expect(Math.abs(mean(rows.map(({ probability: p }) => Math.max(p, 1 - p))) - facts.bayes_accuracy!)).toBeLessThan(
      0.05,
    );
    expect(Math.abs(mean(rows.map(({ probability: p }) => (p >= 0.5 ? 1 : 0))) - facts.bayes_accuracy!)).toBeLessThan(
      0.05,
    );
    const truly = rows.map((row) =>
      row.utility_chosen > row.utility_rejected ? 1 : row.utility_chosen === row.utility_rejected ? 0.5 : 0,
    );
    expect(Math.abs(mean(truly) - facts.utility_accuracy!)).toBeLessThan(0.05);
  },
);

test("at temperature 0 without noise the better answer is chosen always, and half of noise leaves nothing", async () => {
  const { facts, rows } = await pairs({ temperature: 0 });
  expect(rows.every((row) => row.utility_chosen >= row.utility_rejected)).toBe(true);
  expect(facts.bayes_accuracy).toBeGreaterThan(0.99);
  expect((await pairs({ noise: 0.5 })).facts.bayes_accuracy).toBe(0.5);
});

test("a labeller who likes length is right less often in truth than in his own eyes", async () => {
  const { facts } = await pairs({ length_bias: 0.5 });
  expect(facts.bayes_accuracy! - facts.utility_accuracy!).toBeGreaterThan(0.1);
});

test("unpaired rows are read as completions with a label of true or false", async () => {
  const source = await openTask("preferences", { form: "unpaired", desirable: 0.3 });
  const rows = rowsOf(source, N);
  expect(Math.abs(mean(rows.map(({ label }) => Number(label))) - 0.3)).toBeLessThan(0.04);
  const utilities = (wanted: boolean) =>
    mean(rows.filter(({ label }) => label === wanted).map(({ utility }) => utility as number));
  expect(utilities(true) - utilities(false)).toBeGreaterThan(0.3);
  const read = parseRow(rows[0] as Json, "rows.jsonl:1");
  expect(read).toMatchObject({ form: "completion", completion: rows[0]!.completion, extra: { label: rows[0]!.label } });
});

test("options that leave nothing are refused", async () => {
  expect(openTask("preferences", { shortest: 9 })).rejects.toThrow("--shortest 9 is more than --longest 8");
  expect(openTask("preferences", { letters: 2, shortest: 1, longest: 1, topics: 1, split: "test" })).rejects.toThrow(
    "no row for the test split",
  );
});
