/** Prototypes of classes that come with few rows. */
import { afterAll, expect, setDefaultTimeout, test } from "bun:test";
import { askRows } from "../../../src/adapt/continual/outputs.ts";
import { nearestVectors, simplex } from "../../../src/adapt/continual/simplex.ts";
import { method as fscil } from "../../../src/adapt/methods/continual/fscil.ts";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";
import { streamFor } from "./streams.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());

// Two classes of many rows, then two new ones of five rows each, twice.
const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, task === 0 ? 60 : 10, { label: 2 * task }));
  lab.write(`${name}-held.jsonl`, pairRows(task, 40, { first: 100, label: 2 * task }));
}
lab.json("net.json", { ...NET, hidden_sizes: [24], num_labels: 6 });

const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl ${HELD} --batch-size 10 --lr 0.01 --scenario class`;
const FSCIL = `${STREAM} --method fscil --save-every 0`;

const weights = (name: string) => tensorsOf(lab.at(name));

/** Cosines of rows of a matrix of 24 columns. */
function cosinesOf(matrix: Float32Array, width: number): number[] {
  const rows = Array.from({ length: matrix.length / width }, (_, k) => matrix.subarray(k * width, (k + 1) * width));
  return rows.flatMap((a, i) => rows.slice(i + 1).map((b) => a.reduce((sum, x, j) => sum + x * b[j]!, 0)));
}

test.each([
  [2, 1],
  [5, 4],
  [6, 24],
])("%p vectors of %p numbers have length 1 and cosines -1 / (K - 1)", (count, width) => {
  const vectors = simplex(count, width, 3);
  for (const [i, a] of vectors.entries())
    for (const [k, b] of vectors.entries()) {
      const cosine = a.reduce((sum, x, j) => sum + x * b[j]!, 0);
      expect(cosine).toBeCloseTo(i === k ? 1 : -1 / (count - 1), 12);
    }
});

test("too many vectors have no place; means get the vectors of the largest sum", () => {
  expect(() => simplex(6, 4, 0)).toThrow("no place");
  const vectors = [
    [1, 0],
    [0, 1],
    [-1, 0],
  ];
  // The first mean is nearest to vector 0 too, and gives way: 0.9 + 0.8 is less than 1 + 0.75.
  const means = [Float64Array.of(0.8, 0.75), Float64Array.of(1, 0)];
  expect(nearestVectors(means, vectors)).toEqual([1, 0]);
});

test("with all switches off prototypes are means of features of length 1, and the encoder stays", async () => {
  const values = {
    ...{ prototypes: "mean" as const, train_base: false, contrast_weight: 0, contrast: 0.1 },
    ...{ increment_rate: 0, cosine_scale: 16, pseudo: "none" as const, rotation_weight: 0 },
    ...{ subnet: 1, subnet_rows: 200, self_supervised: 0, view_shift: 0, view_noise: 0 },
  };
  const net = { ...NET, num_labels: 4 };
  const { stream, stage } = await streamFor([12, 6], values, { labels: [0, 2], net });
  const learner = await fscil.begin(stream);
  expect(await learner.stage!(stage(0))).toEqual({ still: true });
  await learner.learned!(stage(0));
  expect(await learner.stage!(stage(1))).toEqual({ still: true });
  await learner.learned!(stage(1));
  const { model } = stream;
  const head = [...model.parameters.values()].find(({ name }) => name === "classifier.weight")!;
  const found = await model.gpu.readFloats(head.buffer, head.size);
  const refs = stream.rows.of([0, 1]);
  const features = await askRows(stream, refs, "features");
  for (let label = 0; label < 4; label++) {
    const own = features.filter((_, i) => stream.rows.labelOf(refs[i]!) === label);
    const mean = new Float64Array(12);
    for (const row of own) for (const [j, x] of row.entries()) mean[j]! += x / Math.hypot(...row);
    for (const [j, x] of mean.entries()) expect(found[12 * label + j]!).toBeCloseTo(x / Math.hypot(...mean), 5);
  }
  await lab.run(`${FSCIL} --no-train-base -o @off`);
  await lab.run(`${STREAM.replace("0.01", "1e-30")} --steps 1 -o @start`);
  const [off, start] = [await weights("off"), await weights("start")];
  for (const [name, own] of off)
    if (!name.startsWith("classifier"))
      for (const [i, value] of own.entries()) expect(value).toBeCloseTo(start.get(name)![i]!, 12);
  expect([...off.get("classifier.bias")!]).toEqual(Array(6).fill(0));
});

test("old classes are kept and new ones learnt of few rows, by each switch", async () => {
  const accuracy = async (line: string) => (await lab.run(line)).json.metrics.accuracy.average as number;
  const seq = await accuracy(`${STREAM} --epochs 10 --save-every 0 -o @seq`);
  for (const [name, more] of Object.entries({
    plain: "",
    contrast: "--contrast-weight 1",
    slow: "--increment-rate 0.1",
    etf: "--prototypes etf --increment-rate 1",
  })) {
    const found = await accuracy(`${FSCIL} --epochs 10 ${more} -o @${name}`);
    expect(found).toBeGreaterThan(seq + 0.2);
  }
  const [plain, contrast, slow, etf] = await Promise.all(["plain", "contrast", "slow", "etf"].map(weights));
  await lab.run(
    `${FSCIL.replace(/--tasks \S+ --eval-tasks \S+/, "--tasks @a.jsonl --eval-tasks a=@a-held.jsonl")} --epochs 10 -o @first`,
  );
  const first = await weights("first");
  for (const [name, own] of plain!) {
    if (name.startsWith("classifier")) continue;
    expect(own).toEqual(first.get(name)!);
    expect(contrast!.get(name)).not.toEqual(own);
    expect(slow!.get(name)).not.toEqual(own);
  }
  for (const cosine of cosinesOf(etf!.get("classifier.weight")!, 24)) expect(cosine).toBeCloseTo(-1 / 5, 5);
});

test.each(["--prototypes etf --increment-rate 0.5 --pseudo mix", "--increment-rate 1 --subnet 0.1", ""])(
  "goes on bit for bit %p",
  async (more) => {
    const line = `${FSCIL.replace("--save-every 0", "--save-every 2")} --epochs 2 ${more}`.trim();
    const whole = await lab.run(`${line} -o @whole`);
    const cuts = more === "" ? [["a", 5] as const] : [["a", 5] as const, ["b", 1] as const];
    for (const [task, step] of cuts) await lab.run(`${line} -o @cut --resume`, { task, step });
    const end = await lab.run(`${line} -o @cut --resume`);
    expect(end.json).toEqual(whole.json);
    expect(await weights("cut")).toEqual(await weights("whole"));
  },
);

test("more classes than the features have room for are refused", async () => {
  lab.json("small.json", { ...NET, hidden_sizes: [4], num_labels: 6 });
  const run = lab.run(`${FSCIL.replace("@net.json", "@small.json")} --prototypes etf -o @no`);
  expect(await run.catch(String)).toContain("5 features for 6 classes");
});
