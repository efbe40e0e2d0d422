/** Runs of the unlearn script that are killed and resumed. */
import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync } from "node:fs";
import { ROWS, Workshop } from "./unlearn-models.ts";

setDefaultTimeout(120_000);
const shop = await Workshop.make();
afterAll(() => shop.close());
const { at, bytesOf, steps, unlearn } = shop;

describe("a run that was killed goes on as if it had not been", () => {
  const RUNS = {
    npo: "--method npo",
    pdu: "--method pdu",
    isolate: "--method isolate --layers 0-1",
    // What the run has forgotten by then would be traced to other blocks, or to none.
    auto: "--method isolate --layers auto --forget named.jsonl",
    // What it has forgotten by then would not be sampled again.
    altpo: "--method altpo --temperature 2",
    sam: "--method npo --smooth sam",
    wa: "--method npo --smooth wa --average-from 3",
  };
  test.each(Object.entries(RUNS))("%s", async (name, method) => {
    const rows = method.includes("--forget") ? ROWS.replace("--forget forget.jsonl ", "") : ROWS;
    const line = `base ${method} ${rows} --steps 12 --lr 0.005 --save-every 1`;
    const log = `${name}-cut.log`;
    const resume = `${line} -o ${name}-cut/ --resume --log ${log}`;
    const whole = unlearn(`${line} -o ${name}-whole/`);
    const child = shop.start(resume);
    while (child.exitCode === null && !steps(log).some(({ step }) => step! >= 5)) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    expect(existsSync(at(`${name}-cut-state`))).toBe(true);
    expect((await unlearn(resume)).err).toBe("");
    const went = steps(log).map(({ step }) => step);
    expect(went.filter((step) => step === 1)).toHaveLength(1);
    expect(went.at(-1)).toBe(12);
    expect((await whole).err).toBe("");
    expect(bytesOf(`${name}-cut/model.safetensors`).equals(bytesOf(`${name}-whole/model.safetensors`))).toBe(true);
    expect(existsSync(at(`${name}-cut-state`))).toBe(false);
  });
});
