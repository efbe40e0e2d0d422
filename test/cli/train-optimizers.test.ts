/** Optimizers with rules from the shell: a killed run goes on as if it had not been, and memory is what was told. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataOf } from "../support/checkpoint-values.ts";
import { runScript, startScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";

setDefaultTimeout(120_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-optimizers-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true }));

async function good(line: string) {
  const done = await runScript("train", line.split(" "), folder);
  expect([done.code, done.err]).toEqual([0, expect.anything()]);
  return done;
}
const text = (name: string) => (existsSync(at(name)) ? readFileSync(at(name), "utf8") : "");
const linesOf = (name: string) =>
  text(name)
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
const RUN = "--data rows.jsonl --batch-size 2 --lr 1e-3";

beforeAll(async () => {
  writeFileSync(at("tiny.json"), JSON.stringify({ ...TINY_TEXT.llama!, vocab_size: 264 }));
  const rows = Array.from({ length: 12 }, (_, i) => ({ text: `row ${i} of ${i * i}` }));
  writeFileSync(at("rows.jsonl"), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  await good(`--init tiny.json --tokenizer byte ${RUN} --steps 1 --save-every 0 -o base/`);
});

test.each(["muon", "adafactor", "adam-mini", "adamw-8bit", "sophia"])(
  "%s: killed, resumed, the same bytes; memory as told",
  async (name) => {
    const asked = `base/ ${RUN} --optimizer ${name} --steps 12`;
    const cut = `${asked} --save-every 1 --log ${name}.log -o ${name}-cut/ --resume`.split(" ");
    const child = startScript("train", cut, folder);
    while (child.exitCode === null && text(`${name}.log`).split('"event":"step"').length < 5) await Bun.sleep(2);
    expect(child.exitCode).toBeNull();
    child.kill(9);
    await child.exited;
    await good(cut.join(" "));
    await good(`${asked} --save-every 0 --log ${name}-whole.log -o ${name}-whole/`);
    const bytes = (which: string) => dataOf(readFileSync(at(`${name}-${which}/model.safetensors`)));
    expect(bytes("cut").equals(bytes("whole"))).toBe(true);
    const log = linesOf(`${name}-whole.log`);
    const { memory } = log.find((line) => line.memory);
    const steps = log.filter(({ event }) => event === "step");
    expect(Math.abs(steps.at(-1).gpu_bytes / memory.total - 1)).toBeLessThan(0.01);
  },
);

test("schedule-free measures and saves the average, and looking at it on the way changes nothing", async () => {
  writeFileSync(at("held.jsonl"), `${JSON.stringify({ text: "row 3 of 7, held out" })}\n`);
  const asked = `base/ ${RUN} --optimizer schedule-free --schedule constant --steps 6 --save-every 0`;
  await good(`${asked} -o plain/`);
  await good(`${asked} --eval-data held.jsonl --eval-every 2 --log looked.log -o looked/`);
  const bytes = (which: string) => dataOf(readFileSync(at(`${which}/model.safetensors`)));
  expect(bytes("looked").equals(bytes("plain"))).toBe(true);
  const evaluated = await runScript("evaluate", "looked/ --data held.jsonl --metric loss --json".split(" "), folder);
  const [row] = JSON.parse(evaluated.text).rows;
  const told = linesOf("looked.log").findLast(({ event, name }) => event === "eval" && name === "loss");
  expect(told.step).toBe(6);
  expect(Math.abs(told.value - row.value)).toBeLessThan(1e-5);
});
