/** What every procedural task promises, whatever it makes. */
import { describe, expect, test } from "bun:test";
import { SPLITS } from "../../../src/data/task.ts";
import { loadMethods } from "../../../src/method/registry.ts";
import { openTask, rowsOf } from "./open-task.ts";

/** Forms of each task besides its defaults. */
const VARIANTS: [name: string, options: Record<string, unknown>][] = [
  ["addition", { digits: 6, vary: true, pad: true, reversed: true }],
  ["addition", { form: "digit" }],
  ["blobs", { label_noise: 0.3, classes: 3, dims: 5 }],
  ["facts", { part: "two-hop" }],
  ["facts", { part: "world" }],
  ["facts", { part: "neighbour" }],
  ["facts", { form: "documents" }],
  ["facts", { form: "verbatim", part: "holdout" }],
  ["facts", { form: "knowledge", part: "forget" }],
  ["glyphs", { rotation: 30, imbalance: 100 }],
  ["knights", { people: 5, depth: 3 }],
  ["lego", { chain: 7, graph: "tree" }],
  ["lego", { graph: "two-paths", proportions: [1, 1, 1, 3, 5] }],
  ["markov", { order: 0, alphabet: 2 }],
  ["markov", { order: 3, alphabet: 5, form: "ids", length: 2 }],
  ["modular", { modulus: 13, operation: "divide" }],
];
const tasks = await loadMethods("task");
const cases = [...tasks.map(({ name }) => [name, {}] as (typeof VARIANTS)[number]), ...VARIANTS];

/** What two splits may not share, as the task says; tasks of independent draws are not among them. */
const CONTENT: Record<string, (row: Record<string, unknown>) => string> = {
  addition: ({ prompt }) =>
    String(prompt)
      .replace(/, A \d+ = \?/, "")
      .match(/\d[\d ]*/g)!
      .map((n) => Number(n.replaceAll(" ", "")))
      .sort((a, b) => a - b)
      .join(),
  facts: ({ subject }) => String(subject),
  knights: ({ statements }) => JSON.stringify(statements),
  lego: ({ prompt }) => String(prompt).slice(7, String(prompt).indexOf(" . ")).split(" , ").sort().join(),
  modular: ({ a, b }) => `${a},${b}`,
};

test("the tasks are the files of the folder", () => {
  expect(tasks.map(({ name }) => name)).toEqual([
    "addition",
    "blobs",
    "facts",
    "glyphs",
    "knights",
    "lego",
    "markov",
    "modular",
  ]);
  for (const { cite, title, about, options } of tasks) {
    for (const text of [cite, title, about, ...Object.values(options).map(({ help }) => help)])
      expect(text).not.toBe("");
    for (const option of Object.values(options)) expect(option.default).toBeDefined();
  }
});

describe.each(cases)("%s %j", (name, options) => {
  test("a row depends on seed, split and index, not on what was made before", async () => {
    for (const split of SPLITS) {
      const rows = rowsOf(await openTask(name, { ...options, split, seed: 3 }), 40);
      const again = await openTask(name, { ...options, split, seed: 3 });
      expect(rows.length).toBeGreaterThan(0);
      for (let i = rows.length - 1; i >= 0; i -= 3) expect(again.row(i)).toEqual(rows[i]!);
      expect(JSON.parse(JSON.stringify(rows))).toEqual(rows); // nothing that JSON would lose
    }
  });

  test("seeds differ", async () => {
    const [a, b] = [await openTask(name, { ...options, seed: 1 }), await openTask(name, { ...options, seed: 2 })];
    expect(rowsOf(a, 20)).not.toEqual(rowsOf(b, 20));
  });

  test("facts survive JSON", async () => {
    const { facts } = await openTask(name, options);
    expect(JSON.parse(JSON.stringify(facts))).toEqual(facts);
  });

  if (name in CONTENT && options.part !== "world")
    test("no content is in two splits, whatever the seeds", async () => {
      const homes = new Map<string, string>();
      for (const split of SPLITS)
        for (const seed of [0, 1])
          for (const row of rowsOf(await openTask(name, { ...options, split, seed }), 250)) {
            const content = CONTENT[name]!(row);
            expect(homes.get(content) ?? split).toBe(split);
            homes.set(content, split);
          }
    });
  else if (!(name in CONTENT) && name !== "markov")
    test("splits are different draws", async () => {
      const [a, b] = [await openTask(name, options), await openTask(name, { ...options, split: "test" })];
      const seen = new Set(rowsOf(a, 200).map((row) => JSON.stringify(row.x)));
      for (const row of rowsOf(b, 200)) expect(seen.has(JSON.stringify(row.x))).toBe(false);
    });
});

test("the smallest tasks still have rows in every split", async () => {
  for (const split of SPLITS) {
    expect((await openTask("addition", { digits: 1, split })).row(0)).toBeDefined();
    expect((await openTask("lego", { chain: 1, split })).row(0)).toBeDefined();
    expect((await openTask("knights", { people: 2, split })).row(0)).toBeDefined();
  }
});
