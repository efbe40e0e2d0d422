/** Prototypes kept by relations to new samples, on classes that come two by two. */
import { afterAll, expect, test } from "bun:test";
import { tensorsOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) {
  lab.write(`${name}.jsonl`, pairRows(task, 40, { label: 2 * task }));
  lab.write(`${name}-held.jsonl`, pairRows(task, 20, { first: 40, label: 2 * task }));
}
lab.json("net.json", { ...NET, num_labels: 6 });

const HELD = "--eval-tasks a=@a-held.jsonl,b=@b-held.jsonl,c=@c-held.jsonl";
const STREAM = `--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl ${HELD}  --save-every 0`;
const RUN = `${STREAM} --epochs 20 --batch-size 10 --lr 0.01`;

const weights = (name: string) => tensorsOf(lab.at(name));

test("old classes are known still, without an old row; the head's rows are prototypes", async () => {
  const seq = await lab.run(`${RUN} -o @seq`);
  const prd = await lab.run(`${RUN} --method prd -o @prd`);
  const [kept, lost] = [prd.json.metrics.accuracy, seq.json.metrics.accuracy];
  expect(kept.average).toBeGreaterThan(lost.average + 0.15);
  const found = await weights("prd");
  const head = found.get("classifier.weight")!;
  for (let row = 0; row < 6; row++) expect(Math.hypot(...head.subarray(12 * row, 12 * (row + 1)))).toBeCloseTo(1, 5);
  expect([...found.get("classifier.bias")!]).toEqual(Array(6).fill(0));
  const steps = prd.events.filter(({ event }) => event === "step");
  expect(steps.filter(({ task }) => task === "a").every((step) => !("relation_loss" in step))).toBe(true);
  // The first step of a task begins at the weights that are kept.
  const first = steps.find(({ task }) => task === "b")!;
  expect(Math.abs(first.relation_loss as number)).toBeLessThan(1e-6);
  expect(steps.filter(({ task }) => task === "c").some((step) => (step.relation_loss as number) > 1e-4)).toBe(true);
}, 120_000);

test("goes on bit for bit", async () => {
  const line = `${RUN.replace("--save-every 0", "--save-every 3").replace("20", "2")} --method prd`;
  const whole = await lab.run(`${line} -o @whole`);
  for (const [task, step] of [
    ["a", 5],
    ["b", 7],
  ] as const)
    await lab.run(`${line} -o @cut --resume`, { task, step });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  expect(await weights("cut")).toEqual(await weights("whole"));
}, 120_000);

test("two views of a row: their noise is drawn anew for each batch, and a run goes on bit for bit", async () => {
  const line = `${RUN.replace("--save-every 0", "--save-every 3").replace("20", "2")} --method prd --view-noise 0.3`;
  const whole = await lab.run(`${line} -o @views`);
  await lab.run(`${line} -o @views-cut --resume`, { task: "b", step: 7 });
  const end = await lab.run(`${line} -o @views-cut --resume`);
  expect(end.json).toEqual(whole.json);
  const found = await weights("views");
  expect(await weights("views-cut")).toEqual(found);
  expect(found).not.toEqual(await weights("whole"));
  expect(lab.run(`${line} --view-shift 1 -o @flat`)).rejects.toThrow("--view-shift is for images of channels");
}, 120_000);
