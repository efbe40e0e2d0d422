/** Distraction: the gap of groups in float64, the turns of the two players, and what is refused. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { outputGap } from "../../src/evaluate/measures/output-gap.ts";
import { contrastCount, contrasts, gapLoss } from "../../src/train/losses/group-gaps.ts";
import { dataOf, tensorsOf, valuesOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";
import { scoredRow } from "../support/scored-rows.ts";
import { writeWeights } from "../support/weight-file.ts";

const gpu = await sharedGpu();
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

describe("the gap of groups", () => {
  const [B, C] = [11, 3];
  const tasks = Int32Array.from({ length: B }, (_, i) => [0, 1, 3][i % 3]!); // no row of group 2
  const labels = Int32Array.from({ length: B }, (_, i) => (i * i) % 3); // 0 or 1
  const softmax = (logits: ArrayLike<number>, row: number) => {
    const e = Array.from({ length: C }, (_, c) => Math.exp(logits[row * C + c]!));
    return e.map((x) => x / (mean(e) * C));
  };
  const gapOf = (p: readonly (readonly number[])[], rows: readonly number[]) =>
    [0, 1, 3].flatMap((g) => {
      const own = rows.filter((i) => tasks[i] === g);
      if (own.length === 0) return [];
      return Array.from({ length: C }, (_, c) => {
        const d = mean(own.map((i) => p[i]![c]!)) - mean(rows.map((i) => p[i]![c]!));
        return (Math.max(0, d) ** 2 + Math.max(0, -d) ** 2) / 2;
      });
    });

  test.each(["parity", "odds"] as const)("is that of the formula, forward and back: %s", async (fairness) => {
    const compared = { fairness, groups: 4, classes: C };
    await checkOp(gpu, fairness, {
      inputs: {
        logits: { shape: [B, C], data: normals(3, B * C, 1.5) },
        matrix: {
          shape: [contrastCount(compared), B],
          data: contrasts({ labels, tasks, rows: B }, compared),
          grad: false,
        },
      },
      build: (rec, { logits, matrix }) => gapLoss(rec, logits!, matrix!),
      reference({ logits }) {
        const p = Array.from({ length: B }, (_, i) => softmax(logits!, i));
        const every = p.map((_, i) => i);
        const sets = fairness === "parity" ? [every] : [0, 1, 2].map((c) => every.filter((i) => labels[i] === c));
        return Float64Array.of(mean(sets.flatMap((rows) => gapOf(p, rows))));
      },
      backward: 2e-5,
    });
  });

  test("is measured as the largest of groups and classes", () => {
    const row = (group: number, ...p: number[]) => scoredRow({ group, probabilities: Float32Array.from(p) });
    // All: (0.5, 0.3, 0.2); group 0: (0.7, 0.2, 0.1); group 1: (0.1, 0.5, 0.4).
    const rows = [row(0, 0.8, 0.1, 0.1), row(0, 0.6, 0.3, 0.1), row(1, 0.1, 0.5, 0.4)];
    expect(outputGap(rows)).toBeCloseTo(0.4, 6);
    expect(outputGap(rows.slice(0, 2))).toBeCloseTo(0, 6);
  });
});

const folder = mkdtempSync(join(tmpdir(), "ingot-distraction-"));
afterAll(() => rmSync(folder, { recursive: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const weights = (name: string) => tensorsOf(join(folder, name));
const bytes = (name: string) => dataOf(readFileSync(join(folder, name, "model.safetensors")));
const GROUPS = "--data a=a.jsonl --data b=b.jsonl";
const FIT = "--batch-size 8 --lr 1e-2 --schedule constant --clip 0 --save-every 0 --steps";

beforeAll(async () => {
  for (const [g, name] of ["a", "b"].entries()) {
    const rows = Array.from({ length: 16 }, (_, i) => {
      const [x, y] = normals(50 * g + i, 2);
      const label = (i % 4 === 0 ? 1 : 0) ^ g;
      return { x: [x! + (label ? 1 : -1), y! + (g ? 1 : -1)], label };
    });
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  }
  const config = { model_type: "mlp", input_size: 2, hidden_sizes: [5], num_labels: 2 };
  writeFileSync(join(folder, "mlp.json"), JSON.stringify(config));
  await good("train", `--init mlp.json ${GROUPS} ${FIT} 2 -o base/`);
});

test("without layers of its own it is plain training, bit for bit", async () => {
  await good("train", `base/ ${GROUPS} ${FIT} 3 -o plain/`);
  await good("train", `base/ ${GROUPS} ${FIT} 3 --loss distraction --distraction-layers 0 -o none/`);
  expect(bytes("none").equals(bytes("plain"))).toBe(true);
});

test("under a weight of 0 the player's layers stay as they are, and the others learn as without them", async () => {
  await good("train", `base/ ${GROUPS} ${FIT} 3 -o alone/`);
  await good("train", `base/ ${GROUPS} ${FIT} 3 --loss distraction --distraction-weight 0 -o still/`);
  const [plain, still] = [await weights("alone"), await weights("still")];
  for (const [name, values] of plain) expect([name, still.get(name)!]).toEqual([name, values]);
  for (const i of [1, 2]) {
    expect([...still.get(`layers.${i}.weight`)!]).toEqual(
      Array.from({ length: 25 }, (_, at) => (at % 6 === 0 ? 1 : 0)),
    );
    expect(still.get(`layers.${i}.bias`)!.every((x) => x === 0)).toBe(true);
  }
  expect(JSON.parse(readFileSync(join(folder, "still/config.json"), "utf8")).hidden_sizes).toEqual([5, 5, 5]);
});

test("each player moves by its own loss, the labels' after the other has moved", async () => {
  await good("train", `base/ ${GROUPS} ${FIT} 1 --loss distraction --distraction-lr 0.05 -o first/`);
  const [base, first] = [await weights("base"), await valuesOf(join(folder, "first"))];
  // The layers as they are after the step, all else as it was before: plain training from there is the other's step.
  const own = (name: string) => /^layers\.[12]\./.test(name);
  const mixed = Object.fromEntries(
    [...first].map(([name, { shape, values }]) => [name, { shape, values: own(name) ? values : base.get(name)! }]),
  );
  await writeWeights(join(folder, "between.safetensors"), mixed);
  const config = readFileSync(join(folder, "first/config.json"));
  rmSync(join(folder, "first/model.safetensors"));
  await writeWeights(join(folder, "first/model.safetensors"), mixed);
  writeFileSync(join(folder, "first/config.json"), config);
  await good("train", `first/ ${GROUPS} ${FIT} 1 --freeze layers.1.* --freeze layers.2.* -o second/`);
  const second = await weights("second");
  for (const [name, { values }] of first) expect([name, second.get(name)!]).toEqual([name, values]);
  // AdamW's first step is as long as its rate wherever there is a gradient.
  const moved = [...first.get("layers.2.weight")!.values].map((x, at) => Math.abs(x - (at % 6 === 0 ? 1 : 0)));
  expect(Math.max(...moved)).toBeCloseTo(0.05, 4);
});

test("the gap is less than after plain training, and a run that is cut and resumed gives the same bytes", async () => {
  const given = `base/ ${GROUPS} ${FIT.replace("--save-every 0", "--save-every 10")}`;
  const fair = "--loss distraction --distraction-lr 1e-2";
  await good("train", `${given} 16 ${fair} -o whole/`);
  await good("train", `${given} 8 ${fair} --state half-state -o half/`);
  await good("train", `${given} 16 ${fair} --state half-state --resume --overwrite -o half/`);
  expect(bytes("half").equals(bytes("whole"))).toBe(true);
  await good("train", `${given} 16 -o unfair/`);
  const { text } = await good("evaluate", `whole/ unfair/ ${GROUPS} --metric parity-gap,odds-gap --json`);
  const found = (JSON.parse(text) as { rows: { model: string; metric: string; value: number }[] }).rows;
  const gap = (model: string) => found.find((row) => row.model === model && row.metric === "parity-gap")!.value;
  expect(gap("whole/")).toBeLessThan(0.8 * gap("unfair/"));
});

test("what does not go with it is refused", async () => {
  for (const [line, message] of [
    ["--data a.jsonl --loss distraction", "there is one"],
    [`${GROUPS} --loss distraction --accumulate 2`, "--accumulate would part them"],
    [`${GROUPS} --loss distraction --freeze layers.2.*`, "is the fairness player's, and is frozen"],
    [`${GROUPS} --loss distraction --lora`, "trains a whole classifier, and this is an adapter"],
  ] as const) {
    const { code, err } = await run("train", `base/ ${line} --steps 1 -o x/`);
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
  writeFileSync(
    join(folder, "gelu.json"),
    JSON.stringify({ model_type: "mlp", input_size: 2, num_labels: 2, hidden_act: "gelu" }),
  );
  const { code, err } = await run("train", `--init gelu.json ${GROUPS} --loss distraction --steps 1 -o x/`);
  expect([code, err]).toEqual([2, expect.stringContaining("gelu.json has hidden_act gelu")]);
  const one = await run("evaluate", "base/ --data a.jsonl --metric parity-gap");
  expect([one.code, one.err]).toEqual([2, expect.stringContaining("compares groups, and there is one")]);
});
