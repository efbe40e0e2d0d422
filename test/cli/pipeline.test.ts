/** Scripts joined: by files and by pipes, what lineage says of the whole, and what is left when a stage dies. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../src/checkpoint/open.ts";
import { asScript } from "../../src/demo/story.ts";
import { runShell } from "../support/command.ts";

const ROOT = join(import.meta.dir, "../..");
const CONFIG = {
  model_type: "llama",
  hidden_size: 16,
  intermediate_size: 32,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  vocab_size: 264,
  max_position_embeddings: 32,
};
const MERGE = "$MERGE left right --base base --method task_arithmetic --weight 0.5,1";
const UNLEARN =
  "$UNLEARN --method npo --forget forget.jsonl --retain keep.jsonl --steps 2 --batch-size 2 --max-length 16";
const DISTILL =
  "$DISTILL --method taid --init small.json --tokenizer byte --data keep.jsonl --steps 2 --batch-size 2 --max-length 16";

let folder = "";
const sh = (line: string) => runShell(`set -o pipefail; ${line}`, folder);
const bytes = (name: string) => Bun.file(join(folder, name)).bytes();

async function done(line: string): Promise<void> {
  const { code, err } = await sh(line);
  expect(code, err).toBe(0);
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-pipeline-"));
  writeFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
  writeFileSync(join(folder, "small.json"), JSON.stringify({ ...CONFIG, hidden_size: 8 }));
  const rows = (words: string[]) => words.map((text) => `${JSON.stringify({ text })}\n`).join("");
  writeFileSync(join(folder, "forget.jsonl"), rows(["a secret", "another secret"]));
  writeFileSync(join(folder, "keep.jsonl"), rows(["one thing", "two things", "three things", "no more"]));
  const some = "--data keep.jsonl --steps 2 --batch-size 2 --max-length 16";
  await done(`$TRAIN --init config.json --tokenizer byte ${some} -o base/`);
  await done(`$TRAIN base ${some} --lr 1e-2 -o left/ && $TRAIN base ${some} --no-shuffle --lr 1e-2 -o right/`);
  await done(`${MERGE} -o merged/ && ${UNLEARN} merged -o unlearned/ && ${DISTILL} --teacher unlearned -o student/`);
}, 120_000);

afterAll(() => rmSync(folder, { recursive: true, force: true }));

test("by files and by pipes: the same bytes", async () => {
  await done(`${MERGE} | ${UNLEARN} | ${DISTILL} -o piped/`);
  expect(await bytes("piped/model.safetensors")).toEqual(await bytes("student/model.safetensors"));
  await done(`${MERGE} | ${UNLEARN} | ${DISTILL} > stdout.safetensors`);
  await done(`${DISTILL} --teacher unlearned > file.safetensors`);
  expect(await bytes("stdout.safetensors")).toEqual(await bytes("file.safetensors"));
}, 120_000);

test("the last file knows every step, and its commands make it again", async () => {
  const student = await openPlain(join(folder, "student"));
  expect(student.lineage.map(({ script, method }) => method ?? script)).toEqual([
    "train",
    "train",
    "train",
    "task_arithmetic",
    "npo",
    "taid",
  ]);
  student.close();
  writeFileSync(join(folder, "ingot"), `#!/bin/sh\nexec ${process.execPath} ${ROOT}/scripts/ingot.ts "$@"\n`);
  chmodSync(join(folder, "ingot"), 0o755);
  await done("PATH=$PWD:$PATH; ingot inspect student --command > again.sh && mv unlearned away && sh again.sh again/");
  expect(await bytes("again/model.safetensors")).toEqual(await bytes("student/model.safetensors"));
}, 120_000);

test("memory is what --dry-run says", async () => {
  const stages = [
    `${UNLEARN} base`,
    `${DISTILL} --teacher base`,
    "$TRAIN base --data keep.jsonl --steps 2 --max-length 16",
  ];
  for (const stage of stages) {
    const plan = JSON.parse((await sh(`${stage} --dry-run --json -q`)).text) as { memory: { total: number } };
    await done(`${stage} --log log.jsonl -q > /dev/null`);
    const events = (await Bun.file(join(folder, "log.jsonl")).text()).trim().split("\n");
    rmSync(join(folder, "log.jsonl"));
    const used = Math.max(...events.map((text) => (JSON.parse(text) as { gpu_bytes?: number }).gpu_bytes ?? 0));
    expect(used).toBeGreaterThan(0);
    expect(Math.abs(used - plan.memory.total)).toBeLessThan(2 ** 18); // small buffers of the first step
  }
}, 120_000);

describe("a stage that is killed", () => {
  /** Runs the line with one stage killed at its start; gives what was said and which files are new. */
  async function killed(stage: number): Promise<{ err: string; left: string[] }> {
    const before = new Set(readdirSync(folder));
    const stages = [MERGE, UNLEARN, `${DISTILL} -o torn/`].map((text, i) =>
      i === stage ? `(${text} -q <&0 & sleep 0.03; kill -9 $!; wait $!)` : `${text} -q`,
    );
    const { code, err } = await sh(stages.join(" | "));
    expect(code).not.toBe(0);
    return { err, left: readdirSync(folder).filter((name) => !before.has(name)) };
  }

  test.each([
    [0, "MERGE", ["unlearn: stdin was", "distill: stdin was"]],
    [1, "UNLEARN", ["distill: stdin was"]],
    [2, "DISTILL", ["unlearn: the reader of stdout went away before the work began"]],
  ])(
    "stage %i is named, those beside it stop, and nothing is left",
    async (stage, name, said) => {
      const { err, left } = await killed(stage);
      expect(err).toMatch(new RegExp(`Killed +[$]${name} `)); // the shell's own words
      for (const text of said) expect(err).toContain(text);
      expect(left).toEqual([]);
    },
    60_000,
  );

  test("a reader that dies while there is work costs no work", async () => {
    const { code, err } = await sh(
      `${UNLEARN} left -q | (head -c 9 > /dev/null; exit 3); echo "${"$"}{PIPESTATUS[0]}" >&2`,
    );
    expect(code).toBe(0);
    const file = /the result is in (\S+)/.exec(err)![1]!;
    expect(err).toContain("unlearn: the reader of stdout went away\n  hint: the result is in ");
    expect(err.trim().endsWith("1")).toBe(true);
    await done(`${UNLEARN} left > whole.safetensors`);
    expect(await Bun.file(file).bytes()).toEqual(await bytes("whole.safetensors"));
  }, 120_000);
});

test("examples/pipeline.sh is the demo's story", async () => {
  expect(await Bun.file(join(ROOT, "examples/pipeline.sh")).text()).toBe(asScript());
});
