/** A rate that answers push: the formula, a push of 0, labels that shift, a run that resumes, and what is refused. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ShiftedLabels } from "../../src/data/shifting/label-shifts.ts";
import { Homeostat } from "../../src/train/schedules/homeostat.ts";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const gpu = await sharedGpu();
const GIVEN = { homeostat: 0.2, homeostat_by: "effects", homeostat_relax: 0.1, homeostat_range: 2 } as const;

test("rows push by the effects of their class and of the answer, or by their errors", async () => {
  const [n, classes] = [7, 5];
  const logits = normals(4, n * classes);
  const targets = Int32Array.from({ length: n }, (_, i) => i % classes);
  const answers = Array.from({ length: n }, (_, i) => {
    const row = [...logits.subarray(i * classes, (i + 1) * classes)];
    return row.indexOf(Math.max(...row));
  });
  const effect = (c: number) => (c % 2 === 0 ? 1 : -1);
  for (const by of ["effects", "errors"] as const) {
    const homeostat = new Homeostat({ ...GIVEN, homeostat_by: by }, 1);
    const { outputs } = await runOp(gpu, {
      inputs: {
        logits: { shape: [n, classes], data: logits },
        targets: { shape: [n], data: targets, dtype: "i32" },
      },
      build: (rec, x) => homeostat.pushes(rec, x.logits!, x.targets!),
    });
    const wanted = answers.map((answer, i) =>
      by === "errors" ? Number(answer !== targets[i]) : (effect(targets[i]!) - effect(answer)) / 2,
    );
    expect([...outputs.y!].map((x) => x + 0)).toEqual(wanted.map((x) => x + 0));
    expect(new Set(wanted).size).toBeGreaterThan(1);
  }
});

test("pushes displace the level within its range, and it relaxes", () => {
  const homeostat = new Homeostat(GIVEN, 1);
  const hear = (push: number) => {
    homeostat.heard({ step: 1, metrics: { push } });
    return homeostat.level;
  };
  const first = Math.exp(0.2) + 0.1 * (1 - Math.exp(0.2));
  expect(hear(1)).toBeCloseTo(first, 12);
  expect(hear(0)).toBeCloseTo(first + 0.1 * (1 - first), 12);
  for (let i = 0; i < 50; i++) hear(-1);
  expect(homeostat.level).toBe(0.5);
  const still = new Homeostat({ ...GIVEN, homeostat: 0 }, 1);
  still.heard({ step: 1, metrics: { push: 1 } });
  expect(still.level).toBe(1);
});

test("labels shift after so many rows, and all of them stay apart", () => {
  for (const shift of ["swap", "permute"] as const) {
    const labels = new ShiftedLabels({ every: 4, classes: 4, shift, growth: 2, seed: 3 });
    const seen = Array.from({ length: 28 }, (_, i) => labels.next(i % 4));
    expect(seen.slice(0, 4)).toEqual([0, 1, 2, 3]);
    expect(labels.shifts).toBe(2); // after rows 4 and 12
    for (let at = 0; at < 28; at += 4) expect([...seen.slice(at, at + 4)].sort()).toEqual([0, 1, 2, 3]);
    expect(seen.slice(8, 12)).toEqual(seen.slice(4, 8));
    if (shift === "swap") expect(seen.slice(4, 8).filter((label, c) => label !== c)).toHaveLength(2);
  }
});

const folder = mkdtempSync(join(tmpdir(), "ingot-homeostat-"));
afterAll(() => rmSync(folder, { recursive: true }));
const run = (script: string, line: string) => runScript(script, line.split(" "), folder);
async function good(script: string, line: string) {
  const done = await run(script, line);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const bytes = (name: string) => dataOf(readFileSync(join(folder, name, "model.safetensors")));

beforeAll(async () => {
  const rows = Array.from({ length: 24 }, (_, i) => {
    const noise = normals(i, 2, 0.3);
    return { x: [Math.cos(i % 4) * 2 + noise[0]!, Math.sin(i % 4) * 2 + noise[1]!], label: i % 4 };
  });
  writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  writeFileSync(
    join(folder, "mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [8], num_labels: 4 }),
  );
  await good("data", "shift-labels rows.jsonl --every 6 --classes 4 -o shifted.jsonl");
});

const FIT =
  "--init mlp.json --data shifted.jsonl --batch-size 2 --optimizer sgd --momentum 0 --lr 0.05 --schedule constant";

test("no push is the schedule itself, bit for bit; a push is another training, which resumes to the same bytes", async () => {
  await good("train", `${FIT} --prequential --save-every 0 -o plain/`);
  const { text } = await good("train", `${FIT} --prequential --save-every 0 --homeostat 0 -o still/ --json`);
  expect(JSON.parse(text).prequential_accuracy).toBeGreaterThanOrEqual(0);
  expect(bytes("still").equals(bytes("plain"))).toBe(true);
  const pushed = `${FIT} --homeostat 0.3 --save-every 3`;
  await good("train", `${pushed} --steps 6 -o pushed/`);
  await good("train", `${pushed} --steps 3 --state half-state -o half/`);
  await good("train", `${pushed} --steps 6 --state half-state --resume --overwrite -o half/`);
  expect(bytes("half").equals(bytes("pushed"))).toBe(true);
  await good("train", `${FIT} --save-every 0 --steps 6 -o unpushed/`);
  expect(bytes("pushed").equals(bytes("unpushed"))).toBe(false);
});

test("what does not go with it is refused", async () => {
  for (const [line, message] of [
    ["--homeostat 0.1 --loss look --look-neighbours 2", "is trained by another objective"],
    ["--homeostat-by errors", "--homeostat"],
  ] as const) {
    const { code, err } = await run("train", `${FIT} --steps 1 -o x/ ${line}`);
    expect([line, code, err]).toEqual([line, 2, expect.stringContaining(message)]);
  }
  const odd = await run("data", "shift-labels rows.jsonl --every 6 --classes 3");
  expect([odd.code, odd.err]).toEqual([2, expect.stringContaining("expected a label from 0 to 2, found 3")]);
});
