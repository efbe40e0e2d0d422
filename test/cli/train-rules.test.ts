/** `--softmask` and `--penalty-weight`: what holds the weights of a training back. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { valuesOf } from "../support/checkpoint-values.ts";
import { runScript, startScript } from "../support/command.ts";
import { TINY_TEXT } from "../support/tiny-models.ts";
import { type WeightFile, writeWeights } from "../support/weight-file.ts";

setDefaultTimeout(120_000);

let folder: string;
const at = (name: string) => join(folder, name);
const run = (line: string) => {
  const [script, ...argv] = line.split(/\s+/);
  return runScript(script!, argv, folder);
};
async function done(line: string): Promise<string> {
  const { code, err } = await run(line);
  if (code !== 0) throw new Error(`${line}: ${err}`);
  return err;
}
const TRAIN = "--data rows.jsonl --steps 4 --batch-size 4 --save-every 0 -q";
const train = (out: string, rest: string) =>
  done(`train base.safetensors ${TRAIN} ${/--lr/.test(rest) ? "" : "--lr 0.01 "}${rest} -o ${out}.safetensors`);

const weights = (name: string) => valuesOf(at(`${name}.safetensors`));

/** A value for each row, column or weight of all tensors of the base. */
async function fileOf(name: string, unit: (shape: readonly number[]) => number[], value: (i: number) => number) {
  const tensors: Record<string, WeightFile[string]> = {};
  for (const [tensor, { shape }] of await weights("base")) {
    const own = unit(shape);
    const size = own.reduce((a, b) => a * b, 1);
    tensors[tensor] = { shape: own, values: Float32Array.from({ length: size }, (_, i) => value(i)) };
  }
  await writeWeights(at(name), tensors);
}
const whole = (shape: readonly number[]) => shape.map(() => 1);
const rows = (shape: readonly number[]) => shape.map((n, axis) => (axis === 0 ? n : 1));

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "ingot-rules-"));
  const config = { ...TINY_TEXT.llama, vocab_size: 264, hidden_size: 12, num_hidden_layers: 1, head_dim: 4 };
  writeFileSync(at("tiny.json"), JSON.stringify(config));
  const lines = Array.from({ length: 16 }, (_, i) => ({ prompt: `${i}:`, completion: ` ${(i * 7) % 16}` }));
  writeFileSync(at("rows.jsonl"), lines.map((row) => `${JSON.stringify(row)}\n`).join(""));
  await done("train --init tiny.json --tokenizer byte --data rows.jsonl --steps 1 -q -o base.safetensors");
  await train("plain", "");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("--softmask", () => {
  test("masks of 0 leave every byte of the weights, masks of 1 leave the model as it was", async () => {
    await fileOf("none.safetensors", rows, () => 0);
    await fileOf("all.safetensors", whole, () => 1);
    for (const apply of ["update", "grad"])
      await train(`free-${apply}`, `--softmask none.safetensors --softmask-apply ${apply}`);
    await train("held", "--softmask all.safetensors");
    expect(await weights("free-update")).toEqual(await weights("plain"));
    expect(await weights("free-grad")).toEqual(await weights("plain"));
    expect(await weights("held")).toEqual(await weights("base"));
  });

  test("rows of mask 1 stay, the others learn; of several files the largest mask holds", async () => {
    await fileOf("even.safetensors", rows, (i) => (i % 2 === 0 ? 1 : 0));
    await fileOf("third.safetensors", rows, (i) => (i % 3 === 0 ? 1 : 0.25));
    await train("both", "--softmask even.safetensors --softmask third.safetensors");
    const [base, both] = [await weights("base"), await weights("both")];
    for (const [name, { shape, values }] of both) {
      if (/embed|lm_head/.test(name)) continue; // most of their rows are of no token
      const columns = values.length / shape[0]!;
      const from = base.get(name)!.values;
      for (let row = 0; row < shape[0]!; row++) {
        const stays = [...values.subarray(row * columns, (row + 1) * columns)].every(
          (w, i) => w === from[row * columns + i],
        );
        expect(`${name} ${row} ${stays}`).toBe(`${name} ${row} ${row % 2 === 0 || row % 3 === 0}`);
      }
    }
  });

  test("what does not fit is refused by name before any step", async () => {
    const named = "model.norm.weight";
    await writeWeights(at("odd.safetensors"), { [named]: { shape: [5], values: new Float32Array(5) } });
    await writeWeights(at("other.safetensors"), { "no.weight": { shape: [1], values: new Float32Array(1) } });
    await writeWeights(at("large.safetensors"), { [named]: { shape: [1], values: Float32Array.of(1.5) } });
    for (const [file, rest, message] of [
      ["odd", "", `${named} is (5), and the weight is (12)`],
      ["other", "", "the model has no weight no.weight"],
      ["large", "", `value 0 of ${named} is 1.5; masks are from 0 to 1`],
      ["large", "--freeze model.norm.weight", "has masks of no weight that is trained"],
    ]) {
      const { code, err } = await run(
        `train base.safetensors ${TRAIN} --softmask ${file}.safetensors ${rest} -o x.safetensors`,
      );
      expect(code).toBe(2);
      expect(err).toContain(message!);
    }
  });

  test("holds units of unlearning and of distillation, too", async () => {
    writeFileSync(
      at("forget.jsonl"),
      readFileSync(at("rows.jsonl"))
        .subarray(0, 60)
        .toString()
        .replace(/[^\n]*$/, ""),
    );
    const rest = "--steps 2 --save-every 0 -q --softmask all.safetensors";
    await done(`unlearn base.safetensors --method grad-ascent --forget forget.jsonl ${rest} -o kept.safetensors`);
    await done(
      `distill --teacher plain.safetensors --student base.safetensors --data rows.jsonl ${rest} -o taught.safetensors`,
    );
    expect(await weights("kept")).toEqual(await weights("base"));
    expect(await weights("taught")).toEqual(await weights("base"));
  });
});

