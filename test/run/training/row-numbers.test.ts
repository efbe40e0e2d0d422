/** Numbers of rows that last, and the loss that has a temperature for each. */
import { expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stackExamples } from "../../../src/data/batch.ts";
import { bindDefaults } from "../../../src/method/bind.ts";
import { RowNumbers } from "../../../src/run/training/row-numbers.ts";
import { addScalar } from "../../../src/tensor/ops/elementwise.ts";
import { Program, profileOf } from "../../../src/tensor/program.ts";
import { Recorder } from "../../../src/tensor/recorder.ts";
import { method } from "../../../src/train/methods/losses/aldr.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { runScript, startScript } from "../../support/command.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("embedding/set-rows");

const gpu = await sharedGpu();

test("a row's number is what its last visit left; a row that is shown twice is set once", async () => {
  const places = Array.from({ length: 1500 }, (_, i) => `rows.jsonl:${i}`);
  const numbers = new RowNumbers(gpu, places, 2);
  const batchOf = (rows: readonly number[]) =>
    stackExamples(rows.map((i) => ({ x: Float32Array.of(i), shape: [1], label: 0, place: places[i]! })));
  const shown = [3, 1499, 0, 3];
  const rec = new Recorder(profileOf(gpu));
  const { before, set } = numbers.record(rec, batchOf(shown));
  const now = addScalar(rec, before, 1);
  set(now);
  rec.output("before", addScalar(rec, before, 0));
  const program = await Program.compile(gpu, rec);
  for (const wanted of [2, 3]) {
    numbers.fill(program, batchOf(shown));
    program.run({ accumulate: 0 });
    expect([...((await program.read("before")) as Float32Array)]).toEqual(shown.map(() => wanted));
  }
  const found = await numbers.numbers();
  expect([...found].filter(([, x]) => x === 4).map(([place]) => place)).toEqual([
    places[0]!,
    places[3]!,
    places[1499]!,
  ]);
  expect([...found].filter(([, x]) => x === 2)).toHaveLength(1497);
  expect(() => numbers.fill(program, stackExamples([{ x: Float32Array.of(0), shape: [1], label: 0 }]))).toThrow(
    TypeError,
  );
  program.free();
  numbers.free();
});

const [N, V] = [6, 4];
const START = normals(5, N * V, 1.5);
const LABELS = Int32Array.from({ length: N }, (_, i) => (3 * i + 1) % V);
const BEFORE = Float32Array.from({ length: N }, (_, i) => 0.6 + 0.1 * i);
const { values } = bindDefaults(method, { aldr_lambda: 1.5, aldr_alpha: 3, aldr_margin: 0.4 });

/** Scores whose mean size is 1. */
const scoresOf = (x: ArrayLike<number>, row: number) => {
  const z = Array.from({ length: V }, (_, k) => x[row * V + k]!);
  const size = z.reduce((sum, v) => sum + Math.abs(v), 0) / V;
  return z.map((v) => v / size);
};
/** What a row's temperature becomes, by the divergence of the card's formula. */
const lambdaOf = (x: ArrayLike<number>, row: number) => {
  const e = scoresOf(x, row).map((v) => Math.exp(v / BEFORE[row]!));
  const sum = e.reduce((a, b) => a + b, 0);
  const kl = e.reduce((total, v) => total + (v / sum) * Math.log((V * v) / sum), 0);
  return 1.5 - (1.5 / (3 * Math.log(V))) * kl;
};

test("aldr agrees with its formula in float64; the temperature takes no gradient", async () => {
  const fixed = Array.from({ length: N }, (_, row) => lambdaOf(START, row));
  await checkOp(gpu, "aldr", {
    inputs: {
      logits: { shape: [N, V], data: START },
      targets: { shape: [N], data: LABELS, dtype: "i32" },
      before: { shape: [N], data: BEFORE, grad: false },
    },
    build: (rec, { logits, targets, before }) =>
      method.rows!(rec, {
        ...{ logits: logits!, targets: targets!, values, counts: [], softened: {} },
        row: { before: before!, set() {} },
      }),
    reference: ({ logits }) =>
      Float64Array.from(LABELS, (y, row) => {
        const z = scoresOf(logits!, row);
        const lambda = fixed[row]!;
        const sum = z.reduce((all, v, k) => all + Math.exp((v - z[y]! + (k === y ? 0 : 0.4)) / lambda), 0);
        return lambda * Math.log(sum / V) - ((3 * Math.log(V)) / (2 * 1.5)) * (lambda - 1.5) ** 2;
      }),
    backward: 2e-5,
  });
});

