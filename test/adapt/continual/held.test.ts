/** Methods that hold weights or gradients: penalties, and projections. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dataOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());

const NAMES = ["a", "b", "c"];
for (const [task, name] of NAMES.entries()) lab.write(`${name}.jsonl`, pairRows(task, 24));
lab.json("net.json", NET);
const STREAM = "--init @net.json --tasks @a.jsonl,@b.jsonl,@c.jsonl --lr 0.03 --batch-size 6";

/** The weights of a result, without the header, which names the method. */
const bytesOf = (name: string) => dataOf(lab.bytes(`${name}/model.safetensors`));

describe("forgets less than training in sequence:", () => {
  const run = async (method: string) => {
    const { json } = await lab.run(`${STREAM} --method ${method} --epochs 6 --save-every 0 -o @${method}`);
    return json.metrics.loss.forgetting as number;
  };
  let plain: number;
  beforeAll(async () => {
    plain = await run("seq");
  });
  test.each(["l2", "ewc", "si", "mas", "ogd", "a-gem", "gem"])("%s", async (method) => {
    expect(plain).toBeGreaterThan(0.2);
    expect(await run(method)).toBeLessThan(0.6 * plain);
  });
});

describe("nothing that holds is training in sequence, bit for bit:", () => {
  const SHORT = "--epochs 1 --save-every 0";
  beforeAll(async () => {
    await lab.run(`${STREAM} --method seq ${SHORT} -o @plain`);
  });
  const NOTHING: Record<string, string> = {
    l2: "--lambda 0",
    ewc: "--lambda 0",
    si: "--lambda 0",
    mas: "--lambda 0",
    "a-gem": "--buffer 0",
    gem: "--buffer 0",
  };
  test.each(Object.entries(NOTHING))("%s %s", async (method, options) => {
    await lab.run(`${STREAM} --method ${method} ${options} ${SHORT} -o @nothing-${method}`);
    expect(bytesOf(`nothing-${method}`)).toEqual(bytesOf("plain"));
  });
});
