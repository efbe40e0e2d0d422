/**
 * `train --certified ibp` and `evaluate --probe ibp`: the warm-up's terms, and what is certified on rendered digits.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { courseOf, warmUpTerms } from "../../src/train/losses/certified.ts";
import { tensorsOf } from "../support/checkpoint-values.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { runOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

setDefaultTimeout(120_000);

describe("the warm-up", () => {
  const options = {
    certified: "ibp",
    certified_epsilon: undefined,
    certified_range: undefined,
    certified_start: 0.1,
    certified_warmup: 0.4,
    certified_lambda: 0.5,
  } as const;
  const course = courseOf(options, 0.2, 100);

  test("begins without a radius and without terms, and ends with the whole and none", () => {
    for (const step of [1, 11]) expect(course(step)).toEqual({ epsilon: 0, lambda: 0 });
    for (const step of [52, 100]) expect(course(step)).toEqual({ epsilon: 0.2, lambda: 0 });
    expect(course(31).epsilon).toBeCloseTo(0.1, 12);
    expect(course(31).lambda).toBeCloseTo(0.25, 12);
    const radii = Array.from({ length: 100 }, (_, i) => course(i + 1).epsilon);
    for (const [i, radius] of radii.entries()) if (i > 0) expect(radius).toBeGreaterThanOrEqual(radii[i - 1]!);
  });

  /** Both terms of a box in float64. */
  function termsOf(center: readonly number[], radius: readonly number[], width: number) {
    const n = center.length;
    const total = (list: readonly number[]) => list.reduce((a, b) => a + b, 0);
    const short = (ratio: number) => Math.max(0, 0.5 - ratio) / 0.5;
    const middle = total([...center]) / n;
    const part = (is: (i: number) => boolean, of: (c: number) => number) =>
      total(center.map((c, i) => (is(i) ? of(c) : 0)));
    const active = (i: number) => center[i]! - radius[i]! > 0;
    const inactive = (i: number) => center[i]! + radius[i]! < 0;
    const ratio = (a: number, b: number) => Math.min(a, b) / Math.max(a, b, 1e-12);
    const means = ratio(
      part(active, (c) => c),
      -part(inactive, (c) => c),
    );
    const squares = ratio(...([active, inactive].map((is) => part(is, (c) => (c - middle) ** 2)) as [number, number]));
    return { tightness: short(width / (total([...radius]) / n)), balance: short(means) + short(squares) };
  }

  test.each([
    ["many active", 0.7, 0.2, 0.05],
    ["many inactive", -0.6, 0.3, 0.1],
    ["tight", 0.1, 0.01, 0.4],
  ])("terms and their gradients are those of float64: %s", async (_, mean, wide, width) => {
    const center = normals(3, 21, 1, mean);
    const radius = normals(4, 21, wide).map(Math.abs);
    const { outputs, gradients } = await runOp(await sharedGpu(), {
      inputs: {
        center: { shape: [3, 7], data: center, grad: true },
        radius: { shape: [3, 7], data: radius, grad: true },
        width: { shape: [1], data: Float32Array.of(width) },
      },
      build: (rec, x) => ({ ...warmUpTerms(rec, x.width!, { center: x.center!, radius: x.radius! }) }),
      seeds: { tightness: Float32Array.of(1), balance: Float32Array.of(1) },
    });
    const wanted = termsOf([...center], [...radius], width);
    expect(outputs.tightness![0]!).toBeCloseTo(wanted.tightness, 5);
    expect(outputs.balance![0]!).toBeCloseTo(wanted.balance, 5);
    for (const [name, values] of [
      ["center", center],
      ["radius", radius],
    ] as const)
      for (const [i, gradient] of gradients[name]!.entries()) {
        const at = (delta: number) => {
          const own = [...values].with(i, values[i]! + delta);
          const { tightness, balance } = termsOf(
            ...((name === "center" ? [own, [...radius]] : [[...center], own]) as [number[], number[]]),
            width,
          );
          return tightness + balance;
        };
        expect(Math.abs(gradient - (at(1e-6) - at(-1e-6)) / 2e-6)).toBeLessThan(1e-4 * (1 + Math.abs(gradient)));
      }
  });
});

const folder = mkdtempSync(join(tmpdir(), "ingot-certified-"));
const run = (name: string, ...argv: string[]) => runScript(name, argv, folder);
const TRAIN = ["--data", "train.jsonl", "--batch-size", "50", "--lr", "0.01", "-q"];
const IBP = ["--certified", "ibp", "--certified-epsilon", "0.06", "--certified-range", "0,1"];

