/** `adapt fuse` through the script: three tasks, twenty snapshots of a LoRA of rank 2 each. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openPlain } from "../../../src/checkpoint/open.ts";
import { sameBytes } from "../../../src/checkpoint/same-bytes.ts";
import { runScript } from "../../support/command.ts";
import { NET, pairRows } from "../continual/lab.ts";

setDefaultTimeout(240_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-fuse-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);
async function run(line: string) {
  const [script, ...argv] = line.trim().split(/\s+/);
  return runScript(script!, argv, folder);
}
async function done(line: string): Promise<string> {
  const { code, text, err } = await run(line);
  expect([code, err]).toEqual([0, ""]);
  return text;
}

const TASKS = ["zero", "one", "two"];
const DATA = TASKS.map((task) => `--data ${task}=${task}.jsonl`).join(" ");
const EVAL = TASKS.map((task) => `--eval-data ${task}=${task}-test.jsonl`).join(" ");
const FUSE = `adapt fuse base/ --adapters snapshots/ ${DATA} ${EVAL} --latent 32 -q`;

/** Rows of a task, of which every eighth has the other label: no adapter has a loss near 0. */
const rows = (task: number, count: number, first = 0) =>
  pairRows(task, count, { first }).map(({ x, label }, i) => ({ x, label: i % 8 === 3 ? 1 - label : label }));
const write = (name: string, all: readonly object[]) =>
  writeFileSync(at(name), all.map((row) => `${JSON.stringify(row)}\n`).join(""));

beforeAll(async () => {
  writeFileSync(at("net.json"), JSON.stringify({ ...NET, hidden_sizes: [12, 8] }));
  write("before.jsonl", rows(3, 64));
  const common = "--batch-size 16 -q";
  await done(`train --init net.json --data before.jsonl --steps 20 --lr 1e-2 ${common} -o base/`);
  for (const [k, task] of TASKS.entries()) {
    write(`${task}.jsonl`, rows(k, 128));
    write(`${task}-test.jsonl`, rows(k, 256, 1000));
    const lora = "--lora --lora-rank 2 --steps 58 --lr 2e-2 --save-every 2 --keep 19";
    await done(`train base/ --data ${task}.jsonl ${lora} ${common} -o snapshots/${task}/last/`);
  }
});

interface Told {
  readonly task: string;
  readonly share: number;
  readonly base: number;
  readonly own: number;
  readonly reconstructed: number;
  readonly svd_mean: number;
  readonly mixed: number;
  readonly fused: number;
}
const mean = (told: readonly Told[], of: "own" | "reconstructed" | "svd_mean" | "fused" | "base") =>
  told.reduce((sum, one) => sum + one[of] / told.length, 0);

test("the latent space gives adapters back, and what is fused of it is better than the mean of their changes", async () => {
  const { losses, adapters, error } = JSON.parse(
    await done(`${FUSE} --steps 1000 --meta-steps 100 --json -o fused/`),
  ) as { losses: Told[]; adapters: number; error: number };
  expect([adapters, losses.map(({ task }) => task)]).toEqual([60, TASKS]);
  expect(error).toBeLessThan(0.5);
  expect(mean(losses, "own")).toBeLessThan(0.8 * mean(losses, "base"));
  for (const { own, reconstructed } of losses) expect(reconstructed).toBeLessThan(1.05 * own);
  expect(mean(losses, "fused")).toBeLessThan(mean(losses, "svd_mean"));
  expect(losses.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 6);

  // The file that was written is what was scored.
  const scored = `evaluate base/+fused/ --data two-test.jsonl --metric loss --json --bootstrap 0 -q`;
  expect((JSON.parse(await done(scored)) as { loss: number }).loss).toBeCloseTo(losses[2]!.fused, 5);
  const config = JSON.parse(readFileSync(at("fused/adapter_config.json"), "utf8"));
  expect(config).toMatchObject({ peft_type: "LORA", r: 2, lora_alpha: 2 });
});

