/** Rows that a model tries: what is kept, and where wrong solutions are lost. */
import { describe, expect, test } from "bun:test";
import type { Attempt, Begun, Trying } from "../../src/align/attempts/attempts.ts";
import { bestRows, divergenceOf, expectedBest, ranked } from "../../src/align/attempts/best-of.ts";
import { stepPairs, stepsOf } from "../../src/align/attempts/steps.ts";
import type { Task } from "../../src/align/attempts/tasks.ts";
import { isKept } from "../../src/align/commands/filter.ts";
import type { Row } from "../../src/data/rows.ts";
import { randomUnits } from "../support/random.ts";

test("rows are kept that are solved at least once, and with the second rule not every time", () => {
  const shares = [0, 1, 4, 7, 8].map((solved) => solved / 8);
  expect(shares.map((share) => isKept(share, "solvable"))).toEqual([false, true, true, true, true]);
  expect(shares.map((share) => isKept(share, "learnable"))).toEqual([false, true, true, true, false]);
});

test("the best of n: ties first, its mean over all choices, and its divergence", () => {
  expect(ranked([1, 3, 2, 3])).toEqual([1, 3, 2, 0]);
  const rewards = [0.5, -1, 2, 0.25, 2];
  const choices = (n: number, from = 0): number[][] =>
    n === 0
      ? [[]]
      : rewards.flatMap((reward, i) => (i < from ? [] : choices(n - 1, i + 1).map((rest) => [reward, ...rest])));
  for (const [i, mean] of expectedBest(rewards).entries()) {
    const largest = choices(i + 1).map((own) => Math.max(...own));
    expect(mean).toBeCloseTo(largest.reduce((a, b) => a + b) / largest.length, 12);
  }
  // Of N answers that are all alike likely the one ranked k-th is the best of n with ((N-k+1)^n - (N-k)^n) / N^n.
  for (const n of [1, 2, 5]) {
    const many = 4000;
    const shares = Array.from({ length: many }, (_, k) => ((k + 1) / many) ** n - (k / many) ** n);
    const kl = shares.reduce((sum, p) => sum + p * Math.log(p * many), 0);
    expect(divergenceOf(n)).toBeCloseTo(kl, 2);
  }
});

test("a best answer becomes a row of its prompt, whatever the form of that", () => {
  const attempts = [0, 1].map((reward): Attempt => ({ ids: [], text: `a${reward}`, reward, isRight: false }));
  const said = [{ role: "user", content: "q" }];
  const rowOf = (row: Row) => bestRows({ text: "", ids: [], place: "r:1", value: {}, row }, attempts, 1)[0];
  const told = { reward: 1, mean_reward: 0.5 };
  expect(rowOf({ form: "text", text: "q", extra: { id: 3 } })).toEqual({
    prompt: "q",
    completion: "a1",
    id: 3,
    ...told,
  });
  const answer = { role: "assistant", content: "old" };
  const completion = [{ role: "assistant", content: "a1" }];
  for (const messages of [said, [...said, answer]])
    expect(rowOf({ form: "messages", messages, extra: {} })).toEqual({ prompt: said, completion, ...told });
  expect(() => rowOf({ form: "tokens", inputIds: Int32Array.of(1), extra: {} })).toThrow("r:1: a row of tokens has no");
});

const decode = (ids: readonly number[]) => String.fromCharCode(...ids.filter((id) => id > 0));
const encode = (text: string) => [...text].map((letter) => letter.charCodeAt(0));
const END = 0;

test("steps end at line breaks, blank lines and the end of the answer not counted", () => {
  const ends = (text: string) => stepsOf({ ids: [...encode(text), END], text }, decode);
  expect(ends("ab\nc\nd")).toEqual([3, 5]);
  expect(ends("ab\n\nc\n")).toEqual([3]);
  expect(ends("abc")).toEqual([]);
});

/**
 * Writes lines of a few letters, of which X spoils the answer for good; Z is an end that is right, if nothing was
 * spoilt.
 */
function writer(seed: number, spoils: number) {
  const begun: Begun[] = [];
  const trying: Trying = {
    async of(all, count) {
      begun.push(...all);
      return all.map(({ key, text: before }) => {
        const unit = randomUnits(seed + [...key].reduce((sum, letter) => 31 * sum + letter.charCodeAt(0), 7));
        return Array.from({ length: count }, (): Attempt => {
          const lines = before.split("\n").length - 1;
          const added = Array.from({ length: 4 - lines }, () =>
            unit() < spoils ? "X" : "abc"[Math.floor(3 * unit())]!,
          );
          const text = `${added.map((line) => `${line}\n`).join("")}Z`;
          const isRight = !(before + text).includes("X");
          return { ids: [...encode(text), END], text, reward: isRight ? 1 : 0, isRight };
        });
      });
    },
  };
  return { trying, begun };
}

