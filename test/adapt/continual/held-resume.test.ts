/** Methods that hold weights or gradients go on where they were cut off. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
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

describe("a stream that is cut off in its second task and in its third goes on as if it had not been:", () => {
  test.each(["ewc", "si", "ogd", "gem"])("%s", async (method) => {
    const line = `${STREAM} --method ${method} --epochs 1 --save-every 1`;
    const whole = await lab.run(`${line} -o @${method}-whole`);
    for (const task of ["b", "c"]) await lab.run(`${line} -o @${method}-cut --resume`, { task, step: 2 });
    const end = await lab.run(`${line} -o @${method}-cut --resume`);
    expect(end.json).toEqual(whole.json);
    expect(bytesOf(`${method}-cut`)).toEqual(bytesOf(`${method}-whole`));
  });
});
