/** What all selectors promise, and the laws that each claims in its file. */
import { describe, expect, test } from "bun:test";
import type { SelectorLaw } from "../../src/curriculum/contract.ts";
import { Random } from "../../src/data/random.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { loadMethods, methodNames } from "../../src/method/registry.ts";

const selectors = await loadMethods("selector");
type Selector = (typeof selectors)[number];
type Settings = Readonly<Record<string, unknown>>;

const N = 40;
const random = new Random(2, "rows");
const scores = Array.from({ length: N }, () => 0.1 + 4 * random.uniform());
const states = Array.from({ length: N }, () => Float64Array.from({ length: 3 }, () => random.normal()));

const tokens = Array.from({ length: N }, () => Array.from({ length: 9 }, () => random.below(20)));
const sketches = Array.from({ length: N }, () => Float64Array.from({ length: 64 }, () => random.normal()));

/** What a selector needs of rows, all else empty. */
function evidenceFor({ needs }: Selector, rows: readonly number[], scored: readonly number[]) {
  const is = (...names: Selector["needs"][]) => names.includes(needs);
  return {
    scores: is("losses", "norms") ? scored : [],
    states: is("states") ? rows.map((row) => states[row]!) : [],
    figures: is("figures")
      ? rows.map((row, i) => ({
          loss: scored[i]!,
          entropy: sketches[row]![0]!,
          el2n: scores[row]!,
          norm: scores[row]!,
        }))
      : [],
    sketches: is("sketches", "figures")
      ? rows.map((row, i) => (Number.isNaN(scored[i]!) ? sketches[row]!.map(() => Number.NaN) : sketches[row]!))
      : [],
    labels: [],
    tokens: is("tokens") ? rows.map((row) => tokens[row]!) : [],
  };
}

function select(method: Selector, trial: Settings, budget: number, given: { rows?: number[]; scores?: number[] } = {}) {
  const { rows = scores.map((_, row) => row) } = given;
  const scored = given.scores ?? rows.map((row) => scores[row]!);
  const { values } = bindDefaults(method, trial);
  const chosen = method.select({
    ...evidenceFor(method, rows, scored),
    targets: method.target
      ? [
          [1, 2, 3],
          [4, 5],
        ].map((set) => evidenceFor(method, set, set))
      : [],
    budget,
    seed: 3,
    values,
  });
  return chosen.rows.map((place) => rows[place]!);
}

const LAWS: Record<SelectorLaw, (method: Selector, trial: Settings) => void> = {
  anyRowOrder(method, trial) {
    const turned = new Random(4, "turned").shuffled(scores.map((_, row) => row));
    for (const budget of [1, 7, 20])
      expect(select(method, trial, budget, { rows: turned })).toEqual(select(method, trial, budget));
  },
  unknownLast(method, trial) {
    const known = scores.map((score, row) => (row % 2 === 0 ? score : Number.NaN));
    for (const row of select(method, trial, N / 2, { scores: known })) expect(row % 2).toBe(0);
  },
  nested(method, trial) {
    const large = new Set(select(method, trial, 20));
    for (const row of select(method, trial, 7)) expect(large.has(row)).toBe(true);
  },
};

test("a selector has the name of its file, a citation, and help and a default for every option", () => {
  expect(selectors.map(({ name }) => name)).toEqual(methodNames("selector"));
  for (const { title, about, cite, options } of selectors) {
    for (const text of [title, about]) expect(text.length).toBeGreaterThan(2);
    expect(cite).toMatch(/^arXiv:/);
    for (const { help, default: value } of Object.values(options)) {
      expect(help.length).toBeGreaterThan(3);
      expect(value).toBeDefined();
    }
  }
});

const cases = selectors.flatMap((method) =>
  (method.trials ?? [{}]).map((trial) => [method.name, trial, method] as const),
);
describe.each(cases)("%s %j", (_, trial, method) => {
  test("as many rows as asked for, none twice, the same for the same seed", () => {
    for (const budget of [1, 2, 13, N - 1, N]) {
      const rows = select(method, trial, budget);
      expect(rows).toHaveLength(budget);
      expect(new Set(rows).size).toBe(budget);
      expect(select(method, trial, budget)).toEqual(rows);
    }
  });

  for (const law of claimed(method.laws)) test(`law: ${law}`, () => LAWS[law](method, trial));
});
