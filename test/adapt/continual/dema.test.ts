/** A moving average of the weights that takes their place after each task. */
import { afterAll, expect, test } from "bun:test";
import { dataOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b"];
for (const [task, name] of NAMES.entries()) lab.write(`${name}.jsonl`, pairRows(task, 40));
lab.json("net.json", NET);

const RUN = "--init @net.json --tasks @a.jsonl,@b.jsonl --epochs 2 --batch-size 8 --lr 0.02";
const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

test("a share of 1 is plain training, one of 0 gives the start", async () => {
  await lab.run(`${RUN} -o @plain`);
  await lab.run(`${RUN} --method dema --share 1 -o @one`);
  expect(bytesOf("one")).toEqual(bytesOf("plain"));
  await lab.run(`${RUN} --method dema --share 0 -o @zero`);
  await lab.run(`${RUN.replace("0.02", "1e-30")} --method seq -o @start`);
  const floats = (name: string) => new Float32Array(new Uint8Array(bytesOf(name)).buffer);
  const [zero, start] = [floats("zero"), floats("start")];
  expect(zero.some((value) => value !== 0)).toBe(true);
  expect(zero.every((value, i) => Math.abs(value - start[i]!) < 1e-20)).toBe(true);
}, 120_000);

test("goes on bit for bit, in the middle of a task", async () => {
  const line = `${RUN} --method dema --save-every 2`;
  await lab.run(`${line} -o @whole`);
  await lab.run(`${line} -o @cut --resume`, { task: "a", step: 5 });
  await lab.run(`${line} -o @cut --resume`, { task: "b", step: 5 });
  await lab.run(`${line} -o @cut --resume`);
  expect(bytesOf("cut")).toEqual(bytesOf("whole"));
  expect(bytesOf("whole")).not.toEqual(bytesOf("plain"));
}, 120_000);
