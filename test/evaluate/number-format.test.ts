/**
 * The probe of number formats says what rounding on the host does, and --attack quantize measures a model so rounded.
 */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mergeOnCpu } from "../../src/checkpoint/adapter/adapter.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import { formatError, snrOf } from "../../src/checkpoint/numbers/format-error.ts";
import { roundRows } from "../../src/checkpoint/numbers/quantize-rows.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import { createWriter } from "../../src/checkpoint/write/write.ts";
import { loadMethod } from "../../src/method/registry.ts";
import { trainLab } from "../cli/train-lab.ts";

setDefaultTimeout(120_000);
const { at, run } = trainLab();
const told = async (line: string) => {
  const { text, err } = await run("evaluate", `llama-tied --data llama-tied.jsonl --json -q ${line}`.split(" "));
  expect(err).toBe("");
  return JSON.parse(text);
};
const KEPT = /embed|norm/;

test("signal over noise of every matrix, of all of them, and of the worst", async () => {
  const { rows } = await told("--probe number-format --number-format-names mxfp4,bf16");
  expect(rows.map(({ format }: { format: string }) => format)).toEqual(["mxfp4", "bf16"]);
  const model = await openPlain(at("llama-tied"));
  const entries = [...model.tensors.values()].filter(({ name }) => !KEPT.test(name));
  for (const { format: name, tensors, worst, snr, bits, overflow, worst_tensor } of rows) {
    const format = await loadMethod("number-format", name);
    const errors = await Promise.all(
      entries.map(async (entry) => {
        const [rows, columns] = [entry.shape[0]!, entry.shape[1]!];
        return { name: entry.name, ...formatError(await mergeOnCpu(entry), rows, columns, format) };
      }),
    );
    expect(tensors.map(({ tensor }: { tensor: string }) => tensor)).toEqual(entries.map((entry) => entry.name));
    const finite = (x: number) => (Number.isFinite(x) ? x : null);
    expect(tensors.map((own: { snr: number }) => own.snr)).toEqual(errors.map((error) => finite(snrOf(error))));
    const sum = (of: "signal" | "noise" | "overflows" | "count") => errors.reduce((all, error) => all + error[of], 0);
    expect(snr).toBe(finite(snrOf({ signal: sum("signal"), noise: sum("noise") })));
    const least = errors.toSorted((a, b) => snrOf(a) - snrOf(b))[0]!;
    expect([worst, worst_tensor]).toEqual([finite(snrOf(least)), least.name]);
    expect(overflow).toBeCloseTo(sum("overflows") / sum("count"), 12);
    expect(bits).toBeCloseTo(name === "bf16" ? 16 : 4.25 + 0, 0);
  }
  model.close();
});

test("--attack quantize measures what a file of the rounded values gives", async () => {
  const { rows, format } = await told("--attack quantize --quantize-format nf4 --metric loss");
  expect(format).toBe("nf4");
  const nf4 = await loadMethod("number-format", "nf4");
  const model = await openPlain(at("llama-tied"));
  const writer = await createWriter(at("rounded/"), {
    tensors: [...model.tensors.values()],
    files: model.files,
    lineage: [],
  });
  for (const entry of model.tensors.values()) {
    const values = await mergeOnCpu(entry);
    const [rows, columns] = [entry.shape[0]!, entry.shape[1]!];
    const rounded = KEPT.test(entry.name) ? values : roundRows(values, rows, columns, nf4);
    await writer.write(entry.name, encodeFloats(rounded, entry.dtype));
  }
  await writer.finish();
  model.close();
  const { text } = await run(
    "evaluate",
    "rounded llama-tied --data llama-tied.jsonl --metric loss --bootstrap 0 --json -q".split(" "),
  );
  const [after, before] = JSON.parse(text).rows.map(({ value }: { value: number }) => value);
  expect([rows[0].before, rows[0].after]).toEqual([before, after]);
  expect(after).not.toBe(before);
});

test("what goes wrong is said before a model is read", async () => {
  const refused = async (line: string) =>
    (await run("evaluate", `llama-tied --data llama-tied.jsonl ${line}`.split(" "))).err;
  expect(await refused("--probe number-format --number-format-names int9")).toContain(
    "--number-format-names: unknown number format int9\n  hint: did you mean int",
  );
  expect(await refused("--attack quantize --quantize-format nf4 --quantize 4")).toContain(
    "--quantize-format says how to round, and so does --quantize",
  );
});