const FEW = "--steps 30 --meta-steps 2 --inner-steps 1";
const SHORT = `${FEW} --fuse-steps 2`;

test("the same seed gives the same bytes, another one others; one task's share alone is its reconstruction", async () => {
  const bytes = (name: string) => readFileSync(at(`${name}/adapter_model.safetensors`)).toString("base64");
  await done(`${FUSE} ${SHORT} -o first/`);
  await done(`${FUSE} ${SHORT} -o again/`);
  await done(`${FUSE} ${SHORT} --seed 5 -o other/`);
  const tensors = async (name: string) => (await openPlain(at(name))).tensors;
  const [first, again] = [await tensors("first"), await tensors("again")];
  for (const [name, entry] of first) expect([name, await sameBytes(entry, again.get(name)!)]).toEqual([name, true]);
  expect(bytes("other")).not.toBe(bytes("first"));

  const command = await done("inspect first/ --command");
  expect(command).toMatch(/adapt fuse .* --adapters snapshots\/ .*--data zero=zero.jsonl/);
  expect(command).not.toContain("--snapshot ");

  const text = await done(`${FUSE} ${FEW} --fuse-steps 0 --weight 0,2,0 --json -o alone/`);
  const { losses, gpu } = JSON.parse(text) as { losses: Told[]; gpu: number };
  const one = losses[1]!;
  expect([one.share, one.fused, one.mixed]).toEqual([1, one.reconstructed, one.reconstructed]);

  const told = JSON.parse(await done(`${FUSE} ${SHORT} --json -n -o not/`)) as { gpu: number; numbers: number };
  // Two layers, (12, 8) and (8, 12), with A and B of rank 2.
  expect(told.numbers).toBe(2 * (8 + 12 + 12 + 8));
  expect(told.gpu).toBe(gpu);
});

test("what cannot be fused is refused by name", async () => {
  const refused = async (line: string): Promise<string> => {
    const { code, err } = await run(line);
    expect(code).toBe(2);
    return err;
  };
  const fuse = (data: string, more = "") => refused(`adapt fuse base/ --adapters snapshots/ ${data} ${more} -q -o x/`);
  expect(await fuse("--data zero=zero.jsonl")).toContain("names one task");
  expect(await fuse("--data zero=zero.jsonl --data four=one.jsonl")).toContain(
    "snapshots/ has no folder four, of which --data names rows; there are one, two, zero",
  );
  expect(await fuse(DATA, "--weight 1,1")).toContain("--weight has 2 values for 3 tasks");
  expect(await fuse(DATA, "--weight 1,-1,1")).toContain("--weight 1,-1,1 are no shares");
  expect(await fuse(DATA, "--channels 0")).toContain("--channels 0: expected whole numbers from 1");
  expect(await fuse(DATA, "--eval-data zero=zero.jsonl")).toContain("--eval-data has no rows of one");

  cpSync(at("snapshots"), at("odd"), { recursive: true });
  await done("train base/ --data one.jsonl --lora --lora-rank 3 --steps 1 --save-every 0 -q -o odd/one/wider.step-1/");
  const odd = (data: string) => refused(`adapt fuse base/ --adapters odd/ ${data} -q -o x/`);
  expect(await odd(DATA)).toMatch(
    /layers\.0 is B \(12, 2\) A \(2, 8\) in odd\/zero\/last\.step-20 but B \(12, 3\) A \(3, 8\) in odd\/one\/wider\.step-1/,
  );
  rmSync(at("odd/one"), { recursive: true });
  const fewer = "--lora --lora-rank 2 --lora-targets layers.0 --steps 1 --save-every 0";
  await done(`train base/ --data one.jsonl ${fewer} -q -o odd/one/fewer/`);
  expect(await odd(DATA)).toContain("odd/zero/last.step-20 changes layers.1 and odd/one/fewer does not");
  rmSync(at("odd/one/fewer"), { recursive: true });
  expect(await odd(DATA)).toContain("odd/one holds no adapters");
});
