/** `--gradient-rule` in the scripts that train. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-gradient-rules-"));
const at = (name: string) => join(folder, name);
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
afterAll(() => rmSync(folder, { recursive: true }));

async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const weights = (name: string) => [
  ...new Float32Array(new Uint8Array(dataOf(readFileSync(at(`${name}/model.safetensors`)))).buffer),
];
const steps = (log: string) =>
  readFileSync(at(log), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step");

const FIT = "--steps 4 --batch-size 6 --save-every 0 --weight-decay 0";

beforeAll(async () => {
  for (const [i, name] of ["left", "right"].entries()) {
    const rows = Array.from({ length: 12 }, (_, k) => ({
      x: [Math.sin(k + 5 * i), Math.cos(3 * k)],
      label: (k + i) % 3,
    }));
    writeFileSync(at(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  writeFileSync(at("mlp.json"), JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 3 }));
  await good("train", `--init mlp.json --data left.jsonl ${FIT} -o base/`);
});

test("one group, or a radius of 0, is plain training, bit for bit", async () => {
  await good("train", `base/ --data left.jsonl ${FIT} --accumulate 2 -o plain/`);
  for (const rule of ["pcgrad", "pareto", "sam --sam-rho 0", "sam,pcgrad --sam-rho 0"]) {
    const name = rule.replaceAll(/\W+/g, "-");
    await good("train", `base/ --data left.jsonl ${FIT} --accumulate 2 --gradient-rule ${rule} -o ${name}/`);
    expect(weights(name)).toEqual(weights("plain"));
  }
});

test("groups are told one by one, and the loss is that of all rows", async () => {
  const two = `base/ --data left.jsonl --data right.jsonl ${FIT} --accumulate 2 --lr 1e-9`;
  await good("train", `${two} --log plain.log -o same/`);
  await good("train", `${two} --gradient-rule pareto --log pareto.log -o weighed/`);
  const [plain, found] = [steps("plain.log"), steps("pareto.log")];
  for (const [i, step] of found.entries()) {
    expect(step.loss).toBeCloseTo(plain[i].loss, 5);
    expect(step.counted).toBe(plain[i].counted);
    const [low, high] = [step.loss_left, step.loss_right].sort((a: number, b: number) => a - b);
    expect(step.loss).toBeWithin(low - 1e-6, high + 1e-6);
  }
});

test("equal weights are the mean over groups, whatever their numbers of rows", async () => {
  // All rows of both in one step of plain descent; three of left's rows count as much as twelve of right's.
  writeFileSync(at("few.jsonl"), readFileSync(at("left.jsonl"), "utf8").split("\n").slice(0, 3).join("\n"));
  const once = "--steps 1 --save-every 0 --optimizer sgd --momentum 0 --lr 0.5 --schedule constant --weight-decay 0";
  await good("train", `base/ --data few.jsonl --batch-size 3 ${once} -o few/`);
  await good("train", `base/ --data right.jsonl --batch-size 12 ${once} -o right/`);
  await good(
    "train",
    `base/ --data few.jsonl --data right.jsonl --batch-size 15 ${once} --gradient-rule equal -o equal/`,
  );
  const [base, few, right] = ["base", "few", "right"].map(weights);
  for (const [i, value] of weights("equal").entries())
    expect(Math.abs(value - (few![i]! + right![i]!) / 2)).toBeLessThan(1e-6 + 1e-5 * Math.abs(base![i]!));
});

test("regressors are taken apart by groups, too", async () => {
  const json = { model_type: "mlp", input_size: 1, hidden_sizes: [], num_labels: 1, problem_type: "regression" };
  writeFileSync(at("line.json"), JSON.stringify(json));
  writeFileSync(at("low.jsonl"), '{"x": [1], "y": [0]}\n');
  writeFileSync(at("high.jsonl"), '{"x": [1], "y": [10]}\n{"x": [1], "y": [10]}\n');
  const line = "--init line.json --data low.jsonl --data high.jsonl --loss mse --batch-size 3 --steps 1 --save-every 0";
  await good("train", `${line} --gradient-rule equal --log line.log -o line/`);
  const [step] = steps("line.log");
  expect(step.loss).toBeCloseTo((step.loss_low + 2 * step.loss_high) / 3, 4);
  expect(step.loss_high).toBeGreaterThan(3 * step.loss_low);
});

test("adapt and distill take rules, too, of tokens", async () => {
  const tiny = {
    model_type: "llama",
    hidden_size: 8,
    intermediate_size: 16,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    vocab_size: 264,
    max_position_embeddings: 32,
  };
  writeFileSync(at("tiny.json"), JSON.stringify(tiny));
  for (const name of ["a", "b"]) {
    const rows = Array.from({ length: 6 }, (_, i) => ({ prompt: `${name}${i}=`, completion: `${(7 * i) % 10}` }));
    writeFileSync(at(`${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const data = "--data a.jsonl --data b.jsonl --steps 2 --batch-size 4 --save-every 0";
  await good("train", `--init tiny.json --tokenizer byte ${data} -o tiny/`);
  await good("adapt", `tiny/ ${data} --lora --lora-rank 2 --gradient-rule asam,mgda --log adapt.log -o adapter/`);
  expect(steps("adapt.log")[1]).toMatchObject({ loss_a: expect.any(Number), loss_b: expect.any(Number) });
  await good(
    "distill",
    `--teacher tiny/ --student tiny/ --method kd --label-weight 1 ${data} --gradient-rule pcgrad --log kd.log -o student/`,
  );
  expect(steps("kd.log")[1]).toMatchObject({ loss_a: expect.any(Number), loss_b: expect.any(Number) });
});

test("agm: an alpha of 0 is plain training; else factors move, and the probe tells of sources", async () => {
  const agm = "--gradient-rule agm --agm-sources first=0,second=1";
  await good("train", `base/ --data left.jsonl ${FIT} -o once/`);
  await good("train", `base/ --data left.jsonl ${FIT} ${agm} --agm-alpha 0 -o unmoved/`);
  expect(weights("unmoved")).toEqual(weights("once"));
  const moved = `base/ --data left.jsonl --batch-size 6 --weight-decay 0 ${agm} --agm-alpha 2 --steps 6`;
  await good("train", `${moved} --log agm.log --save-every 0 -o moved/`);
  const factors = steps("agm.log").map(({ factor_first }) => factor_first);
  expect(factors[0]).toBeCloseTo(1, 6);
  expect(Math.max(...factors.map((factor) => Math.abs(factor - 1)))).toBeGreaterThan(0.01);
  expect(weights("moved")).not.toEqual(weights("once"));
  await good("train", `base/ --data left.jsonl --seed 1 ${FIT} -o alone/`);
  const probe = "--probe competition --competition-sources first=0,second=1 --competition-mono first=alone/";
  const { text } = await good("evaluate", `moved/ --data left.jsonl ${probe} --json -q`);
  const [first, second] = JSON.parse(text).rows;
  expect(first).toMatchObject({ model: "moved/", source: "first", mono_accuracy: expect.any(Number) });
  expect(first.strength).toBeGreaterThan(0);
  expect(second).toMatchObject({ source: "second", accuracy: expect.any(Number), score: expect.any(Number) });
  expect(second).not.toContainKey("strength");
});

const REFUSED: readonly [line: string, message: string][] = [
  ["--gradient-rule pcgrad,mgda", "pcgrad and mgda both make one gradient of those of groups"],
  ["--gradient-rule sam --gradient-shared layers.*", "--gradient-shared is for a rule of groups"],
  ["--gradient-rule pcgrad --gradient-shared body.*", "--gradient-shared body.* matches no weight that is trained"],
  ["--gradient-rule pcgrad --loss anyloss", "--loss anyloss is of whole batches"],
  ["--gradient-rule pcgrad --mixup 1", "--mixup and --contrastive join rows of all groups"],
  ["--gradient-rule pareto --pareto-guide other", "--pareto-guide other is no group of --data"],
  ["--gradient-rule pareto --pareto-guide left", "--pareto-guide left leaves no group to learn from"],
  ["--gradient-rule agm", "--gradient-rule agm needs --agm-sources"],
  ["--gradient-rule agm,sam --agm-sources a=0,b=1", "agm counts every pass as a step, and sam makes several"],
  ["--gradient-rule agm --agm-sources a=0,b=1 --loss anyloss", "changes the way back from the labels' loss"],
  ["--gradient-rule sam --dtype bf16", "weights that are moved by small steps must be f32"],
];
test.each(REFUSED)("%s is refused", async (line, message) => {
  const { code, err } = await run("train", `base/ --data left.jsonl ${FIT} ${line} -o refused/`);
  expect(err).toContain(message);
  expect(code).toBe(2);
});