test("aldr leaves the temperatures of its formula, lower the surer the model is", async () => {
  const { outputs } = await runOp(gpu, {
    inputs: {
      logits: { shape: [N, V], data: START },
      targets: { shape: [N], data: LABELS, dtype: "i32" },
      before: { shape: [N], data: BEFORE },
    },
    build(rec, { logits, targets, before }) {
      let left = before!;
      const set = (now: typeof left) => {
        left = now;
      };
      const given = { logits: logits!, targets: targets!, values, counts: [], softened: {} };
      method.rows!(rec, { ...given, row: { before: before!, set } });
      return left;
    },
  });
  for (const [row, lambda] of outputs.y!.entries()) expect(lambda).toBeCloseTo(lambdaOf(START, row), 5);
  for (const lambda of outputs.y!) expect([lambda > 1.5 * (1 - 1 / 3), lambda <= 1.5]).toEqual([true, true]);
});

test("from the shell: temperatures fall and are written; a run that was killed ends with the same", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ingot-aldr-"));
  try {
    const draw = normals(1, 400);
    const wrong = (i: number) => i % 5 === 0;
    const rows = Array.from({ length: 200 }, (_, i) => {
      const label = i % 2;
      return { x: [(label ? 2 : -2) + draw[2 * i]!, draw[2 * i + 1]!], label: wrong(i) ? 1 - label : label };
    });
    writeFileSync(join(folder, "rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    const net = { model_type: "mlp", input_size: 2, hidden_sizes: [16], num_labels: 2 };
    writeFileSync(join(folder, "mlp.json"), JSON.stringify(net));
    const run = async (line: string) => {
      const done = await runScript("train", `--init mlp.json --data rows.jsonl --loss aldr ${line}`.split(" "), folder);
      expect([done.code, done.err]).toEqual([0, expect.anything()]);
    };
    const asked = "--batch-size 20 --epochs 8 --lr 1e-2";
    await run(`${asked} --aldr-save whole.jsonl --save-every 0 -o whole/`);
    const cut = `--init mlp.json --data rows.jsonl --loss aldr ${asked} --aldr-save cut.jsonl --save-every 1`;
    const words = `${cut} --log cut.log -o cut/ --resume`.split(" ");
    const child = startScript("train", words, folder);
    const steps = () =>
      existsSync(join(folder, "cut.log"))
        ? readFileSync(join(folder, "cut.log"), "utf8").split('"event":"step"').length
        : 0;
    while (child.exitCode === null && steps() < 30) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    const resumed = await runScript("train", words, folder);
    expect([resumed.code, resumed.err]).toEqual([0, expect.stringContaining("continuing after step")]);
    const linesOf = (name: string) => readFileSync(join(folder, name), "utf8");
    expect(linesOf("cut.jsonl")).toBe(linesOf("whole.jsonl"));
    const found = linesOf("whole.jsonl")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { place: string; lambda: number });
    expect(found.map(({ place }) => place)).toEqual(rows.map((_, i) => `rows.jsonl:${i + 1}`));
    const meanOf = (which: (i: number) => boolean) => {
      const own = found.filter((_, i) => which(i));
      return own.reduce((sum, { lambda }) => sum + lambda, 0) / own.length;
    };
    expect(meanOf((i) => !wrong(i))).toBeLessThan(1);
    const weights = (name: string) => dataOf(readFileSync(join(folder, name, "model.safetensors")));
    expect(weights("cut").equals(weights("whole"))).toBe(true);
    const refused = await runScript(
      "distill",
      "--teacher whole/ --student cut/ --method kd --label-weight 1 --data rows.jsonl --loss aldr --steps 1 -o x/".split(
        " ",
      ),
      folder,
    );
    expect([refused.code, refused.err]).toEqual([2, expect.stringContaining("remembers a number of every row")]);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
