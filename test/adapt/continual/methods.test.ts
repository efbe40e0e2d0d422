/** Continual methods: the laws of their cards, and formulas in plain arithmetic. */
import { afterAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { herded, MemoryBuffer } from "../../../src/adapt/continual/buffer.ts";
import { ClassMeans } from "../../../src/adapt/continual/class-means.ts";
import { alignHead, headOf } from "../../../src/adapt/continual/head.ts";
import { oldRows } from "../../../src/adapt/continual/replay.ts";
import { stageSource } from "../../../src/adapt/continual/source.ts";
import { method as er } from "../../../src/adapt/methods/continual/er.ts";
import { methodNames } from "../../../src/method/registry.ts";
import { dataOf } from "../../support/checkpoint-values.ts";
import { runScript } from "../../support/command.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";
import { streamFor } from "./streams.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 40));
  lab.write(`${name}-held.jsonl`, pairRows(task, 40, { first: 40 }));
  lab.write(`${name}6.jsonl`, pairRows(task, 40, { label: 2 * task }));
  lab.write(`${name}6-held.jsonl`, pairRows(task, 40, { first: 40, label: 2 * task }));
}
lab.json("net.json", NET);
lab.json("net6.json", { ...NET, num_labels: 6 });

const DOMAIN = "--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl";
const CLASSES = "--init @net6.json --tasks @a6.jsonl,@b6.jsonl,@c6.jsonl --scenario class";
const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
const HELD6 = "--eval-tasks a6=@a6-held.jsonl,b6=@b6-held.jsonl,c6=@c6-held.jsonl";
const LONG = "--epochs 8 --batch-size 10 --lr 0.02 --schedule constant --save-every 0";

const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

test("n new rows are joined by round(rho / (1 - rho) n) old ones, spread evenly, in the order that they would have", async () => {
  const { stream, stage } = await streamFor([20, 33], {
    ...{ buffer: 9, buffer_policy: "reservoir" as const, buffer_from: undefined, replay_ratio: 0.3 },
  });
  const learner = await er.begin(stream);
  await learner.learned?.(stage(0));
  const { mix } = (await learner.stage?.(stage(1)))!;
  const fresh = stream.rows.of([1]);
  const order = { batchSize: 8, seed: 4 };
  const mixed = stageSource({ name: "b", rows: stream.rows, fresh, order, mix });
  const plain = stageSource({ name: "b", rows: stream.rows, fresh, order: { ...order, batchSize: 1 } });
  const refs = async (source: typeof mixed) => (await source.next()).batch.new!.refs;
  const news: number[] = [];
  const counts: number[] = [];
  for (let i = 0; i < mixed.batchesPerEpoch; i++) {
    const drawn = await refs(mixed);
    counts.push(drawn.filter(({ task }) => task === 0).length);
    news.push(...drawn.flatMap(({ task, row }) => (task === 1 ? [row] : [])));
  }
  expect(oldRows(0.3, 33)).toBe(14);
  expect(counts.reduce((a, b) => a + b)).toBe(14);
  expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  const alone: number[] = [];
  for (let i = 0; i < 33; i++) alone.push((await refs(plain))[0]!.row);
  expect(news).toEqual(alone);
});

test("terms of weight 0 are sequential training bit for bit", async () => {
  await lab.run(`${DOMAIN} --epochs 2 --save-every 0 -o @zero-seq`);
  const zeros = ["lwf --lwf-weight 0", "der --alpha 0", "der-plus --alpha 0 --beta 0"];
  for (const [i, line] of zeros.entries()) {
    await lab.run(`${DOMAIN} --method ${line} --epochs 2 --save-every 0 -o @zero-${i}`);
    expect([line, bytesOf(`zero-${i}`).equals(bytesOf("zero-seq"))]).toEqual([line, true]);
  }
}, 120_000);

test("what holds on to old tasks forgets less, and joint training is the ceiling", async () => {
  const found = new Map<string, { average: number; forgetting?: number }>();
  const losses = new Map<string, number>();
  for (const method of ["seq", "er --buffer 30", "der-plus --buffer 30", "lwf", "joint"]) {
    const { json } = await lab.run(`${DOMAIN} ${HELD} --method ${method} ${LONG} -o @bed-${method.split(" ")[0]}`);
    found.set(method.split(" ")[0]!, json.metrics.accuracy);
    losses.set(method.split(" ")[0]!, json.metrics.loss.forgetting);
  }
  const of = (name: string) => found.get(name)!;
  for (const name of ["er", "der-plus"]) {
    expect(of(name).forgetting!).toBeLessThan(of("seq").forgetting!);
    expect(of(name).average).toBeLessThanOrEqual(of("joint").average + 0.02);
  }
  expect(losses.get("lwf")!).toBeLessThan(losses.get("seq")!);
}, 120_000);