describe("--penalty-weight", () => {
  test("0 leaves every byte; a large one keeps the weights nearer to the start", async () => {
    await train("zero", "--penalty-weight 0");
    await train("near", "--penalty-weight 30 --optimizer sgd --lr 0.02");
    await train("far", "--optimizer sgd --lr 0.02");
    expect(await weights("zero")).toEqual(await weights("plain"));
    const base = await weights("base");
    const way = async (name: string) =>
      [...(await weights(name))].reduce(
        (sum, [tensor, { values }]) => sum + values.reduce((a, w, i) => a + (w - base.get(tensor)!.values[i]!) ** 2, 0),
        0,
      );
    expect(await way("near")).toBeLessThan(0.7 * (await way("far")));
  });

  test("importances of 1 are L2-SP to the bit; a run that resumes has its anchor", async () => {
    await fileOf(
      "ones.safetensors",
      (shape) => [...shape],
      () => 1,
    );
    await train("l2", "--penalty-weight 2");
    await train("ewc", "--penalty-weight 2 --penalty-importance ones.safetensors");
    expect(await weights("ewc")).toEqual(await weights("l2"));
    const argv = "base.safetensors --data rows.jsonl --batch-size 4 --lr 0.01 -q --penalty-weight 2 --steps 40";
    await done(`train ${argv} --save-every 0 -o once.safetensors`);
    const cut = [...argv.split(" "), "-o", "cut.safetensors", "--save-every", "2", "--log", "cut.log"];
    const child = startScript("train", cut, folder);
    const reached = () => existsSync(at("cut.log")) && readFileSync(at("cut.log"), "utf8").includes('"step":5');
    while (child.exitCode === null && !reached()) await Bun.sleep(2);
    child.kill(9);
    await child.exited;
    expect(existsSync(at("cut.safetensors"))).toBe(false);
    await done(`train ${cut.join(" ")} --resume`);
    expect(await weights("cut")).toEqual(await weights("once"));
  });

  test("reads what evaluate --probe fisher and unlearn importance write", async () => {
    await done(
      "evaluate base.safetensors --data rows.jsonl --probe fisher --fisher-rows 3 --fisher-save f.safetensors -q",
    );
    await done("unlearn importance base.safetensors --retain rows.jsonl -q -o i.safetensors");
    await train("fisher", "--penalty-weight 100 --penalty-importance f.safetensors");
    await train("importance", "--penalty-weight 100 --penalty-importance i.safetensors");
    for (const name of ["fisher", "importance"]) expect(await weights(name)).not.toEqual(await weights("plain"));
  });
});
