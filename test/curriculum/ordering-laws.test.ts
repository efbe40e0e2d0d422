/** What all orderings promise, and the laws that each claims in its file. */
import { describe, expect, test } from "bun:test";
import type { OrderingLaw } from "../../src/curriculum/contract.ts";
import { Random } from "../../src/data/random.ts";
import { permutation } from "../../src/data/shuffle.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import { claimed } from "../../src/method/laws.ts";
import { methodFiles } from "../../src/method/registry.ts";
import { optionValue } from "../../src/method/validate.ts";
import { orderings } from "./world.ts";

type Ordering = (typeof orderings)[number];
type Settings = Readonly<Record<string, unknown>>;

const N = 200;
const random = new Random(1, "rows");
const lengths = Int32Array.from({ length: N }, () => 1 + random.below(400));
const scores = Float64Array.from({ length: N }, () => 0.1 + 4 * random.uniform());
const mean = (rows: readonly number[]) => rows.reduce((sum, row) => sum + scores[row]!, 0) / rows.length;
const all = Array.from({ length: N }, (_, row) => row);

interface Given {
  readonly done?: number;
  readonly epoch?: number;
  readonly seed?: number;
  readonly scores?: ArrayLike<number>;
}
const rowsOf = (method: Ordering, trial: Settings, given: Given = {}): number[] => [
  ...method.rows({ lengths, scores, done: 0, epoch: 0, seed: 7, ...given, values: bindDefaults(method, trial).values }),
];

/** Laws that hold for the first trial of a method: its others may do the opposite on purpose. */
const FIRST: Record<"easiestFirst" | "allInTheEnd", (method: Ordering, trial: Settings) => void> = {
  easiestFirst(method, trial) {
    const first = [0, 1, 2, 3, 4].flatMap((seed) => rowsOf(method, trial, { seed }));
    expect(mean(first)).toBeLessThan(0.9 * mean(all));
  },
  allInTheEnd(method, trial) {
    expect(rowsOf(method, trial, { done: 1 }).toSorted((a, b) => a - b)).toEqual(all);
  },
};
type LawOfTrial = Exclude<OrderingLaw, keyof typeof FIRST>;
const LAWS: Record<LawOfTrial, (method: Ordering, trial: Settings) => void> = {
  ordinaryOrder(method, trial) {
    for (const [epoch, done] of [0, 0.1, 0.5, 1].entries()) {
      const rows = rowsOf(method, trial, { epoch, done });
      const chosen = new Set(rows);
      expect(rows).toEqual([...permutation(N, 7, epoch)].filter((row) => chosen.has(row)));
    }
  },
  unknownLast(method, trial) {
    // Every other row has no loss. Fewer rows than half are in the pool, so none of these is.
    const known = scores.map((score, row) => (row % 2 === 0 ? score : Number.NaN));
    for (const epoch of [0, 1, 2])
      for (const seed of [7, 8, 9]) {
        const rows = rowsOf(method, trial, { scores: known, epoch, seed });
        const unknown = rows.filter((row) => row % 2 === 1);
        if (rows.length < N / 2) expect(unknown).toEqual([]);
        else expect(unknown.length).toBeLessThanOrEqual(rows.length - N / 2);
      }
    expect(rowsOf(method, trial, { scores: scores.map(() => Number.NaN) }).length).toBeGreaterThan(0);
  },
};

describe.each(orderings.map((method) => [method.name, method] as const))("%s", (_, method) => {
  const { laws, trials = [{}] } = method;

  test("says what it is", async () => {
    expect(methodFiles("curriculum").has(method.name)).toBe(true);
    for (const text of [method.title, method.about]) expect(text.length).toBeGreaterThan(2);
    for (const [name, spec] of Object.entries(method.options)) {
      expect(spec.help.length).toBeGreaterThan(3);
      if (spec.default !== undefined)
        expect(await optionValue(name, spec, { texts: [String(spec.default)], origin: `--${name}` })).toEqual(
          spec.default,
        );
    }
  });

  for (const law of ["easiestFirst", "allInTheEnd"] as const)
    if (laws[law] === true) test(`law: ${law}, in the first trial`, () => FIRST[law](method, trials[0]!));

  describe.each(trials.map((trial) => [JSON.stringify(trial), trial] as const))("%s", (_, trial) => {
    test("rows of the data, none twice, at least one, the same for the same seed", () => {
      for (const [epoch, done] of [0, 0.1, 0.5, 1].entries()) {
        const chosen = rowsOf(method, trial, { epoch, done });
        expect(chosen.length).toBeGreaterThan(0);
        expect(new Set(chosen).size).toBe(chosen.length);
        expect(chosen.every((row) => row >= 0 && row < N)).toBe(true);
        expect(rowsOf(method, trial, { epoch, done })).toEqual(chosen);
        if (chosen.length > 20) expect(rowsOf(method, trial, { epoch, done, seed: 8 })).not.toEqual(chosen);
      }
      const { values } = bindDefaults(method, trial);
      expect([...method.rows({ lengths: [3], scores: [1], done: 0, epoch: 0, seed: 0, values })]).toEqual([0]);
    });

    for (const law of claimed(laws))
      if (law !== "easiestFirst" && law !== "allInTheEnd") test(`law: ${law}`, () => LAWS[law](method, trial));
  });
});
