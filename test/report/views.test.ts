/** What the page is made of: seeds together, columns of runs, sweeps, samples, lineage. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { graphOf, layoutOf } from "../../src/report/lineage-graph.ts";
import { toHtml } from "../../src/report/page/page.ts";
import { runsOf } from "../../src/report/read.ts";
import { betterOf, isNumeric, runColumns } from "../../src/report/run-columns.ts";
import { seedGroups } from "../../src/report/seed-groups.ts";
import { readSources } from "../../src/report/sources/read-sources.ts";
import { toLatex, toMarkdown } from "../../src/report/tables.ts";
import { ancestry } from "./ancestry.ts";
import { done, lines, start, step } from "./logs.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-report-"));
afterAll(() => rmSync(folder, { recursive: true }));

const run = (name: string, lr: number, seed: number, loss: number) =>
  runsOf(`${name}.jsonl`, lines([{ ...start, seed, options: { lr, seed, out: `${name}/` } }, step(1, loss), done]));
const seeds = [...run("a", 0.1, 0, 1), ...run("b", 0.1, 1, 2), ...run("c", 0.2, 0, 5)];

test("runs that differ by their seed and their place alone are one group", () => {
  expect(seedGroups(seeds)).toEqual([
    { name: "lr 0.1", runs: [0, 1] },
    { name: "c", runs: [2] },
  ]);
});

test("tables give the mean over seeds with its interval", () => {
  const half = (12.7062 * Math.SQRT1_2) / Math.SQRT2;
  expect(toMarkdown(seeds)).toContain(`1.5 ± ${Number(half.toPrecision(2))}`);
  expect(toLatex(seeds)).toContain("1.5 $\\pm$ 6.4");
  expect(toMarkdown(seeds.slice(1))).not.toContain("±");
});

test("columns are what differs and what runs came to", () => {
  const columns = runColumns(seeds);
  expect(columns.map(({ name }) => name)).toEqual(["run", "seed", "lr", "loss", "steps", "seconds"]);
  expect(columns.find(({ name }) => name === "loss")).toEqual({ name: "loss", better: "lower", values: [1, 2, 5] });
  expect(columns.filter(isNumeric).map(({ name }) => name)).toEqual(["seed", "lr", "loss"]);
  expect(["eval loss (a)", "accuracy", "seconds", "lr"].map(betterOf)).toEqual(["lower", "higher", "lower", undefined]);
});

test("a folder of a sweep is its trials, with their logs where they are there", async () => {
  const place = join(folder, "sweep");
  mkdirSync(join(place, "0000-seed-0"), { recursive: true });
  writeFileSync(join(place, "0000-seed-0/log.jsonl"), lines([start, step(1, 3), step(2, 2), done]));
  const trial = {
    point: { lr: 0.1 },
    metrics: { accuracy: 0.5 },
    seconds: 1,
    exit: 0,
    log: "0000-seed-0/log.jsonl",
    out: "x",
  };
  writeFileSync(
    join(place, "trials.jsonl"),
    `${lines([
      { sweep: {} },
      {
        trial: 1,
        seed: 0,
        ...trial,
        point: { lr: 0.2 },
        exit: 1,
        error: "no",
        log: "0001-seed-0/log.jsonl",
        metrics: {},
      },
      { trial: 0, seed: 0, ...trial },
    ])}\n{"trial":2,`,
  );
  const { runs, ancestries } = await readSources([place]);
  expect(ancestries).toEqual([]);
  expect(runs.map(({ name, numbers }) => [name, numbers])).toEqual([
    ["trial 0, seed 0", { accuracy: 0.5 }],
    ["trial 1, seed 0", {}],
  ]);
  expect(runs[0]!.series.get("loss")!.value).toEqual([3, 2]);
  expect(runs[1]!.end).toMatchObject({ ok: false, error: "no" });
  expect(runColumns(runs).map(({ name }) => name)).toContain("accuracy");
  mkdirSync(join(folder, "none"));
  writeFileSync(join(folder, "none/trials.jsonl"), '{"sweep":{}}\n');
  expect(readSources([join(folder, "none")])).rejects.toThrow("has no trial that ended");
});

test("samples of several models stand side by side, as texts", () => {
  const said = (name: string, text: string) =>
    runsOf(name, JSON.stringify({ prompt: "<b>Who?</b>", sample: 0, text: `${text}<script>` }));
  const page = toHtml([...said("one.jsonl", "I"), ...said("two.jsonl", "We")]);
  expect(page).toContain(
    '<th scope="row">&lt;b&gt;Who?&lt;/b&gt;</th><td><p>I&lt;script&gt;</p></td><td><p>We&lt;script&gt;</p></td>',
  );
});

test("lineage is a graph of steps, and an edge passes behind no step", () => {
  const graph = graphOf([ancestry]);
  expect(graph.nodes.map(({ kind, title }) => [kind, title])).toEqual([
    ["step", "train"],
    ["input", "hf:org/base"],
    ["step", "merge ties"],
    ["input", "hf:org/other"],
    ["result", "merged/"],
  ]);
  const { nodes, edges } = layoutOf(graph);
  const columns = Object.fromEntries(nodes.map(({ node, column }) => [node.title, column]));
  expect(columns).toEqual({ "hf:org/base": 0, train: 1, "hf:org/other": 0, "merge ties": 2, "merged/": 3 });
  const taken = new Set(nodes.map(({ column, row }) => `${column} ${row}`));
  expect(taken.size).toBe(nodes.length);
  for (const { through } of edges)
    for (const { column, row } of through.slice(1, -1)) expect(taken.has(`${column} ${row}`)).toBe(false);
  expect(edges.filter(({ through }) => through.length > 2)).toHaveLength(2);
});

test("hostile lineage is text", () => {
  const evil = '"><script>alert(1)</script>';
  const page = toHtml(
    [],
    [{ ref: evil, lineage: [{ ...ancestry.lineage[0]!, script: evil, inputs: [{ ref: evil }] }] }],
  );
  expect(page).not.toContain("<script>alert");
});
