/** Ways to begin an adapter in a stream of tasks: measured on the first task's rows, and resumed as they were. */
import { afterAll, expect, test } from "bun:test";
import { runScript } from "../../support/command.ts";
import { NET, pairRows, StreamLab } from "./lab.ts";

const lab = new StreamLab();
afterAll(() => lab.close());

for (const [task, name] of ["a", "b"].entries()) lab.write(`${name}.jsonl`, pairRows(task, 20));
lab.json("net.json", { ...NET, hidden_sizes: [12, 10] });
await runScript("train", "--init net.json --data a.jsonl --steps 20 --lr 0.05 -q -o base".split(" "), lab.folder);
const SHORT = "--lora --lora-rank 2 --steps 3 --batch-size 4 --lr 0.02";
const weights = (name: string) => {
  const bytes = lab.bytes(`${name}/adapter_model.safetensors`);
  return bytes.subarray(8 + Number(bytes.readBigUInt64LE(0)));
};

test.each(["eva", "corda", "lora-ga", "pissa"])(
  "%s",
  async (init) => {
    const rows = init === "pissa" ? "" : ` --${init}-rows 8`;
    const line = `${SHORT} --adapter-init ${init}${rows}`;
    // One task alone is a training on its rows.
    await lab.run(`@base --tasks @a.jsonl ${line} --save-every 0 -o @${init}-one`);
    const argv = `base --data a.jsonl ${line} --save-every 0 -q -o ${init}-trained`.split(" ");
    expect((await runScript("train", argv, lab.folder)).err).toBe("");
    expect(weights(`${init}-one`)).toEqual(weights(`${init}-trained`));
    const two = `@base --tasks @a.jsonl,@b.jsonl ${line} --method er --buffer 8 --save-every 2`;
    const whole = await lab.run(`${two} -o @${init}-whole`);
    await lab.run(`${two} -o @${init}-cut --resume`, { task: "b", step: 2 });
    expect((await lab.run(`${two} -o @${init}-cut --resume`)).json).toEqual(whole.json);
    expect(weights(`${init}-cut`)).toEqual(weights(`${init}-whole`));
    expect(weights(`${init}-one`)).not.toEqual(weights(`${init}-whole`));
    const planned = await lab.run(`${two} --dry-run -o @${init}-none`);
    expect(planned.printed).toContain("GPU memory");
  },
  60_000,
);