const tasks = ["p:", "q:"].map(
  (text): Task => ({
    text,
    ids: encode(text),
    place: text,
    value: {},
    row: { form: "prompt", prompt: text, extra: {} },
  }),
);
const SETUP = { solutions: 12, continuations: 24, pit: 0, right: 0, seed: 0, decode };

describe("pairs of steps", () => {
  test("begin before the step that spoils, and go on rightly and as the wrong solution did", async () => {
    const { trying } = writer(1, 0.2);
    const { pairs, told } = await stepPairs(tasks, trying, SETUP);
    expect(pairs.length).toBeGreaterThan(5);
    expect(told.solutions).toBe(24);
    for (const { prompt, chosen, rejected, step, chances } of pairs) {
      expect(prompt).not.toContain("X");
      expect(rejected.startsWith("X\n")).toBe(true);
      expect(chosen).not.toContain("X");
      expect([...prompt].filter((letter) => letter === "\n")).toHaveLength(step - 1);
      expect(`${prompt}${rejected}`.slice(2).split("\n")).toHaveLength(5);
      expect([chances.length, chances.at(-1)]).toEqual([step + 1, 0]);
      expect(chances.slice(0, -1).every((chance) => chance > 0)).toBe(true);
    }
    expect(new Set(pairs.map(({ step }) => step)).size).toBeGreaterThan(1);
  });

  test("of solutions that are lost by their end alone are whole ones", async () => {
    // A wrong end after lines that all can be right: no step is lost before the last.
    const trying: Trying = {
      of: async (all, count) =>
        all.map(({ text: before }) =>
          Array.from({ length: count }, (_, i) => {
            const text = `${before === "" ? "a\n" : ""}${i === 0 ? "W" : "Z"}`;
            return { ids: [...encode(text), END], text, reward: i === 0 ? 0 : 1, isRight: i > 0 };
          }),
        ),
    };
    const { pairs } = await stepPairs([tasks[0]!], trying, SETUP);
    expect(pairs).toEqual([{ prompt: "p:a\n", chosen: "Z", rejected: "W", step: 2, chances: [11 / 12, 23 / 24, 0] }]);
  });

  test("are none where all solutions are wrong, or all are right", async () => {
    for (const spoils of [0, 1]) {
      const { trying, begun } = writer(2, spoils);
      const { pairs, told } = await stepPairs(tasks, trying, SETUP);
      expect([pairs, told.hopeless, begun.length]).toEqual([[], spoils === 1 ? 2 : 0, 2]);
    }
  });

  test("of right solutions choose how they go on over what came out wrong, from a step that is drawn", async () => {
    const { trying } = writer(1, 0.2);
    const plain = await stepPairs(tasks, trying, SETUP);
    const { pairs, kept } = await stepPairs(tasks, trying, { ...SETUP, right: 3 });
    expect(pairs.slice(0, plain.pairs.length)).toEqual([...plain.pairs]);
    const own = pairs.slice(plain.pairs.length);
    expect([plain.kept, own.length]).toEqual([0, kept]);
    expect(kept).toBeGreaterThan(2);
    expect(kept).toBeLessThanOrEqual(6);
    for (const { prompt, chosen, rejected, step, chances } of own) {
      expect(`${prompt}${chosen}`).not.toContain("X");
      expect(rejected).toContain("X");
      expect([...prompt].filter((letter) => letter === "\n")).toHaveLength(step - 1);
      expect([chances.length, chances[0]! < 1]).toEqual([1, true]);
    }
    expect(new Set(own.map(({ step }) => step)).size).toBeGreaterThan(1);
    expect((await stepPairs(tasks, trying, { ...SETUP, right: 3 })).pairs).toEqual([...pairs]);
  });

  test("come earlier where the pit is deeper", async () => {
    const stepAt = async (pit: number) => (await stepPairs(tasks, writer(1, 0.2).trying, { ...SETUP, pit })).told.step;
    expect(await stepAt(0.5)).toBeLessThan(await stepAt(0));
  });
});

describe("rows of steps", () => {
  test("are all different solutions; steps are right up to where the chance is lost", async () => {
    const { trying } = writer(1, 0.2);
    const { rows } = await stepPairs(tasks, trying, SETUP);
    expect(new Set(rows.map((row) => JSON.stringify(row))).size).toBe(rows.length);
    expect(new Set(rows.flatMap(({ labels }) => labels))).toEqual(new Set([true, false]));
    for (const { completions, labels } of rows) {
      expect(completions).toHaveLength(5);
      const spoilt = completions.indexOf("X"); // for good
      expect([...labels]).toEqual(completions.map((_, step) => spoilt < 0 || step < spoilt));
    }
  });

  test("of a prompt without hope have no right step", async () => {
    const { rows, pairs } = await stepPairs(tasks, writer(2, 1).trying, SETUP);
    expect(pairs).toEqual([]);
    expect(rows.flatMap(({ labels }) => [...labels]).every((label) => !label)).toBe(true);
    expect(rows).toHaveLength(2);
  });
});
