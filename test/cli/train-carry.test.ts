/** Runs of `train` that go on with the optimizer of a run on other data. */
import { describe, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { trainLab } from "./train-lab.ts";

const { at, run } = trainLab();

// One batch holds all rows, so that two runs see what one does.
const WORLD = "--data llama-tied-first.jsonl --batch-size 2 --no-shuffle --lr 0.01 --save-every 0 -q".split(" ");
const INFINITE = "--schedule infinite --warmup 2 --cooldown 3".split(" ");
/** A digest of what follows the header, which tells of the run. */
function weights(folder: string): bigint {
  const bytes = readFileSync(join(at(folder), "model.safetensors"));
  return Bun.hash.xxHash64(bytes.subarray(8 + Number(bytes.readBigUInt64LE(0))));
}
const rates = (log: string): number[] =>
  readFileSync(at(log), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { event: string; lr: number })
    .flatMap(({ event, lr }) => (event === "step" ? [lr] : []));
const train = async (model: string, out: string, line: string) => {
  const { err } = await run("train", [
    model,
    ...WORLD,
    ...line.split(" "),
    ...["--log", `${out}.log`, "-o", `${out}/`],
  ]);
  return err;
};

describe("a state that is kept", () => {
  test("is carried so that two runs of one schedule are one run, bit for bit", async () => {
    const schedule = INFINITE.join(" ");
    expect(await train("llama-tied", "whole", `--steps 8 ${schedule}`)).toBe("");
    expect(await train("llama-tied", "first", `--steps 4 ${schedule} --keep-state`)).toBe("");
    expect(await train("first", "second", `--steps 4 ${schedule} --carry first-state --keep-state`)).toBe("");
    expect([...rates("first.log"), ...rates("second.log")]).toEqual(rates("whole.log"));
    expect(weights("second")).toEqual(weights("whole"));

    // The steps of all runs before count.
    expect(await train("llama-tied", "longer", `--steps 10 ${schedule}`)).toBe("");
    expect(await train("second", "third", `--steps 2 ${schedule} --carry second-state`)).toBe("");
    expect(existsSync(at("third-state"))).toBeFalse();
    expect(weights("third")).toEqual(weights("longer"));

    // An anneal branches off it.
    expect(await train("llama-tied", "annealed", `--steps 12 --anneal 4 ${schedule}`)).toBe("");
    expect(await train("second", "branch", `--steps 4 --anneal 4 ${schedule} --carry second-state`)).toBe("");
    expect(weights("branch")).toEqual(weights("annealed"));
  });

  test("gives a schedule of one run its optimizer alone", async () => {
    await train("llama-tied", "before", "--steps 3 --schedule constant --keep-state");
    const cosine = "--steps 3 --schedule cosine";
    await train("before", "fresh", cosine);
    await train("before", "carried", `${cosine} --carry before-state`);
    expect(rates("carried.log")).toEqual(rates("fresh.log"));
    expect(weights("carried")).not.toEqual(weights("fresh"));
  });

  test("is not written over, and what does not fit is refused before work", async () => {
    expect(await train("llama-tied", "kept", "--steps 1 --keep-state")).toBe("");
    expect(await train("llama-tied", "kept", "--steps 1 --keep-state --overwrite")).toContain(
      "kept-state holds the state that --keep-state left after step 1",
    );
    expect(await train("llama-tied", "none", "--steps 1 --carry nowhere")).toContain(
      "--carry nowhere holds no state of a run",
    );
    expect(await train("llama-tied", "other", "--steps 1 --optimizer lion --carry kept-state")).toContain(
      "--carry kept-state holds states of adamw, and this run has --optimizer lion",
    );
    expect(await train("llama-tied", "lora", "--steps 1 --lora --carry kept-state")).toContain(
      "carry the state of a run that trained the same weights",
    );
  });
});
