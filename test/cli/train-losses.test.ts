/** `--loss` in the scripts that learn labels. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-losses-"));
const at = (name: string) => join(folder, name);
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
afterAll(() => rmSync(folder, { recursive: true }));

async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const weights = (name: string) => dataOf(readFileSync(at(join(name, "model.safetensors"))));
const losses = (log: string) =>
  readFileSync(at(log), "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
    .filter(({ event }) => event === "step");

const COUNTS = [40, 10, 2];
const FIT = "--data rows.jsonl --steps 3 --batch-size 8 --save-every 0";

beforeAll(async () => {
  const rows = COUNTS.flatMap((count, label) =>
    Array.from({ length: count }, (_, i) => ({ x: [label - 1, Math.sin(i + 7 * label)], label })),
  );
  writeFileSync(at("rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(
    at("mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: COUNTS.length }),
  );
  await good("train", `--init mlp.json ${FIT} --seed 1 -o base/`);
});

describe("train", () => {
  test("special cases are cross-entropy", async () => {
    await good("train", `base/ ${FIT} -o ce/`);
    for (const [name, same] of [
      ["focal", "--loss focal --focal-gamma 0"],
      ["compsum", "--loss compsum --compsum-tau 1"],
      ["ldam", "--loss ldam --ldam-margin 0 --ldam-scale 1"],
      ["adjusted", "--loss logit-adjust --adjust-tau 0"],
    ] as const) {
      await good("train", `base/ ${FIT} ${same} -o ${name}/`);
      const [a, b] = [weights("ce"), weights(name)].map((bytes) => new Float32Array(new Uint8Array(bytes).buffer));
      for (const [i, x] of a!.entries()) expect(Math.abs(b![i]! - x)).toBeLessThan(2e-4);
    }
  });

  test("logit adjustment counts the labels of --data", async () => {
    const all = COUNTS.reduce((a, b) => a + b, 0);
    const once = `--init mlp.json --data rows.jsonl --batch-size ${all} --steps 1 --save-every 0`;
    await good("train", `${once} --loss logit-adjust --log a.log -o a/`);
    await good("train", `${once} --log b.log -o b/`);
    // A model that says little loses the entropy of the labels.
    const entropy = COUNTS.reduce((sum, n) => sum - (n / all) * Math.log(n / all), 0);
    expect(losses("a.log")[0].loss).toBeLessThan(losses("b.log")[0].loss);
    expect(Math.abs(losses("a.log")[0].loss - entropy)).toBeLessThan(0.5);
  });

  test("a loss of the whole batch learns, and lineage has its options", async () => {
    await good(
      "train",
      "base/ --data rows.jsonl --save-every 0 --batch-size 52 --lr 0.05 --steps 30 --loss anyloss --any-metric gmean --log any.log -o any/",
    );
    const seen = losses("any.log");
    expect(seen.at(-1).loss).toBeLessThan(0.9 * seen[0].loss);
    const { text } = await good("inspect", "any/ --json");
    expect(text).toMatch(/"any_metric": "gmean"/);
  });
});

test("distill and unlearn take a loss of rows for their labels", async () => {
  const kd = `--teacher base/ --student ce/ --method kd --label-weight 1 ${FIT}`;
  await good("distill", `${kd} -o kd/`);
  await good("distill", `${kd} --loss focal --log focal.log -o kd-focal/`);
  expect(weights("kd").equals(weights("kd-focal"))).toBe(false);
  expect(losses("focal.log")[0].label_loss).toBeGreaterThan(0);
  const un = "base/ --method grad-diff --forget rows.jsonl --retain kept.jsonl --steps 2 --batch-size 4 --save-every 0";
  writeFileSync(at("kept.jsonl"), readFileSync(at("rows.jsonl"), "utf8").split("\n").slice(45).join("\n"));
  await good("unlearn", `${un} -o un/`);
  await good("unlearn", `${un} --loss compsum -o un-compsum/`);
  expect(weights("un").equals(weights("un-compsum"))).toBe(false);
});

test.each([
  ["train", `base/ ${FIT} --loss anyloss --accumulate 2 -o x/`, "--accumulate would part it"],
  ["train", `base/ ${FIT} --loss focal --smoothing 0.1 -o x/`, "--smoothing is a part of cross-entropy"],
  ["train", `base/ ${FIT} --loss focal --z-loss 0.1 -o x/`, "--z-loss is a part of cross-entropy"],
  ["train", `base/ ${FIT} --loss focal --mixup 0.2 -o x/`, "do not go with --loss focal"],
  ["train", `base/ ${FIT} --loss focal --head sparse-etf -o x/`, "is trained by cross-entropy"],
  ["train", `base/ ${FIT} --loss correctness -o x/`, "teaches a router"],
  ["train", `base/ ${FIT} --loss focal --compsum-tau 2 -o x/`, "losses with --compsum-tau: compsum"],
  [
    "distill",
    `--teacher base/ --student ce/ --method kd --label-weight 1 ${FIT} --loss anyloss -o x/`,
    "losses are of rows",
  ],
  ["distill", `--teacher base/ --student ce/ --method kd ${FIT} --loss focal -o x/`, "whose weight is 0"],
  [
    "unlearn",
    "base/ --method grad-diff --forget rows.jsonl --retain kept.jsonl --steps 2 --batch-size 4 --loss ldam -o x/",
    "does not count",
  ],
])("refused: %s %s", async (script, line, message) => {
  const { code, err } = await run(script, line);
  expect([code, err]).toEqual([2, expect.stringContaining(message)]);
});

test("a place for the numbers of rows that cannot be written is refused before any step", async () => {
  const { code, err } = await run("train", `base/ ${FIT} --loss aldr --aldr-save none/rows.jsonl -o x/`);
  expect([code, err]).toEqual([1, expect.stringContaining("--aldr-save: none/rows.jsonl cannot be written (ENOENT)")]);
  expect([existsSync(at("x")), existsSync(at("x-state"))]).toEqual([false, false]);
});
