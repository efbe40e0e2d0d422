/** Tables on narrow terminals: what gives way, in which order, and that nothing does where there is room. */
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { listText } from "../../src/cli/help.ts";
import { statisticsTable, tensorTable } from "../../src/inspect/report.ts";
import { emptyTally } from "../../src/inspect/statistics.ts";
import { loadMethods } from "../../src/method/registry.ts";
import { type Giving, narrowTable } from "../../src/text/narrow-table.ts";
import { table } from "../../src/text/table.ts";

const widest = (text: string): number => Math.max(...text.split("\n").map((line) => Bun.stringWidth(line)));

const ROWS = [
  ["alpha-beta-gamma", "one two three four", "(2, 3)"],
  ["alpha-zeta-gamma", "five", "(4)"],
];
const GIVING: Giving[] = [{ wrap: 1, to: 9 }, { drop: 2 }, { shorten: 0, to: 8 }];
const at = (width: number) => narrowTable(ROWS, { width, giving: GIVING });

describe("a table", () => {
  test("is whole where there is room, and without a width", () => {
    expect(at(44)).toEqual({ text: table(ROWS), left: [] });
    expect(narrowTable(ROWS, { width: undefined, giving: GIVING })).toEqual({ text: table(ROWS), left: [] });
  });

  test("gives way step by step", () => {
    expect(at(39).text.split("\n")).toEqual([
      "alpha-beta-gamma  one two three  (2, 3)",
      "                  four",
      "alpha-zeta-gamma  five           (4)",
    ]);
    expect(at(27)).toEqual({
      text: [
        "alpha-beta-gamma  one two",
        "                  three",
        "                  four",
        "alpha-zeta-gamma  five",
      ].join("\n"),
      left: [2],
    });
    expect(
      at(20)
        .text.split("\n")
        .map((line) => line.split("  ")[0]),
    ).toEqual(["alpha…ga…1", "", "", "alpha…ga…2"]);
    expect(widest(at(20).text)).toBeLessThanOrEqual(20);
  });

  test("gives a text the room of a column that was left out", () => {
    expect(at(36).text.split("\n")[0]).toBe("alpha-beta-gamma  one two     (2, 3)");
    expect(at(30).text.split("\n")[0]).toBe("alpha-beta-gamma  one two");
    expect(at(32).left).toEqual([2]);
    expect(at(32).text.split("\n")[0]).toBe("alpha-beta-gamma  one two three");
  });

  test("is no wider than the terminal if its steps go far enough, and says all words", () => {
    const word = fc.stringMatching(/^[a-z]{1,8}$/);
    const row = fc.tuple(
      fc.stringMatching(/^[a-z.]{1,40}$/),
      fc.array(word, { minLength: 1, maxLength: 9 }).map((list) => list.join(" ")),
      fc.stringMatching(/^[0-9]{0,12}$/),
    );
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 7 }), fc.integer({ min: 24, max: 90 }), (rows, width) => {
        const { text, left } = narrowTable(rows, { width, giving: GIVING });
        expect(widest(text)).toBeLessThanOrEqual(width);
        expect(left.every((column) => column === 2)).toBe(true);
        const shown = text.split(/[\n ]+/);
        for (const [, about] of rows) for (const each of about.split(" ")) expect(shown).toContain(each);
      }),
    );
  });
});

test("the lists of all methods fit into 40 columns and more, with every word of what a method does", async () => {
  const groups = [
    { source: "merge", methods: await loadMethods("merge") },
    { source: "metric", methods: await loadMethods("metric") },
  ] as const;
  const whole = listText(groups);
  expect(widest(whole)).toBeGreaterThan(100);
  for (const width of [40, 60, 80, 120]) {
    const text = listText(groups, width);
    expect(widest(text)).toBeLessThanOrEqual(width);
    expect(text.includes("No room for the sources")).toBe(!text.includes("arXiv:2306.01708"));
    const words = new Set(text.split(/\s+/));
    for (const { about } of groups[0].methods) for (const word of about.split(" ")) expect(words).toContain(word);
  }
  expect(listText(groups, 1000)).toBe(whole);
  expect(listText(groups, 80)).toContain("arXiv:2306.01708");
});

test("tables of tensors fit into 40 columns and more, and say which columns they leave out", () => {
  const names = [
    "model.layers.0.post_attention_layernorm.weight",
    "model.layers.0.mlp.down_proj.weight",
    "lm_head.weight",
  ];
  const tensors = names.map((name) => ({ name, dtype: "BF16" as const, shape: [8192, 28672], bytes: 4 }));
  const tallies = new Map(tensors.map((entry) => [entry.name, { entry, tally: emptyTally(false) }]));
  for (const width of [40, 60, 80]) {
    expect(widest(tensorTable(tensors, true, width))).toBeLessThanOrEqual(width);
    expect(widest(statisticsTable(tallies, true, width))).toBeLessThanOrEqual(width);
  }
  const narrow = statisticsTable(tallies, true, 60);
  expect(narrow).toMatch(/No room for shape, dtype.*: widen the terminal,\s+or\s+read\s+--json\.$/s);
  expect(narrow).toContain("abs max");
  expect(statisticsTable(tallies, true)).toContain("model.layers.0.post_attention_layernorm.weight  (8192, 28672)");
  // Names that are cut stay different.
  const first = tensorTable(tensors, true, 40)
    .split("\n")
    .slice(0, 3)
    .map((line) => line.split("  ")[0]);
  expect(new Set(first).size).toBe(3);
});
