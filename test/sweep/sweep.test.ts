/** `sweep` from the shell: grids, seeds, failures, going on, array jobs, searches that hear scores. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runScript, startScript } from "../support/command.ts";

setDefaultTimeout(240_000); // the machine may be busy

let cwd: string;
beforeAll(async () => {
  cwd = mkdtempSync(join(tmpdir(), "ingot-sweep-test-"));
  const net = { model_type: "mlp", input_size: 16, hidden_sizes: [4], num_labels: 3 };
  writeFileSync(join(cwd, "net.json"), JSON.stringify(net));
  await runScript("data", "blobs --size 40 --classes 3 -o blobs.jsonl".split(" "), cwd);
});
afterAll(() => rmSync(cwd, { recursive: true }));

const sweep = (line: string) => runScript("sweep", line.split(" "), cwd);
const linesOf = (file: string): Record<string, unknown>[] =>
  readFileSync(join(cwd, file), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
const TRAIN = "-- --init net.json --data blobs.jsonl --steps 4 --batch-size 8";

test("a grid over seeds, measured by another script, and what is missing is made alone", async () => {
  const line = `train --lr 1e-3..1e-1:log:2 --seeds 2 --metric loss --metric accuracy -o grid ${TRAIN} -- evaluate {out} --data blobs.jsonl --metric accuracy`;
  const first = await sweep(`${line} --json`.replace("train", "train --json").replace(/ --json$/, ""));
  expect([first.code, first.code === 0 ? "" : first.err]).toEqual([0, ""]);
  const told = JSON.parse(first.text) as { trials: number; rows: { point: object; trials: number; best: boolean }[] };
  expect(told.rows.map(({ point, trials }) => [point, trials])).toEqual([
    [{ lr: 0.001 }, 2],
    [{ lr: 0.1 }, 2],
  ]);
  expect(told.rows.some(({ best }) => best)).toBe(true);
  const [head, ...trials] = linesOf("grid/trials.jsonl");
  expect(head).toMatchObject({ search: "grid", sweep: { script: "train" } });
  expect(trials.map(({ trial, seed }) => [trial, seed])).toEqual([
    [0, 0],
    [0, 1],
    [1, 0],
    [1, 1],
  ]);
  for (const { metrics, log, out } of trials as { metrics: Record<string, number>; log: string; out: string }[]) {
    expect(metrics.loss).toBeGreaterThan(0);
    expect(metrics["accuracy@all"]).toBe(metrics.accuracy!);
    expect(existsSync(join(cwd, "grid", log))).toBe(true);
    expect(existsSync(join(cwd, "grid", out, "model.safetensors"))).toBe(true);
  }
  // The last trial was cut short: a part of its line stands there.
  const text = readFileSync(join(cwd, "grid/trials.jsonl"), "utf8").trim().split("\n");
  writeFileSync(join(cwd, "grid/trials.jsonl"), `${text.slice(0, -1).join("\n")}\n`);
  appendFileSync(join(cwd, "grid/trials.jsonl"), text.at(-1)!.slice(0, 20));
  const kept = statSync(join(cwd, "grid/0000-seed-0/log.jsonl")).mtimeMs;
  const again = await sweep(line);
  expect(again.code).toBe(0);
  expect(again.text).toMatch(/^trial +lr +loss +accuracy +seeds\n/);
  expect(statSync(join(cwd, "grid/0000-seed-0/log.jsonl")).mtimeMs).toBe(kept);
  const strip = ({ seconds: _, ...trial }: Record<string, unknown>) => trial;
  expect(linesOf("grid/trials.jsonl").slice(1).map(strip)).toEqual(trials.map(strip));
  const other = await sweep(line.replace("--steps 4", "--steps 5"));
  expect([other.code, other.err]).toEqual([2, expect.stringContaining("holds trials of another sweep")]);
});

test("shares of an array job are together the whole", async () => {
  const line = `train --lr 1e-3,1e-2,1e-1 --metric loss -o array ${TRAIN}`;
  for (const share of ["1/2", "2/2"])
    expect((await sweep(line.replace("-o array", `-o array --trial ${share}`))).code).toBe(0);
  const ofEach = [1, 2].map((i) => linesOf(`array/trials-${i}-of-2.jsonl`).slice(1));
  expect(ofEach.map((trials) => trials.map(({ trial }) => trial))).toEqual([[0, 2], [1]]);
  const whole = await sweep(line.replace("-o array", "--json -o array"));
  expect(JSON.parse(whole.text).rows).toHaveLength(3);
  expect(linesOf("array/trials.jsonl")).toHaveLength(1);
});

test("a trial that fails is told, the others go on, and it is tried again", async () => {
  const blocked = `train --data gone.jsonl,blobs.jsonl --metric loss -o failing -- --init net.json --steps 2`;
  writeFileSync(join(cwd, "gone.jsonl"), '{"x":[1,2],"label":0}\n');
  const refused = await sweep(blocked);
  expect([refused.code, refused.err]).toEqual([
    2,
    expect.stringContaining("the first trial is refused: train: gone.jsonl:1"),
  ]);
  const line = blocked.replace("gone.jsonl,blobs.jsonl", "blobs.jsonl,gone.jsonl");
  const some = await sweep(line);
  expect([some.code, some.err]).toEqual([1, expect.stringContaining("trial 0001-seed-0 failed: train: gone.jsonl:1")]);
  expect(some.text).toContain("1 of 1 failed");
  writeFileSync(join(cwd, "gone.jsonl"), readFileSync(join(cwd, "blobs.jsonl")));
  expect((await sweep(line)).code).toBe(0);
});

test("a search that hears scores follows them, and asks the same again", async () => {
  const line = (out: string) =>
    `train --lr 1e-5..1:log --metric loss --search cma-es --budget 16 --population 4 -o ${out} ${TRAIN.replace("--steps 4", "--steps 12")}`;
  expect((await sweep(line("led"))).code).toBe(0);
  const losses = linesOf("led/trials.jsonl")
    .slice(1)
    .map(({ metrics }) => (metrics as { loss: number }).loss);
  const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length;
  expect(losses).toHaveLength(16);
  expect(mean(losses.slice(12))).toBeLessThan(mean(losses.slice(0, 4)));
  expect((await sweep(line("again").replace("-o again", "--jobs 2 -o again"))).code).toBe(0);
  const points = (file: string) =>
    linesOf(file)
      .slice(1)
      .sort((a, b) => Number(a.trial) - Number(b.trial))
      .map(({ point }) => point);
  expect(points("again/trials.jsonl")).toEqual(points("led/trials.jsonl"));
});

test("a sweep that is interrupted says what is there, and goes on", async () => {
  const line = `train --lr 1e-3,1e-2,1e-1 --metric loss -o cut ${TRAIN}`;
  const child = startScript("sweep", line.split(" "), cwd);
  for (
    let i = 0;
    i < 600 && !(existsSync(join(cwd, "cut/trials.jsonl")) && linesOf("cut/trials.jsonl").length > 1);
    i++
  )
    await Bun.sleep(50);
  child.kill("SIGINT");
  expect(await child.exited).toBe(130);
  expect(await new Response(child.stderr).text()).toContain("the same command goes on with the others");
  const before = linesOf("cut/trials.jsonl").length - 1;
  expect(before).toBeGreaterThanOrEqual(1);
  expect(before).toBeLessThan(3);
  expect((await sweep(line)).code).toBe(0);
  expect(linesOf("cut/trials.jsonl")).toHaveLength(4);
});

test("a folder of other files is left as it is", async () => {
  mkdirSync(join(cwd, "mine/0000-seed-0"), { recursive: true });
  writeFileSync(join(cwd, "mine/0000-seed-0/kept.txt"), "kept");
  const { code, err } = await sweep(`train --lr 1e-3,1e-2 --metric loss -o mine ${TRAIN}`);
  expect([code, err]).toEqual([2, expect.stringContaining("--out: mine has other files and no sweep")]);
  expect(readFileSync(join(cwd, "mine/0000-seed-0/kept.txt"), "utf8")).toBe("kept");
});

test.each([
  ["train -o x -- --init net.json", "--metric is missing"],
  ["train --metric loss -o x -- --init net.json", "nothing varies"],
  ["train --metric loss --lr -o x -- --init net.json", "--lr has no values to try"],
  ["train --metric loss --lr 1,2 -- --init net.json", "a sweep leaves a folder of trials"],
  ["trane --metric loss --lr 1,2 -o x", "unknown script trane"],
  ["train --metric loss --lt 1,2 -o x -- --init net.json --data blobs.jsonl", "train --lt=1: "],
  ["train --metric loss --lr 1e-3,big -o x -- --init net.json --data blobs.jsonl", "train --lr=big: --lr: expected"],
  ["train --metric loss --lr 2..1 -o x", "--lr goes from 2 to 1"],
  ["train --metric loss --lr 0..1:log -o x", "--lr is spread over a logarithm and begins at 0"],
  ["train --metric loss --lr 0..1:loud -o x", "--lr: loud after a range"],
  ["train --metric loss --lr 0.1..1 -o x -- --init net.json --data blobs.jsonl", "has no number of points for a grid"],
  ["train --metric steps --lr 1,2 -o x", "--metric steps does not say which of two is better"],
  ["train --metric loss --lr 1,2 -o x -- --seed 3", "--seed is each trial's own"],
  [
    "train --metric loss --metric steps:max --search cma-es --lr 1..2 -o x -- --init net.json --data blobs.jsonl",
    "goes by one metric",
  ],
  [
    "train --metric loss --search cma-es --trial 1/2 --lr 1..2 -o x -- --init net.json --data blobs.jsonl",
    "trials cannot be made apart",
  ],
  [
    "train --metric loss --search cycleqd --lr 1..2 -o x -- --init net.json --data blobs.jsonl",
    "--search cycleqd is for merges",
  ],
  ["train --metric loss --lr 1,2 -o x -- --init net.json --data blobs.jsonl -- evaluate model", "does not name {out}"],
  [
    "train --metric loss --lr 1,2 -o x -- --init net.json --data blobs.jsonl -- evaluate {out} --metrik a",
    "evaluate {out} --metrik a: ",
  ],
])("%s is refused", async (line, problem) => {
  const { code, err } = await sweep(line);
  expect([code, err]).toEqual([2, expect.stringContaining(problem)]);
  expect(existsSync(join(cwd, "x"))).toBe(false);
});
