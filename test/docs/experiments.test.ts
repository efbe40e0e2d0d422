/** The tables of docs/experiments.md are what the command writes of the experiments that are there. */
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Experiment, experimentsOf, FAMILIES, outOfBound, strayFigures } from "../experiments/experiment.ts";
import {
  familiesOn,
  familyOn,
  familyText,
  figuresOf,
  sectionOf,
  sectionsOn,
  shown,
  withFamily,
} from "../experiments/tables.ts";

const page = readFileSync(join(import.meta.dir, "../../docs/experiments.md"), "utf8");

test("every family has a place on the page, in their order", () => {
  expect(familiesOn(page)).toEqual([...FAMILIES]);
});

test.each(FAMILIES)("%s: a section for each experiment that was run, and a word on the others", async (family) => {
  const known = await experimentsOf(family);
  const sections = sectionsOn(page, family);
  expect(familyOn(page, family)).toBe(familyText(known, sections));
  for (const experiment of known.values()) {
    const section = sections.get(experiment.title);
    if (section === undefined) continue;
    const found = figuresOf(section);
    expect(strayFigures(experiment, Object.keys(found))).toBeUndefined();
    // What is read back makes the same section: head, means, spreads and bounds are the generator's.
    expect(section).toBe(sectionOf(experiment, found));
    const tested = experiment.seeds.indexOf(experiment.tested);
    for (const [figure, cells] of Object.entries(found)) {
      const [value, bound] = [Number(cells[tested]), experiment.figures[figure]!];
      expect([experiment.title, figure, outOfBound(value, bound)]).toEqual([experiment.title, figure, undefined]);
    }
  }
});

const SAMPLE: Experiment = {
  title: "a and b",
  about: "What is compared.",
  seeds: [1, 2],
  tested: 2,
  figures: { a: {}, "b − a": { below: -0.1, above: -5 } },
  run: async () => ({ a: 1, "b − a": -1 }),
};

test("a section by hand", () => {
  const section = sectionOf(SAMPLE, { a: [shown(12.345), shown(10.04)], "b − a": [shown(-0.25), shown(-0.35)] });
  expect(section).toBe(`### a and b

What is compared.

| figure | seed 1 | seed 2 | mean ± sd | asserted on seed 2 |
| --- | --- | --- | --- | --- |
| a | 12.3 | 10.0 | 11.2 ± 1.6 | – |
| b − a | -0.250 | -0.350 | -0.300 ± 0.071 | above -5, below -0.1 |`);
  expect(figuresOf(section)).toEqual({ a: ["12.3", "10.0"], "b − a": ["-0.250", "-0.350"] });
});

test("a section of rows and columns by hand: means first, every seed below; rows may be missing", () => {
  const grid: Experiment = {
    ...SAMPLE,
    columns: ["height", "width"],
    figures: { "a: height": { above: 0 }, "a: width": {}, "b: height": {}, "c: width": {} },
    run: async () => ({}),
  };
  const section = sectionOf(grid, { "a: height": ["1.00", "3.00"], "b: height": ["2.00", "2.00"] });
  expect(section).toBe(`### a and b

What is compared.

|  | height | width |
| --- | --- | --- |
| a | 2.00 ± 1.41 | – |
| b | 2.00 ± 0.00 | – |

<details><summary>Every seed</summary>

| figure | seed 1 | seed 2 | mean ± sd | asserted on seed 2 |
| --- | --- | --- | --- | --- |
| a: height | 1.00 | 3.00 | 2.00 ± 1.41 | above 0 |
| b: height | 2.00 | 2.00 | 2.00 ± 0.00 | – |

</details>`);
  expect(figuresOf(section)).toEqual({ "a: height": ["1.00", "3.00"], "b: height": ["2.00", "2.00"] });
  expect(strayFigures(grid, ["a: width"])).toBeUndefined();
  expect(strayFigures(grid, ["d: width"])).toBe("d: width is no figure of the experiment");
  expect(strayFigures(SAMPLE, ["a"])).toBe("there is no b − a");
});

test("figures have three digits, and no zero has a sign", () => {
  expect([1234.56, 1.2345, 0.01234, -0.0001, -0.0004, -12.34].map(shown)).toEqual([
    "1234.6",
    "1.23",
    "0.012",
    "0.000",
    "0.000",
    "-12.3",
  ]);
});

test("a figure is wrong beyond its bound, at it, and when it is no number", () => {
  expect(outOfBound(-0.2, { below: -0.1 })).toBeUndefined();
  for (const value of [-0.1, 0, Number.NaN]) expect(outOfBound(value, { below: -0.1 })).toBeDefined();
  expect(outOfBound(0.1, { above: 0.1 })).toBe("0.1 is not above 0.1");
  expect(outOfBound(Number.POSITIVE_INFINITY, {})).toBeDefined();
  expect([outOfBound(12, { is: 12 }), outOfBound(11, { is: 12 })]).toEqual([undefined, "11 is not 12"]);
});

test("writing a section leaves the rest of the page", () => {
  const section = sectionOf(SAMPLE, { a: ["1.00", "2.00"], "b − a": ["-1.00", "-2.00"] });
  const known = new Map([
    ["other", { ...SAMPLE, title: "other" }],
    ["sample", SAMPLE],
  ]);
  const text = familyText(known, new Map([[SAMPLE.title, section]]));
  expect(text).toBe(`Not run for this page yet: other.\n\n${section}`);
  const changed = withFamily(page, "curriculum", text);
  expect([...sectionsOn(changed, "curriculum")]).toEqual([[SAMPLE.title, section]]);
  expect(withFamily(changed, "curriculum", familyOn(page, "curriculum"))).toBe(page);
  expect(() => familyOn("no marks", "curriculum")).toThrow("has no place for curriculum");
});

test.each([
  [
    "fresh-rows",
    "unknown family fresh-rows\n  hint: the families are training, merging, distillation, unlearning, curriculum, continual",
  ],
  ["merging fresh-rows", "unknown experiment fresh-rows\n  hint: those of merging are adamerging, doge, ema, "],
  ["curriculum fresh-rows one", "seed one\n  hint: a seed is a whole number of at least 0"],
])("the command refuses %p", (line, says) => {
  const command = join(import.meta.dir, "../experiments/run.ts");
  const { exitCode, stderr } = Bun.spawnSync([process.execPath, command, ...line.split(" ")]);
  expect([exitCode, stderr.toString()]).toEqual([2, expect.stringContaining(says)]);
});
