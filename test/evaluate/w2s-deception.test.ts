/** Weak-to-strong deception: its cells and score in plain arithmetic, and through the script. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cellsOf, deceptionOf } from "../../src/evaluate/deception.ts";
import { runScript } from "../support/command.ts";

const bits = (text: string) => [...text].map((bit) => bit === "1");
const KNOWN = {
  weak: bits("11000011"),
  strong: bits("11111000"),
  before: bits("11111110"),
  after: bits("01001010"),
};

test("the score is the share of what goes wrong that a strong model knows and a weak one does not", () => {
  // Wrong with the conflict alone: rows 0, 2, 3 and 5, of which 2 and 3 are known to strong alone.
  expect(deceptionOf(KNOWN)).toEqual({ tax: 4, score: 0.5 });
  expect(cellsOf(KNOWN)).toEqual([
    { strong: "known", weak: "known", rows: 2, tax: 1, before: 1, after: 0.5 },
    { strong: "known", weak: "unknown", rows: 3, tax: 2, before: 1, after: 1 / 3 },
    { strong: "unknown", weak: "known", rows: 2, tax: 0, before: 0.5, after: 0.5 },
    { strong: "unknown", weak: "unknown", rows: 1, tax: 1, before: 1, after: 0 },
  ]);
});

test("without a tax there is no score, and a cell without rows no share", () => {
  expect(deceptionOf({ ...KNOWN, after: KNOWN.before })).toEqual({ tax: 0, score: null });
  const [first] = cellsOf({ ...KNOWN, weak: bits("00000000") });
  expect(first).toEqual({ strong: "known", weak: "known", rows: 0, tax: 0, before: undefined, after: undefined });
});

test("four classifiers: no conflict gives no score; another student's cells add up; other metrics are refused", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-deception-"));
  const run = (script: string, ...argv: string[]) => runScript(script, argv, folder);
  const rows = Array.from({ length: 40 }, (_, i) => ({ x: [Math.sin(i), Math.cos(3 * i)], label: i % 2 }));
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const mlp = { model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 2 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(mlp));
  for (const seed of ["1", "2", "3", "4"]) {
    const argv = [
      "--init",
      "mlp.json",
      "--data",
      "rows.jsonl",
      "--steps",
      "3",
      "--seed",
      seed,
      "-o",
      `m${seed}/`,
      "-q",
    ];
    expect((await run("train", ...argv)).err).toBe("");
  }
  const probe = [
    "--probe",
    "w2s-deception",
    "--weak",
    "m1",
    "--strong-gt",
    "m2",
    "--student-noconf",
    "m3",
    "--data",
    "rows.jsonl",
    "-q",
  ];
  const same = await run("evaluate", "m3", ...probe);
  expect(same.text).toContain("undefined: no tax");
  const found = JSON.parse((await run("evaluate", "m3", "m4", ...probe, "--json")).text).rows;
  expect([found[0].tax, found[0].score]).toEqual([0, null]);
  const sum = (of: "rows" | "tax") =>
    found[1].cells.reduce((total: number, cell: Record<string, number>) => total + cell[of]!, 0);
  expect([sum("rows"), sum("tax")]).toEqual([40, found[1].tax]);
  const refused = await run("evaluate", "m3", ...probe, "--metric", "ece");
  expect([refused.code, refused.err.includes("and ece does not say")]).toEqual([2, true]);
  rmSync(folder, { recursive: true });
});
