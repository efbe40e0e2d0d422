/** Ranks of MoRA that grow by task: whose they are, what stays, what is dropped, and the plain LoRA of all of them. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { open } from "../../../src/checkpoint/open.ts";
import { stackExamples } from "../../../src/data/batch.ts";
import type { Example } from "../../../src/data/examples.ts";
import { rankWeights } from "../../../src/model/adapters/rank-weights.ts";
import { Model } from "../../../src/model/model.ts";
import { valuesOf } from "../../support/checkpoint-values.ts";
import { runScript } from "../../support/command.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { logitsOf } from "../../support/logits.ts";
import { runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy
const gpu = await sharedGpu();
const lab = new StreamLab();
afterAll(() => lab.close());
for (const [task, name] of ["a", "b", "c", "d"].entries()) lab.write(`${name}.jsonl`, pairRows(task, 10));
lab.json("net.json", { ...NET, hidden_sizes: [12, 10] });
const SHORT = "--lr 0.03 --batch-size 5 --epochs 2";
const MORA = `${SHORT} --method mora --adapter mora --adapter-rank 7 --adapter-targets all-linear`;
const stream = (last: string) => `@base --tasks @a.jsonl,@b.jsonl,@${last}.jsonl ${MORA}`;

beforeAll(async () => {
  await lab.run(`--init @net.json --tasks @a.jsonl ${SHORT} --save-every 0 -o @base`);
});

test("ranks that are not there count for nothing, and the others as if they were alone", async () => {
  const [rows, all] = [5, 6];
  const there = [0, 2, 3, 5];
  const a = normals(4, rows * all);
  const tag = Float32Array.from({ length: all }, (_, i) => (there.includes(i) ? 1 + i : 0));
  const choice = { active: 3, temperature: 0.5, threshold: 0 };
  const seed = new Float32Array(rows * all).fill(1);
  const { outputs, gradients } = await runOp(gpu, {
    inputs: { a: { shape: [rows, all], data: a, grad: true }, tag: { shape: [all], data: tag } },
    build: (rec, x) => rankWeights(rec, x.a!, { ...choice, tag: x.tag! }),
    seeds: { y: seed.map((_, i) => i % all) },
  });
  const own = Float32Array.from({ length: rows * 4 }, (_, i) => a[Math.floor(i / 4) * all + there[i % 4]!]!);
  const alone = await runOp(gpu, {
    inputs: { a: { shape: [rows, 4], data: own, grad: true } },
    build: (rec, x) => rankWeights(rec, x.a!, choice),
    seeds: { y: own.map((_, i) => there[i % 4]!) },
  });
  for (let i = 0; i < rows * all; i++) {
    const at = there.indexOf(i % all);
    const from = Math.floor(i / all) * 4 + at;
    expect(outputs.y![i]).toBeCloseTo(at < 0 ? 0 : alone.outputs.y![from]!, 6);
    expect(gradients.a![i]).toBeCloseTo(at < 0 ? 0 : alone.gradients.a![from]!, 5);
  }
});

test("each task has its ranks, which later tasks leave alone; a run that resumes gives the same", async () => {
  const whole = await lab.run(`${stream("c")} --save-every 3 -o @whole`);
  await lab.run(`${stream("d")} --save-every 0 -o @other`);
  const [one, other] = [await valuesOf(lab.at("whole")), await valuesOf(lab.at("other"))];
  const moved = new Set<string>();
  for (const [name, { shape, values }] of one) {
    const part = name.split("_").at(-1)!;
    if (part === "tag") expect([...values]).toEqual([1, 1, 2, 2, 3, 3, 3]);
    const columns = shape[1] ?? 1;
    for (const [i, x] of values.entries())
      if (x !== other.get(name)!.values[i]!)
        moved.add(`${part} ${part === "A" ? Math.floor(i / columns) : i % columns}`);
  }
  // The last task alone differs between the two.
  expect([...moved].sort()).toEqual(["A 4", "A 5", "A 6", "B 4", "B 5", "B 6"]);
  await lab.run(`${stream("c")} --save-every 3 -o @cut --resume`, { task: "b", step: 3 });
  expect((await lab.run(`${stream("c")} --save-every 3 -o @cut --resume`)).json).toEqual(whole.json);
  expect(await valuesOf(lab.at("cut"))).toEqual(one);
});

test("ranks that count for few rows are dropped", async () => {
  await lab.run(`${stream("c")} --prune 0.5 --save-every 0 -o @pruned`);
  const tags = [...(await valuesOf(lab.at("pruned")))].filter(([name]) => name.endsWith("tag"));
  const kept = tags.flatMap(([, { values }]) => [...values]);
  expect(kept).toContain(0);
  expect(kept.some((tag) => tag > 0)).toBe(true);
  const { code, err } = await runScript("adapt", "flatten pruned -o few -q".split(" "), lab.folder);
  expect([code, err]).toEqual([0, expect.stringContaining("count alike")]);
  for (const [name, { shape }] of await valuesOf(lab.at("few")))
    expect(shape[name.includes("lora_A") ? 0 : 1]).toBe(
      Math.max(
        1,
        tags.find(([tag]) => name.startsWith(tag.replace(/\.mora_tag$/, ".")))![1].values.filter((x) => x > 0).length,
      ),
    );
});

test("where all ranks count alike, the flat adapter is the same", async () => {
  await lab.run(`${stream("c")} --mora-active 7 --mora-temperature 1e9 --mora-threshold -1 --save-every 0 -o @even`);
  expect((await runScript("adapt", "flatten even -o flat -q".split(" "), lab.folder)).code).toBe(0);
  const rows = Array.from({ length: 6 }, (_, i) => {
    return { form: "example", x: normals(i, 8), shape: [8], label: 0, extra: {}, group: 0, place: "" } as Example;
  });
  const logits: Float32Array[] = [];
  for (const name of ["even", "flat"]) {
    const model = await Model.load(gpu, await open(`${lab.at("base")}+${lab.at(name)}`, { live: true }), {});
    logits.push(await logitsOf(gpu, model, stackExamples(rows)));
    model.free();
  }
  for (const [i, x] of logits[0]!.entries()) expect(x).toBeCloseTo(logits[1]![i]!, 4);
  const plain = await Model.load(gpu, await open(lab.at("base")), {});
  const before = await logitsOf(gpu, plain, stackExamples(rows));
  plain.free();
  expect(Math.max(...before.map((x, i) => Math.abs(x - logits[0]![i]!)))).toBeGreaterThan(1e-2);
});

test("refusals", async () => {
  const refused = (line: string) =>
    lab.run(line).then(
      () => "",
      (error: Error) => error.message,
    );
  const tasks = "@base --tasks @a.jsonl,@b.jsonl --method mora --steps 1 -o @none";
  expect(await refused(`${tasks} --lora`)).toContain("is no part of one");
  expect(await refused(tasks)).toContain("none is trained");
  expect(await refused(`${tasks} --adapter mora --adapter-rank 1`)).toContain("a rank of 1 has no part");
  await lab.run("@base --tasks @a.jsonl --lora --lora-rank 2 --steps 1 --save-every 0 -o @lora");
  const { code, err } = await runScript("adapt", "flatten lora -o again".split(" "), lab.folder);
  expect([code, err]).toEqual([2, expect.stringContaining("is a LoRA already")]);
});
