/** A head for each domain: the mixture of heads in float64, training by domains, and what is refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mixedHeads } from "../../src/model/blocks/domain-heads.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const [N, K, D] = [7, 4, 3];
const START = Array.from({ length: D }, (_, i) => normals(10 + i, N * K, 1.5));
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

function softmax(logits: ArrayLike<number>, row: number) {
  const e = Array.from({ length: K }, (_, k) => Math.exp(logits[row * K + k]!));
  return e.map((x) => x / sum(e));
}
const entropy = (p: readonly number[]) => -sum(p.map((x) => x * Math.log(x)));

/** The card's weights, of the heads as they are at the start: no gradient goes through them. */
function weightsOf(row: number, gamma: number) {
  const entropies = START.map((logits) => entropy(softmax(logits, row)));
  if (gamma < 0) return entropies.map((h) => (h === Math.min(...entropies) ? 1 : 0));
  const raw = entropies.map((h) => h ** -gamma);
  return raw.map((w) => w / sum(raw));
}

test.each([-1, 0, 0.5, 1, 5])("the mixture is that of the formula, forward and back, at gamma %d", async (gamma) => {
  await checkOp(gpu, "mixed heads", {
    inputs: Object.fromEntries(START.map((data, i) => [`head${i}`, { shape: [N, K], data }] as const)),
    build: (rec, x) =>
      mixedHeads(
        rec,
        START.map((_, i) => x[`head${i}`]!),
        gamma,
      ),
    reference: (x) =>
      Float64Array.from({ length: N * K }, (_, at) => {
        const [row, k] = [Math.floor(at / K), at % K];
        const weights = weightsOf(row, gamma);
        return Math.log(sum(weights.map((w, i) => w * softmax(x[`head${i}`]!, row)[k]!)));
      }),
    backward: 2e-5,
  });
});

const folder = mkdtempSync(join(tmpdir(), "ingot-domains-"));
afterAll(() => rmSync(folder, { recursive: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const weights = (name: string) => tensorsOf(join(folder, name));

beforeAll(async () => {
  for (const [d, name] of ["a", "b"].entries()) {
    const rows = Array.from({ length: d === 0 ? 16 : 8 }, (_, i) => {
      const [x, y] = normals(50 * d + i, 2);
      return { x: [x! + (i % 2 ? 2 : -2), (d === 0 ? 1 : -1) * (i % 2 ? 2 : -2) + y!], label: i % 2 };
    });
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const config = { model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 2 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
  await good("train", "--init mlp.json --data a.jsonl --steps 1 --save-every 0 -o base/");
});

const FIT = "--batch-size 6 --lr 1e-2 --save-every 0 --steps 6";

test("one domain is plain training, and its head stays as the shared one", async () => {
  await good("train", `base/ --data a.jsonl ${FIT} -o plain/`);
  await good("train", `base/ --data a.jsonl ${FIT} --heads per-domain -o one/`);
  const [plain, one] = [await weights("plain"), await weights("one")];
  for (const [name, values] of plain)
    for (const [i, x] of values.entries()) expect(Math.abs(one.get(name)![i]! - x)).toBeLessThan(1e-5);
  expect(one.get("domain_heads.0.weight")!).toEqual(one.get("classifier.weight")!);
});

test("each head learns from its own domain, and the result says so and goes on", async () => {
  await good("train", `base/ --data a=a.jsonl --data b=b.jsonl ${FIT} --heads per-domain --heads-gamma 2 -o two/`);
  const two = await weights("two");
  expect(two.get("domain_heads.0.weight")!).not.toEqual(two.get("domain_heads.1.weight")!);
  const config = JSON.parse(await Bun.file(join(folder, "two/config.json")).text());
  expect(config.domain_heads).toEqual({ domains: ["a", "b"], gamma: 2 });
  const { text } = await good("evaluate", "two/ --data a.jsonl --metric accuracy,loss --json");
  expect((JSON.parse(text) as { rows: { value: number }[] }).rows.every(({ value }) => Number.isFinite(value))).toBe(
    true,
  );
  // A step of no size on the same groups changes nothing.
  const still = "--heads per-domain --batch-size 6 --steps 1 --lr 1e-30 --save-every 0 -o again/";
  await good("train", `two/ --data a=a.jsonl --data b=b.jsonl ${still}`);
  expect(await weights("again")).toEqual(two);
  const other = await run("train", `two/ --data b=b.jsonl --data a=a.jsonl ${FIT} --heads per-domain -o x/`);
  expect([other.code, other.err]).toEqual([2, expect.stringContaining("has heads for a, b")]);
});

test("what does not go with several heads is refused", async () => {
  for (const [line, message] of [
    ["--heads per-domain --loss anyloss", "has losses of rows"],
    ["--heads per-domain --mixup 0.4", "--mixup is for a classifier of one head"],
    ["--heads per-domain --loss look --look-neighbours 5", "--heads per-domain is a part of cross-entropy"],
    ["--heads per-domain --lora", "an adapter is trained"],
    ["--heads-gamma 2", "--heads per-domain"],
  ] as const) {
    const { code, err } = await run("train", `base/ --data a.jsonl ${FIT} ${line} -o x/`);
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
});
