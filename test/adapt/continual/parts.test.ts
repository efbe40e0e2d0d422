/** O-LoRA on a stream, and refresh learning beside other methods. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { partOf } from "../../../src/adapt/continual/rank-parts.ts";
import { dataOf, valuesOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());
for (const [task, name] of ["a", "b", "c"].entries()) lab.write(`${name}.jsonl`, pairRows(task, 24));
lab.json("net.json", NET);
const TASKS = "--tasks @a.jsonl,@b.jsonl,@c.jsonl --lr 0.03 --batch-size 6";

/** What follows the header of a file. */
const bytesOf = (name: string) => dataOf(lab.bytes(name));

const factors = (name: string) => valuesOf(lab.at(name));

describe("olora", () => {
  const LORA = "--lora --lora-rank 7 --lora-targets all-linear --save-every 0 --epochs 4";
  beforeAll(async () => {
    await lab.run(`--init @net.json --tasks @a.jsonl --lr 0.01 --epochs 1 --save-every 0 -o @base`);
  });

  test("each task has its rows of A and columns of B, and all of them learn", async () => {
    expect([0, 1, 2].map((task) => partOf(task, 3, 7))).toEqual([
      { first: 0, end: 2 },
      { first: 2, end: 4 },
      { first: 4, end: 7 },
    ]);
    await lab.run(`@base ${TASKS} --method olora ${LORA} -o @whole`);
    const whole = await factors("whole");
    const fresh = await (async () => {
      await lab.run(`@base ${TASKS} --method olora ${LORA} --lr 1e-30 -o @fresh`.replace("--lr 0.03 ", ""));
      return factors("fresh");
    })();
    expect(whole.size).toBe(2);
    for (const [name, { shape, values }] of whole) {
      const [rows, columns] = shape as [number, number];
      expect(name.endsWith("lora_A.weight") ? rows : columns).toBe(7);
      // Every part has learnt.
      const moved = new Set<number>();
      for (const [i, x] of values.entries())
        if (x !== fresh.get(name)!.values[i]!)
          moved.add(name.endsWith("lora_A.weight") ? Math.floor(i / columns) : i % columns);
      expect(moved.size).toBe(7);
    }
  });

  test("the larger lambda, the less do new directions lie along those before", async () => {
    const overlap = async (lambda: number) => {
      await lab.run(`@base ${TASKS} --method olora --lambda ${lambda} ${LORA} -o @overlap-${lambda}`);
      let sum = 0;
      for (const [name, { shape, values }] of await factors(`overlap-${lambda}`)) {
        if (!name.endsWith("lora_A.weight")) continue;
        const [, columns] = shape as [number, number];
        for (let row = 2; row < 7; row++)
          for (let old = 0; old < partOf(row < 4 ? 1 : 2, 3, 7).first; old++) {
            let product = 0;
            for (let k = 0; k < columns; k++) product += values[row * columns + k]! * values[old * columns + k]!;
            sum += product ** 2;
          }
      }
      return sum;
    };
    expect(await overlap(20)).toBeLessThan(0.5 * (await overlap(0)));
  });

  test("refused before any work: no adapter, a rank with no part for each task", async () => {
    const run = (options: string) => lab.run(`@base ${TASKS} --method olora ${options} --epochs 1 -o @x`);
    await expect(run("")).rejects.toThrow("no adapter is trained");
    await expect(run("--lora --lora-rank 2")).rejects.toThrow("a rank of 2 has no part for each of 3 tasks");
    await expect(run("--lora --lora-rank 8 --dora")).rejects.toThrow("is trained, too");
  });
});

describe("--refresh", () => {
  const run = (options: string) => lab.run(`--init @net.json ${TASKS} --epochs 1 --save-every 1 ${options}`);
  test.each(["er", "ewc"])("a delta of 0 leaves %s as it is to the bit, and a larger one does not", async (method) => {
    await run(`--method ${method} -o @${method}`);
    await run(`--method ${method} --refresh --refresh-delta 0 -o @${method}-0`);
    await run(`--method ${method} --refresh --refresh-delta 1e-3 -o @${method}-1`);
    expect(bytesOf(`${method}-0/model.safetensors`)).toEqual(bytesOf(`${method}/model.safetensors`));
    expect(bytesOf(`${method}-1/model.safetensors`)).not.toEqual(bytesOf(`${method}/model.safetensors`));
  });

  test("goes on where it was cut off", async () => {
    const line = "--method er --refresh --refresh-delta 1e-3";
    const whole = await run(`${line} -o @refresh-whole`);
    const cut = (task: string) =>
      lab.run(`--init @net.json ${TASKS} --epochs 1 --save-every 1 ${line} -o @refresh-cut --resume`, {
        task,
        step: 2,
      });
    for (const task of ["b", "c"]) await cut(task);
    const end = await run(`${line} -o @refresh-cut --resume`);
    expect(end.json).toEqual(whole.json);
    expect(bytesOf("refresh-cut/model.safetensors")).toEqual(bytesOf("refresh-whole/model.safetensors"));
  });
});
