/** The unified objective: its cases are methods of their own, and the refresh step changes nothing at delta 0. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { dataOf } from "../../support/checkpoint-values.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

setDefaultTimeout(120_000); // the machine may be busy

const lab = new StreamLab();
afterAll(() => lab.close());
for (const [task, name] of ["a", "b"].entries()) lab.write(`${name}.jsonl`, pairRows(task, 18));
lab.json("net.json", NET);

const RUN = "--init @net.json --tasks @a.jsonl,@b.jsonl --lr 0.03 --batch-size 6 --epochs 1";
let runs = 0;

/** The weights of a result, without the header, which names the method. */
async function weightsOf(options: string): Promise<Uint8Array> {
  const name = `${options.replaceAll(/\W+/g, "-")}-${++runs}`; // a buffer of rows stands beside each
  await lab.run(`${RUN} --save-every 0 ${options} -o @${name}`);
  return dataOf(lab.bytes(`${name}/model.safetensors`));
}

describe("cases of the objective, to the bit:", () => {
  test.each([
    ["der-plus", "--lambda 0"],
    ["der --alpha 0.3", "--lambda 0 --alpha 0.3 --beta 0"],
    ["ewc --lambda 50", "--alpha 0 --beta 0 --lambda 50"],
    ["l2 --lambda 5", "--alpha 0 --beta 0 --lambda 5 --psi squares"],
    ["seq", "--alpha 0 --beta 0 --lambda 0"],
    ["seq", "--buffer 0 --lambda 0"],
  ])("%s is unified %s", async (method, options) => {
    expect(await weightsOf(`--method unified ${options}`)).toEqual(await weightsOf(`--method ${method}`));
  });

  test("distributions are held otherwise than logits, and less strongly by a smaller weight", async () => {
    const all = ["--alpha 1", "--alpha 1 --phi entropy", "--alpha 0.1 --phi entropy"];
    const found: Uint8Array[] = [];
    for (const options of all) found.push(await weightsOf(`--method unified --lambda 0 --beta 0 ${options}`));
    expect(found[0]).not.toEqual(found[1]!);
    expect(found[1]).not.toEqual(found[2]!);
  });

  test("a refresh by nothing leaves DER++ as it is", async () => {
    const plain = await weightsOf("--method der-plus");
    expect(await weightsOf("--method der-plus --refresh --refresh-delta 0")).toEqual(plain);
    expect(await weightsOf("--method unified --lambda 0 --refresh --refresh-delta 0")).toEqual(plain);
    expect(await weightsOf("--method der-plus --refresh --refresh-delta 1e-3")).not.toEqual(plain);
  });
});

test("goes on bit for bit", async () => {
  const line = `${RUN} --save-every 1 --method unified`;
  const whole = await lab.run(`${line} -o @whole`);
  await lab.run(`${line} -o @cut --resume`, { task: "b", step: 2 });
  const end = await lab.run(`${line} -o @cut --resume`);
  expect(end.json).toEqual(whole.json);
  expect(lab.bytes("cut/model.safetensors")).toEqual(lab.bytes("whole/model.safetensors"));
});
