/** Six real models, seven metrics, four groups: on one screen, and in files of every form. */
import { beforeAll, describe, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { lines, nextModel } from "./next-model.ts";

const METRICS = ["loss", "accuracy", "sequence-accuracy", "exact-match", "probability", "perplexity", "ece"];
const MODELS = [5, 20].flatMap((steps) => [0, 1, 2].map((seed) => `m${steps}-s${seed}/`));
const GROUPS = ["forget", "up", "same", "odd"];
const { at, run } = await nextModel("evaluate-table");
const data = GROUPS.flatMap((group) => ["--data", `${group}.jsonl`]);
const argv = [...MODELS, ...data, "--metric", METRICS.join(","), "--bootstrap", "10", "-q"];

interface Told {
  readonly rows: readonly {
    readonly model: string;
    readonly group: string;
    readonly metric: string;
    readonly value: number;
    readonly better?: string;
    readonly seeds_of?: string;
    readonly seed?: string;
  }[];
}

let told: Told;

beforeAll(async () => {
  const rows = (n: number, answer: (i: number) => string) =>
    lines(Array.from({ length: n }, (_, i) => ({ prompt: `${i}>`, completion: answer(i) })));
  writeFileSync(
    at("forget.jsonl"),
    rows(10, (i) => `${(i + 1) % 10}`),
  );
  writeFileSync(
    at("up.jsonl"),
    rows(10, (i) => `${(i + 2) % 10}`),
  );
  writeFileSync(at("same.jsonl"), rows(5, String));
  writeFileSync(
    at("odd.jsonl"),
    rows(7, () => "x"),
  );
  for (const model of MODELS) {
    const [, steps, seed] = model.match(/m(\d+)-s(\d)/)!;
    const common = ["--init", "config.json", "--tokenizer", "byte", "--data", "next.jsonl", "--batch-size", "10"];
    const how = ["--steps", steps!, "--seed", seed!, "--lr", "0.01", "-o", model, "-q"];
    expect((await run("train", [...common, ...how])).err).toBe("");
  }
  const { text, err } = await run("evaluate", [...argv, "--json"]);
  expect(err).toBe("");
  told = JSON.parse(text);
}, 240_000);

describe("six models, seven metrics, four groups", () => {
  test("are one screen of 80 columns and 40 lines, with a mark for the best of a column", async () => {
    const { text } = await run("evaluate", [...argv, "--seeds", "off"]);
    const printed = text.trimEnd().split("\n");
    expect(printed.length).toBeLessThanOrEqual(40);
    for (const line of printed) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(80);
    expect(printed.filter((line) => line.startsWith("up, n 10"))).toHaveLength(1);
    const up = printed.slice(printed.indexOf("up, n 10") + 1).slice(0, 6);
    const losses = told.rows.filter(({ group, metric }) => group === "up" && metric === "loss");
    const least = Math.min(...losses.map(({ value }) => value));
    for (const [i, line] of up.entries()) {
      const [name, loss] = line.trim().split(/ +/);
      expect(`${name}/`).toBe(MODELS[i]!);
      expect(loss).toBe(losses[i]!.value.toFixed(4) + (losses[i]!.value === least ? "*" : ""));
    }
    // Whether a model should still know what is to be forgotten, loss cannot tell; calibration can.
    const forget = printed.slice(printed.indexOf("forget, n 10") + 1).slice(0, 6);
    expect(
      forget
        .map((line) => line.trim().split(/ +/))
        .flatMap((cells) => cells.slice(1, 7))
        .join(""),
    ).not.toContain("*");
  }, 120_000);

  test("runs that differ by their seed alone are one line, mean ± deviation", async () => {
    const { text } = await run("evaluate", argv);
    const block = text.slice(text.indexOf("up, n 10")).split("\n").slice(1, 3);
    expect(block.map((line) => line.trim().split(" (3)")[0])).toEqual(["m5-s*", "m20-s*"]);
    const losses = (name: string) =>
      told.rows.flatMap((row) =>
        row.group === "up" && row.metric === "loss" && row.seeds_of === name ? [row.value] : [],
      );
    for (const [i, name] of ["m5-s*/", "m20-s*/"].entries()) {
      const list = losses(name);
      expect(list).toHaveLength(3);
      const mean = (list[0]! + list[1]! + list[2]!) / 3;
      const spread = Math.sqrt(list.reduce((sum, x) => sum + (x - mean) ** 2, 0) / 2);
      expect(block[i]!).toContain(`${mean.toFixed(2)}±${spread.toFixed(2).replace(/^0/, "")}`);
    }
    for (const line of text.split("\n")) expect(Bun.stringWidth(line)).toBeLessThanOrEqual(80);
  }, 120_000);

  test("as JSON: keys in one style, the long form has every number on a line", async () => {
    const keys = new Set(told.rows.flatMap(Object.keys));
    expect([...keys].filter((key) => !/^[a-z]+(_[a-z]+)*$/.test(key))).toEqual([]);
    expect(told.rows).toHaveLength(6 * 7 * 5);
    const { text } = await run("evaluate", [...argv, "--long"]);
    const printed = text.trimEnd().split("\n");
    expect(printed[0]).toMatch(/^model +group +metric +value +95 % +difference +95 % +rows$/);
    expect(printed).toHaveLength(1 + 6 * 7 * 5);
  }, 120_000);

  test("as files: the ending says the form", async () => {
    const write = async (name: string, ...more: string[]) => {
      const { code, text } = await run("evaluate", [...argv, "-o", name, ...more]);
      expect(code).toBe(0);
      return { text, file: readFileSync(at(name), "utf8") };
    };
    const { file: csv, text: json } = await write("e.csv", "--json");
    expect(JSON.parse(json)).toEqual(told);
    const records = csv
      .trimEnd()
      .split("\r\n")
      .map((line) => line.split(","));
    const place = (name: string) => records[0]!.indexOf(name);
    expect(records).toHaveLength(1 + told.rows.length);
    for (const [i, row] of told.rows.entries()) {
      const record = records[i + 1]!;
      expect(["model", "group", "metric", "seed", "better"].map((name) => record[place(name)])).toEqual([
        row.model,
        row.group,
        row.metric,
        row.seed,
        row.better,
      ]);
      expect(Number(record[place("value")])).toBe(row.value);
    }
    const listed = (await write("e.jsonl")).file
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(listed).toEqual([...told.rows]);
    expect(JSON.parse((await write("e.json")).file)).toEqual(told);
    const { file: markdown } = await write("e.md");
    expect(markdown).toMatch(/^\| model \| loss \|.*\n\|---\|---:\|/);
    expect(markdown).toMatch(/^\| m20-s\\\* \(3\) \| \*\*\d\.\d{4}±\d\.\d{4}\*\* \|/m);
    const { file: latex } = await write("e.tex", "--seeds", "off");
    expect(latex.match(/^m\d+-s\d & .*\\\\$/gm)).toHaveLength(30);
    for (const line of latex.match(/^m\d+-s\d & .*$/gm)!) expect(line.split(" & ")).toHaveLength(8);
    for (const [form, file] of [
      ["csv", csv],
      ["md", markdown],
    ] as const)
      expect((await run("report", ["e.json", `--${form}`, "-q"])).text).toBe(file);
    expect((await run("report", ["e.jsonl", "-o", "r.tex", "-q"])).code).toBe(0);
    expect((await run("evaluate", [...argv, "-o", "s.tex"])).code).toBe(0);
    expect(readFileSync(at("r.tex"), "utf8")).toBe(readFileSync(at("s.tex"), "utf8"));
    if (Bun.which("pdflatex")) {
      const compiled = Bun.spawnSync(["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "e.tex"], {
        cwd: at(""),
      });
      expect(compiled.exitCode, compiled.stdout.toString()).toBe(0);
    }
    expect((await write("e.txt", "--seeds", "off")).file).toStartWith(" ");
    const odd = await run("evaluate", [...argv, "-o", "e.xlsx"]);
    expect([odd.code, odd.err.split("\n")[0]]).toEqual([2, "evaluate: evaluate writes no .xlsx file, found -o e.xlsx"]);
  }, 240_000);
});