test("icarl beside --refresh still gives the class of the nearest mean", async () => {
  const line = `${CLASSES} ${HELD6} --method icarl --buffer 12 --steps 2 --save-every 0`;
  const plain = await lab.run(`${line} -o @means-plain`);
  const moved = await lab.run(`${line} --refresh --refresh-delta 1e-12 -o @means-moved`);
  expect(moved.json.after.accuracy).toEqual(plain.json.after.accuracy);
  // The head has learnt next to nothing in two steps.
  expect(moved.json.metrics.accuracy.average).toBeGreaterThan(0.8);
}, 60_000);

test("a run says where evaluate scores its result otherwise than the table", async () => {
  const told = async (scenario: string, method: string) => {
    const line = `--init net6.json --tasks a6.jsonl,b6.jsonl,c6.jsonl --scenario ${scenario} --method ${method}`;
    const argv = `${line} --steps 1 --save-every 0 --overwrite -o says`.split(" ");
    return (await runScript("adapt", argv, lab.folder)).err;
  };
  const [hidden, head] = ["evaluate lets all take part", "evaluate takes those of the head"];
  const [known, all] = [await told("task", "icarl"), await told("class", "seq")];
  expect(known).toContain(hidden);
  expect(known).toContain(head);
  expect(all).not.toContain(hidden);
  expect(all).not.toContain(head);
}, 60_000);

test("classes that come with tasks: hidden ones get no row, known tasks are easier", async () => {
  const line = `${CLASSES} ${HELD6} ${LONG}`;
  const seq = await lab.run(`${line} -o @class-seq`);
  const icarl = await lab.run(`${line} --method icarl --buffer 24 --replay-ratio 0.4 -o @class-icarl`);
  const known = await lab.run(`${line.replace("--scenario class", "--scenario task")} -o @class-task`);
  const average = (ran: typeof seq) => ran.json.metrics.accuracy.average as number;
  expect(average(icarl)).toBeGreaterThan(average(seq));
  expect(average(known)).toBeGreaterThan(average(seq));
  // Without the others' classes the last task is all that plain training knows.
  expect(seq.json.after.accuracy[2].map(Math.round)).toEqual([0, 0, 1]);
}, 120_000);

test("a dry run plans every method of a classifier without a result of the device", async () => {
  const own: Record<string, string> = { dkvb: "--key-data @a6.jsonl --codebooks 2 --keys 4", tame: "--shift-window 4" };
  const needAdapter = ["mora", "olora"];
  for (const name of methodNames("continual").filter((name) => name !== "synth" && !needAdapter.includes(name))) {
    const scenario = ["tame", "dst-cl"].includes(name) ? "domain" : "class";
    const line = CLASSES.replace("--scenario class", `--scenario ${scenario}`);
    const { json } = await lab.run(`${line} --method ${name} ${own[name] ?? ""} --steps 2 --dry-run -o @planned`);
    expect(json.stages.at(-1).memory.total).toBeGreaterThan(0);
  }
}, 60_000);

describe("a method that is cut off goes on as if it had not been", () => {
  const RUNS: Record<string, string> = {
    lwf: `${CLASSES} ${HELD6} --method lwf --buffer 6 --align-head`,
    der: `${DOMAIN} ${HELD} --method der --buffer 9`,
    "der-plus": `${DOMAIN} ${HELD} --method der++ --buffer 9 --buffer-policy loss`,
    icarl: `${CLASSES} ${HELD6} --method icarl --buffer 9`,
  };
  test.each(Object.entries(RUNS))(
    "%s",
    async (name, argv) => {
      const line = `${argv} --steps 4 --batch-size 7 --lr 0.02 --save-every 2`;
      const whole = await lab.run(`${line} -o @${name}-whole`);
      const tasks = [...new Set(whole.events.flatMap(({ event, task }) => (event === "step" ? [task as string] : [])))];
      for (const cut of [
        { task: tasks[0]!, step: 4 },
        { task: tasks[1]!, step: 3 },
        { task: tasks[2]!, step: 1 },
      ])
        await lab.run(`${line} -o @${name}-cut --resume`, cut);
      const end = await lab.run(`${line} -o @${name}-cut --resume`);
      expect(end.json).toEqual(whole.json);
      expect(bytesOf(`${name}-cut`)).toEqual(bytesOf(`${name}-whole`));
      expect(existsSync(lab.at(`${name}-cut-state`))).toBe(false);
    },
    60_000,
  );
});

