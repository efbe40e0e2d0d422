/**
 * The batch files of examples/, as a task of a Slurm array runs them: by its variables. test/slurm/run.ts runs them on
 * a Slurm.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeCheckpoint } from "../merge/checkpoint-file.ts";
import { runScript } from "../support/command.ts";
import { normals } from "../support/random.ts";

const ROOT = join(import.meta.dir, "../..");
const MERGE = ["a", "b", "--method", "linear", "--weight", "0.25,0.75"];
let folder = "";

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ingot-sbatch-"));
  for (const [i, name] of ["a", "b"].entries()) {
    mkdirSync(join(folder, name));
    const tensors = [0, 1, 2, 3].map((t) => [`t${t}`, { shape: [8, 16], values: normals(10 * i + t, 128) }]);
    writeCheckpoint(join(folder, name, "model.safetensors"), Object.fromEntries(tensors));
  }
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const runTask = (task: number, file: string, words: readonly string[]) =>
  Bun.spawnSync(["bash", join(ROOT, "examples", file), ...words], {
    cwd: folder,
    env: {
      ...process.env,
      INGOT: `${process.execPath} ${join(ROOT, "scripts/ingot.ts")}`,
      SLURM_ARRAY_TASK_ID: `${task}`,
      SLURM_ARRAY_TASK_MAX: "2",
    },
  });

test("tasks in any order give the shards and the index of a merge by hand", async () => {
  for (const task of [2, 1]) {
    const { exitCode, stderr } = runTask(task, "merge-shards.sbatch", [...MERGE, "-o", "tasks"]);
    expect(exitCode, stderr.toString()).toBe(0);
  }
  for (const shard of ["1/2", "2/2"])
    expect((await runScript("merge", [...MERGE, "--shard", shard, "-o", "alone"], folder)).code).toBe(0);
  const files = (name: string) =>
    readdirSync(join(folder, name))
      .sort()
      .map((file) => [file, readFileSync(join(folder, name, file), "base64")]);
  expect(files("tasks")).toEqual(files("alone"));
});

test("a merge that is refused fails the task", () => {
  const { exitCode, stderr } = runTask(1, "merge-shards.sbatch", [
    "a",
    "missing",
    "--method",
    "linear",
    "-o",
    "refused",
  ]);
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toContain("missing");
});

test("shares of a search, put together, give the recipe and the merge of a search by one process", async () => {
  const rows = Array.from({ length: 9 }, (_, i) => ({ x: [...normals(90 + i, 4)], label: i % 3 }));
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  const config = { model_type: "mlp", input_size: 4, hidden_sizes: [4], num_labels: 3 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
  const made = [
    "--init mlp.json --steps 1 -o base2",
    "base2 --steps 3 --seed 1 --lr 0.1 -o a2",
    "base2 --steps 3 --seed 2 --lr 0.1 -o b2",
  ];
  for (const line of made) {
    const usual = ["--data", "rows.jsonl", "--batch-size", "3", "--save-every", "0"];
    expect(await runScript("train", [...line.split(" "), ...usual], folder)).toMatchObject({ code: 0 });
  }
  const search = ["a2", "b2", "--base", "base2", "--method", "task_arithmetic", "--search", "random", "--budget", "5"];
  const words = [...search, "--data", "rows.jsonl"];
  for (const task of [2, 1]) {
    const { exitCode, stderr } = runTask(task, "search-trials.sbatch", ["trials", ...words]);
    expect(exitCode, stderr.toString()).toBe(0);
  }
  const shares = [1, 2].flatMap((task) => ["--trials", `trials/${task}.jsonl`]);
  const results = [
    await runScript("merge", [...words, ...shares, "--recipes", "put.yml", "-o", "put.safetensors"], folder),
    await runScript("merge", [...words, "--recipes", "one.yml", "-o", "one.safetensors"], folder),
  ];
  expect(results.map(({ code, err }) => (code === 0 ? "" : err))).toEqual(["", ""]);
  const bytes = (name: string) => readFileSync(join(folder, name), "base64");
  expect(bytes("put.yml")).toBe(bytes("one.yml"));
  expect(bytes("put.safetensors")).toBe(bytes("one.safetensors"));
});