async function done(name: string, ...argv: string[]): Promise<string> {
  const { code, text, err } = await run(name, ...argv);
  expect(err).toBe("");
  expect(code).toBe(0);
  return text;
}

beforeAll(async () => {
  const config = { model_type: "mlp", input_size: 81, hidden_sizes: [24, 24], num_labels: 10 };
  writeFileSync(join(folder, "plain.json"), JSON.stringify(config));
  writeFileSync(join(folder, "net.json"), JSON.stringify({ ...config, hidden_norm: "batch", weight_init: "ibp" }));
  const glyphs = ["glyphs", "--canvas", "9", "--shift", "0", "--noise", "0.1"];
  await done("data", ...glyphs, "--size", "500", "-o", "train.jsonl", "-q");
  await done("data", ...glyphs, "--size", "100", "--split", "test", "-o", "test.jsonl", "-q");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Row {
  readonly model: string;
  readonly accuracy: number;
  readonly certified: number;
  readonly after: number;
}
async function rowsOf(...argv: string[]): Promise<Record<string, Row>> {
  const text = await done("evaluate", ...argv, "--data", "test.jsonl", "--json", "-q");
  return Object.fromEntries((JSON.parse(text) as { rows: Row[] }).rows.map((row) => [row.model, row]));
}

test("rows are certified after training by bounds and not before, and no attack breaks one", async () => {
  await done("train", "--init", "net.json", ...TRAIN, "--steps", "70", "-o", "natural/");
  await done("train", "--init", "net.json", ...TRAIN, "--steps", "70", ...IBP, "-o", "certified/");
  const models = ["natural/", "certified/"];
  const bounds = await rowsOf(...models, "--probe", "ibp", "--ibp-epsilon", "0.06", "--ibp-range", "0,1");
  const attacks = await rowsOf(...models, "--attack", "pgd", "--pgd-epsilon", "0.06", "--pgd-range", "0,1");
  for (const model of models) {
    expect(bounds[model]!.certified).toBeLessThanOrEqual(attacks[model]!.after);
    expect(attacks[model]!.after).toBeLessThanOrEqual(bounds[model]!.accuracy);
  }
  expect(bounds["natural/"]!.certified).toBeLessThan(0.2);
  expect(bounds["certified/"]!.certified).toBeGreaterThan(bounds["natural/"]!.certified + 0.3);
  const still = await rowsOf("certified/", "--probe", "ibp", "--ibp-epsilon", "0");
  expect(still["certified/"]!.certified).toBe(still["certified/"]!.accuracy);
});

test("a radius of 0 is training on the rows as they are", async () => {
  const short = [...TRAIN, "--steps", "8", "--optimizer", "sgd"];
  await done("train", "--init", "plain.json", ...short, "-o", "as-they-are/");
  await done(
    "train",
    "--init",
    "plain.json",
    ...short,
    "--certified",
    "ibp",
    "--certified-epsilon",
    "0",
    "-o",
    "no-radius/",
  );
  const [plain, none] = [await tensorsOf(join(folder, "as-they-are")), await tensorsOf(join(folder, "no-radius"))];
  for (const [name, values] of plain)
    for (const [i, value] of values.entries()) expect(Math.abs(none.get(name)![i]! - value)).toBeLessThan(1e-5);
});

test("a run that is cut and resumed gives the same bytes", async () => {
  const line = ["--init", "net.json", ...TRAIN, "--steps", "6", "--accumulate", "2", ...IBP];
  await done("train", ...line, "--state", "whole-state", "--save-every", "3", "-o", "whole/");
  const cut = await run("train", ...line, "--state", "whole-state", "--resume", "--overwrite", "-o", "again/");
  expect(cut.code).toBe(0);
  const bytes = (name: string) => readFileSync(join(folder, name, "model.safetensors"));
  expect(bytes("again").equals(bytes("whole"))).toBe(true);
});

test("what has no bounds, or goes by another loss, is refused", async () => {
  const refused = async (...argv: string[]) => {
    const { code, err } = await run("train", "--init", "net.json", ...TRAIN, "--steps", "1", "-o", "x/", ...argv);
    expect(code).toBe(2);
    return err;
  };
  expect(await refused(...IBP, "--adversarial")).toContain("--adversarial asks for another training");
  expect(await refused(...IBP, "--loss", "aldr")).toContain("--certified does not go with --loss aldr");
  expect(await refused("--certified-epsilon", "0.1")).toContain("--certified");
  expect(await refused("--certified", "ibp", "--certified-range", "1,0")).toContain(
    "--certified-range takes the least",
  );
  expect(await refused("--certified", "ibp", "--certified-range", "0.5,1")).toContain(
    "outside --certified-range 0.5,1",
  );
});