test("aligning brings the new rows to the old length, keeps their ranking, and is done once", async () => {
  const { stream } = await streamFor([4], {}, { net: { ...NET, num_labels: 5 } });
  const { model } = stream;
  const head = headOf(model, "--align-head");
  const read = async () => (await model.gpu.readFloats(head.buffer, head.size)).slice();
  const before = await read();
  const lengths = (values: Float32Array) =>
    Array.from({ length: 5 }, (_, c) => Math.hypot(...values.subarray(c * 12, (c + 1) * 12)));
  const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
  const was = lengths(before);
  const factor = await alignHead(model, head, [0, 1], [2, 3, 4]);
  expect(factor).toBeCloseTo(mean(was.slice(0, 2)) / mean(was.slice(2)), 6);
  const is = lengths(await read());
  expect(is.slice(0, 2)).toEqual(was.slice(0, 2));
  for (const c of [2, 3, 4]) expect(is[c]! / was[c]!).toBeCloseTo(factor, 5);
  expect(await alignHead(model, head, [0, 1], [2, 3, 4])).toBeCloseTo(1, 5);
});

test("herding takes the row that brings the mean nearest, in plain arithmetic", () => {
  // Of unit vectors at 0, 90 and 45 degrees the mean points to 45: that one is first.
  const features = [
    [1, 0],
    [0, 3],
    [2, 2],
  ];
  expect(herded(["east", "north", "between"], features, 3)[0]).toBe("between");
  expect(
    herded(
      ["a", "b"],
      [
        [1, 0],
        [-1, 0],
      ],
      2,
    ),
  ).toEqual(["a", "b"]);
});

test("buffers: a reservoir keeps each row as likely, others as many of each class", async () => {
  const values = { buffer: 10, buffer_policy: "reservoir" } as const;
  const { stream, stage } = await streamFor([40, 40], values);
  let fromFirst = 0;
  for (let seed = 0; seed < 60; seed++) {
    const buffer = new MemoryBuffer({ ...stream, seed });
    for (const i of [0, 1]) await buffer.add(stage(i));
    expect(new Set(buffer.rows.map(({ task, row }) => `${task} ${row}`)).size).toBe(10);
    fromFirst += buffer.of(0).length;
  }
  // 600 draws, half of them of each task: 6 standard deviations are about 70.
  expect(Math.abs(fromFirst - 300)).toBeLessThan(70);
  for (const buffer_policy of ["ring", "herding", "loss"] as const) {
    const split = await streamFor(
      [40, 40],
      { buffer: 10, buffer_policy },
      { labels: [0, 2], net: { ...NET, num_labels: 4 } },
    );
    const buffer = new MemoryBuffer(split.stream);
    for (const i of [0, 1]) await buffer.add(split.stage(i));
    const counts = [0, 1, 2, 3].map(
      (label) => buffer.rows.filter((ref) => split.stream.rows.labelOf(ref) === label).length,
    );
    expect(counts).toEqual([3, 3, 2, 2]);
    const again = new MemoryBuffer(split.stream);
    again.load(buffer.state());
    expect(again.rows).toEqual(buffer.rows);
  }
});

test("the class of the nearest mean, among those that are visible", () => {
  const means = new ClassMeans();
  means.load([
    [0, [1, 0]],
    [1, [0, 1]],
    [2, [-1, 0]],
  ]);
  expect([...means.classify(Float32Array.of(5, 1, -2, 3), 2, [0, 1, 2])]).toEqual([0, 1]);
  expect([...means.classify(Float32Array.of(5, 1, -2, 3), 2, [0, 2])]).toEqual([0, 2]);
});

test("refuses what does not go together", async () => {
  const refused = (line: string) => lab.run(`${line} -o @refused`).catch((error: Error) => error.message);
  expect(await refused(`${DOMAIN} --data @a.jsonl`)).toContain("--data is for one training");
  expect(await refused(`${DOMAIN} --scenario class --smoothing 0.1`)).toContain("hides some");
  expect(await refused(`${DOMAIN} --eval-tasks x=@a.jsonl`)).toContain("no task has this name");
  expect(await refused(`--init @net.json --data @a.jsonl --method er`)).toContain("there are no tasks");
});
