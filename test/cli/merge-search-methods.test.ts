/** Every search by the command line: trials, the result, and that its recipes make the same models again. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { searchLab } from "./search-lab.ts";

const { at, script } = searchLab();
const TASKS = "math code --base llama-tied --method task_arithmetic --normalize false";
const ONE = "--data llama-tied.jsonl --objective loss";
const TWO = "--data a=llama-tied.jsonl --data b=llama-tied-first.jsonl --objective loss@a,loss@b";

/** Runs a search, and again from a part of its trials; gives what it printed and its trials. */
async function searched(args: string, name: string) {
  const once = await script("merge", `${args} --trials ${name}.jsonl --json`);
  expect(once.code, once.text).toBe(0);
  const lines = readFileSync(at(`${name}.jsonl`), "utf8")
    .trim()
    .split("\n");
  const trials = lines.slice(1).map((line) => JSON.parse(line));
  return { found: JSON.parse(once.out), trials };
}

test("cma-es tries generations and then its mean", async () => {
  const { found, trials } = await searched(`${TASKS} ${ONE} --search cma-es --budget 12 --population 6 -o cma/`, "cma");
  expect(trials.length).toBe(13);
  expect(trials.at(-1).trial).toBe("last");
  expect(found.best.scores.loss).toBe(Math.min(...trials.map(({ scores }) => scores.loss)));
}, 120_000);

test("bo fits what it has seen", async () => {
  const { found, trials } = await searched(`${TASKS} ${ONE} --search bo --budget 8 -o bo/`, "bo");
  expect(trials.length).toBe(8);
  expect(found.best.scores.loss).toBeLessThanOrEqual(trials[0].scores.loss);
}, 120_000);

test("nap trains, says so, and asks for the same points again", async () => {
  const args = `${TASKS} ${ONE} --search nap --budget 6 --training-steps 20`;
  const { found, trials } = await searched(`${args} -o nap/`, "nap");
  expect(trials.length).toBe(6);
  expect(found.best.scores.loss).toBeLessThanOrEqual(trials[0].scores.loss);
  const lines = readFileSync(at("nap.jsonl"), "utf8").trim().split("\n");
  writeFileSync(at("nap-part.jsonl"), `${lines.slice(0, 5).join("\n")}\n`);
  const again = await script("merge", `${args} --trials nap-part.jsonl -o nap-again/`);
  expect(again.code, again.text).toBe(0);
  expect(again.text).toContain("20 steps in");
  const resumed = readFileSync(at("nap-part.jsonl"), "utf8").trim().split("\n");
  const points = (all: readonly string[]) => all.slice(1).map((line) => JSON.parse(line).point);
  expect(points(resumed)).toEqual(points(lines));
}, 120_000);

test("nsga leaves the recipes of its front", async () => {
  const args = `${TASKS} ${TWO} --search nsga --population 6 --budget 12 --recipes front`;
  const { trials } = await searched(args, "nsga");
  expect(trials.length).toBe(12);
  expect(readdirSync(at("front")).length).toBeGreaterThan(0);
}, 120_000);

test("universal merges by weights that sum to 1", async () => {
  const { trials } = await searched(`${TASKS} ${ONE} --search universal --budget 4 -o universal/`, "universal");
  for (const { point } of trials) expect(point["weight.math"] + point["weight.code"]).toBeCloseTo(1, 6);
  expect(trials.length).toBe(4);
}, 120_000);

test("cycleqd begins with the experts, and its recipes make the same models again", async () => {
  const merge = "math code --base llama-tied --method svd_scale";
  const { trials } = await searched(`${merge} ${TWO} --search cycleqd --budget 9 --recipes cells -o cycle/`, "cycle");
  expect(trials.slice(0, 2).map(({ point }) => point)).toEqual([
    { "weight.math": 1, "weight.code": 0 },
    { "weight.math": 0, "weight.code": 1 },
  ]);
  expect(trials.at(-1).trial).toBe("last");
  const cells = readdirSync(at("cells/archive"), { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith("yml"),
  );
  expect(new Set(cells.map((file) => file.split("/")[0]))).toEqual(new Set(["loss@a", "loss@b"]));
  const texts = cells.map((file) => readFileSync(at(`cells/archive/${file}`), "utf8"));
  const at0 = texts.findIndex((text) => text.includes("mutations"));
  const number = Number(/^# trial (\d+) of/.exec(texts[at0]!)![1]);
  const { extra, scores } = trials[number];
  expect(texts[at0]).toContain(extra.mutations);
  const again = await script("merge", `cells/archive/${cells[at0]} -o again/`);
  expect(again.code, again.text).toBe(0);
  const { out } = await script(
    "evaluate",
    "again --data a=llama-tied.jsonl --data b=llama-tied-first.jsonl --metric loss --json",
  );
  const { rows } = JSON.parse(out);
  for (const group of ["a", "b"])
    expect(rows.find((row: { group: string }) => row.group === group).value).toBe(scores[`loss@${group}`]);
}, 120_000);
