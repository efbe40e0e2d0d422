/**
 * examples/merge-shards.sbatch, as a task of a Slurm array runs it: by its variables. test/slurm/run.ts runs it on a
 * Slurm.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
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

const runTask = (task: number, words: readonly string[]) =>
  Bun.spawnSync(["bash", join(ROOT, "examples/merge-shards.sbatch"), ...words], {
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
    const { exitCode, stderr } = runTask(task, [...MERGE, "-o", "tasks"]);
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
  const { exitCode, stderr } = runTask(1, ["a", "missing", "--method", "linear", "-o", "refused"]);
  expect(exitCode).toBe(2);
  expect(stderr.toString()).toContain("missing");
});
