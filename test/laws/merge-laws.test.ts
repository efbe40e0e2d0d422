/**
 * What holds for every merge method, and the laws that each claims. Methods are found in their folder: new ones are
 * covered at once.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TensorEntry } from "../../src/checkpoint/checkpoint.ts";
import { encodeFloats } from "../../src/checkpoint/decode.ts";
import type { Dtype } from "../../src/checkpoint/dtype.ts";
import { commonOptions, joinTables } from "../../src/cli/shared-options.ts";
import type { Gpu } from "../../src/gpu/gpu.ts";
import { MERGE_LAWS, type MergeLaw, type MergeMethod } from "../../src/merge/contract.ts";
import { InputWatch } from "../../src/merge/job/input-watch.ts";
import { mergekitOptions } from "../../src/merge/mergekit-options.ts";
import { validator } from "../../src/merge/plan/value-checks.ts";
import { claimed } from "../../src/method/laws.ts";
import { methodFiles } from "../../src/method/registry.ts";
import { fileOf } from "../checkpoint/sample.ts";
import { EPSILON, expectWithin, rounded } from "../support/floats.ts";
import { sharedGpu } from "../support/gpu.ts";
import { normals } from "../support/random.ts";
import {
  allMethods,
  type Given,
  gramFile,
  type Model,
  merged,
  mergedBytes,
  modelOf,
  SHAPES,
  type Shapes,
  tasksOf,
} from "./harness.ts";

setDefaultTimeout(120_000); // the machine may be busy

const methods = await allMethods();
let gpu: Gpu;
let folder: string;

/** Writes a model as a file, for options that name a checkpoint. */
async function sideFile(name: string, model: Model, shapes: Shapes = SHAPES): Promise<string> {
  const tensors = [...model].map(([key, values]) => {
    const data = encodeFloats(values, "F32");
    return { name: key, dtype: "F32" as const, shape: [...shapes[key]!], bytes: data.length, data };
  });
  const path = join(folder, `${name}.safetensors`);
  await Bun.write(path, fileOf(tensors));
  await Bun.write(gramFile(path), fileOf(gramMatrices(shapes)));
  return path;
}

/** Gram matrices of inputs in the last axis of every matrix of the blocks. */
const gramMatrices = (shapes: Shapes) =>
  Object.entries(shapes).flatMap(([name, [rows = 0, side = 0]]) => {
    if (!name.includes(".layers.") || rows * side === 0) return [];
    const x = Array.from({ length: 20 }, (_, k) => normals(700 + k, side));
    const values = Float32Array.from({ length: side * side }, (_, at) =>
      x.reduce((sum, row) => sum + row[at % side]! * row[Math.floor(at / side)]!, 0),
    );
    const data = encodeFloats(values, "F32");
    return { name, dtype: "F32" as const, shape: [side, side], bytes: data.length, data };
  });

const map = (model: Model, change: (x: number) => number): Model =>
  new Map([...model].map(([name, values]) => [name, values.map(change)]));

/** Positive, so that it can be a model and a table of statistics at once. */
const positive = map(modelOf(9), (x) => Math.abs(x) + 0.1);
let side: string;

beforeAll(async () => {
  gpu = await sharedGpu();
  folder = mkdtempSync(join(tmpdir(), "ingot-laws-"));
  side = await sideFile("side", positive);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** As many models as the method takes, three if it leaves that open. */
const countOf = ({ models: [, most] }: MergeMethod): number => Math.min(most, 3);

const wantsBase = ({ base }: MergeMethod): boolean => base === "required" || base === "optional";

const withBase = (method: MergeMethod, base: Model): Pick<Given, "base"> => (wantsBase(method) ? { base } : {});

/** Distinct models, and a base where the method knows one. */
function inputs(method: MergeMethod, shapes: Shapes = SHAPES, values: Given["values"] = {}): Given {
  const models = Array.from({ length: countOf(method) }, (_, i) => modelOf(i + 1, shapes));
  return { models, shapes, values, side, ...withBase(method, modelOf(0, shapes)) };
}

const trialsOf = ({ trials = [{}] }: MergeMethod) => trials;

const largest = (values: Float32Array): number => values.reduce((most, x) => Math.max(most, Math.abs(x)), 0);

/** Expects equal models, to `relative` of each tensor's largest value. */
function expectModel(found: Model, wanted: Model, relative: number): void {
  expect([...found.keys()]).toEqual([...wanted.keys()]);
  for (const [name, values] of wanted) {
    const tolerance = relative * largest(values);
    expectWithin(found.get(name)!, values, () => tolerance, `value of ${name}`);
  }
}

/** Half of a single value is nothing, which some methods refuse. */
const { "scale.weight": _single, ...SEVERAL } = SHAPES;

const LAWS: Record<MergeLaw, (method: MergeMethod) => Promise<void>> = {
  async equalInputs(method) {
    const models = Array(countOf(method)).fill(positive);
    expectModel(await merged(gpu, method, { models, side, ...withBase(method, positive) }), positive, 1e-6);
  },

  async equalModels(method) {
    const [least, most] = method.models;
    for (const count of new Set([countOf(method), Math.min(most, 9), least])) {
      const weight = Array(count).fill(1 / count); // 1 in all, for methods that do not normalize
      const values = "weight" in method.options ? { weight } : {};
      const given = { models: Array(count).fill(positive), side, values, ...withBase(method, modelOf(0)) };
      expectModel(await merged(gpu, method, given), positive, 3e-6);
    }
  },

  async order(method) {
    const given = inputs(method);
    const order = given.models.length === 2 ? [1, 0] : [2, 0, 1];
    const turned = { ...given, models: order.map((i) => given.models[i]!), modelIndex: order };
    expectModel(await merged(gpu, method, turned), await merged(gpu, method, given), 1e-6);
  },

  async baseAtZero(method) {
    for (const trial of trialsOf(method)) {
      const given = inputs(method, SEVERAL, { ...trial, lambda: 0 });
      expectModel(await merged(gpu, method, given), given.base!, 0);
    }
  },

  async homogeneous(method) {
    const given = inputs(method);
    const by = (factor: number, { models, base, ...rest }: Given): Given => ({
      ...rest,
      models: models.map((model) => map(model, (x) => factor * x)),
      ...(base && { base: map(base, (x) => factor * x) }),
    });
    const wanted = await merged(gpu, method, given);
    for (const factor of [4, 1 / 8])
      expectModel(
        await merged(gpu, method, by(factor, given)),
        map(wanted, (x) => factor * x),
        1e-5,
      );
  },
};

test("there are methods, and every law is claimed by some", () => {
  expect(methods.length).toBeGreaterThan(20);
  const kept = new Set(methods.flatMap(({ method }) => claimed(method.laws)));
  expect([...kept].toSorted()).toEqual(Object.keys(MERGE_LAWS).toSorted() as MergeLaw[]);
});

for (const { file, method } of methods) {
  describe(method.name, () => {
    test("says what it is, where it comes from, and what its options do", async () => {
      expect(method.name).toMatch(/^[a-z][a-z0-9]*(_[a-z0-9]+)*$/);
      expect(method.name.replaceAll("_", "-")).toBe(file);
      expect(method.title).not.toBe("");
      expect(method.cite).toMatch(/^(arXiv:\d{4}\.\d{4,5}|doi:10\.\d{4,}\/\S+|mergekit|https:\/\/\S+)$/);
      expect(method.about.length).toBeGreaterThan(15);
      expect(method.about.length).toBeLessThan(100);
      expect(method.about).toMatch(/[^.]$/);
      const [least, most] = method.models;
      expect([least >= 1, most >= least]).toEqual([true, true]);
      const source = await Bun.file(methodFiles("merge").get(file)!).text();
      expect(source.startsWith("/**\n")).toBe(true);
      joinTables(commonOptions({ methods: "merge", options: {} }), mergekitOptions, method.options);
      for (const [name, spec] of Object.entries(method.options)) {
        expect([name, spec.help.length > 8, spec.help.length < 120]).toEqual([name, true, true]);
        expect([name, spec.help]).toEqual([name, expect.stringMatching(/[^.]$/)]);
        const check = await validator(name, spec); // throws for a type that cannot be read
        if (spec.default !== undefined)
          expect([name, check(spec.default, "the default")]).toEqual([name, spec.default]);
        expect([name, spec.required === true && spec.default !== undefined]).toEqual([name, false]);
      }
      for (const trial of trialsOf(method))
        for (const [name, value] of Object.entries(trial))
          (await validator(name, method.options[name]!))(value, "a trial");
    });

    test("says of every law whether it keeps it, and if not why", () => {
      expect(Object.keys(method.laws).toSorted()).toEqual(Object.keys(MERGE_LAWS).toSorted());
      for (const claim of Object.values(method.laws)) expect(claim === true || claim.length > 8).toBe(true);
    });

    for (const law of claimed(method.laws)) test(`${law}: ${MERGE_LAWS[law]}`, () => LAWS[law](method));

    test("the output is finite, and the same seed gives the same bytes", async () => {
      for (const trial of trialsOf(method)) {
        const given = inputs(method, SEVERAL, trial);
        const first = await mergedBytes(gpu, method, given);
        for (const bytes of first.values()) {
          for (const x of new Float32Array(bytes.buffer))
            if (!Number.isFinite(x)) throw new Error(`${x} in the output`);
        }
        const again = await mergedBytes(gpu, method, given);
        for (const [name, bytes] of first) expect([name, again.get(name)]).toEqual([name, bytes]);
      }
    });

    test("a NaN that is read is written, or seen where it is dropped", async () => {
      const name = "model.layers.0.mlp.up_proj.weight";
      const given = inputs(method);
      const all = [...(given.base ? [given.base] : []), ...given.models];
      for (const [slot, model] of all.entries()) {
        const broken = new Map(model).set(name, model.get(name)!.with(7, Number.NaN));
        const [base, ...models] = all.with(slot, broken) as [Model, ...Model[]];
        const one = given.base ? { ...given, base, models } : { ...given, models: [base, ...models] };
        const watch = new InputWatch(gpu, tasksOf(method, one));
        const settings = { chunkValues: 100, inputs: watch };
        const written = (await merged(gpu, method, { ...one, settings })).get(name)!;
        const seen = await watch.found();
        for (const { name: other } of tasksOf(method, one)) {
          for (const k of all.keys())
            if (other !== name || k !== slot) expect([k, other, seen(other, k)]).toEqual([k, other, false]);
        }
        if (seen(name, slot) || !written.every(Number.isFinite)) continue;
        // What is neither seen nor written must not have been read: the result does not change with its values.
        const other = new Map(model).set(
          name,
          model.get(name)!.map((x) => x + 1),
        );
        const [otherBase, ...otherModels] = all.with(slot, other) as [Model, ...Model[]];
        const two = given.base
          ? { ...given, base: otherBase, models: otherModels }
          : { ...given, models: [otherBase, ...otherModels] };
        expect([slot, (await merged(gpu, method, two)).get(name)]).toEqual([slot, written]);
      }
    });

    test("a tensor of many chunks is merged as in one", async () => {
      const shapes = { ...SEVERAL, "model.layers.0.wide.weight": [41, 257], "model.layers.1.deep.weight": [1031, 3] };
      const wide = map(modelOf(8, shapes), (x) => Math.abs(x) + 0.1);
      const given = { ...inputs(method, shapes, trialsOf(method).at(-1)), side: await sideFile("wide", wide, shapes) };
      const whole = await merged(gpu, method, given);
      for (const chunkValues of [300, 1028]) {
        const cut = await merged(gpu, method, { ...given, settings: { chunkValues } });
        expectModel(cut, whole, method.passes === "one" && !method.survey ? 0 : 1e-6);
      }
    });

    test("empty tensors and scalars come through", async () => {
      const shapes = { "model.layers.0.none.weight": [0, 8], "model.layers.0.scalar": [], "lm_head.weight": [4, 3] };
      const other = await sideFile("odd", modelOf(8, shapes, 0.01, 1), shapes);
      const found = await merged(gpu, method, { ...inputs(method, shapes), side: other });
      expect([...found].map(([name, { length }]) => [name, length])).toEqual([
        ["model.layers.0.none.weight", 0],
        ["model.layers.0.scalar", 1],
        ["lm_head.weight", 12],
      ]);
      for (const data of found.values()) expect(data.every(Number.isFinite)).toBe(true);
    });

    test("inputs of every type count for what they hold", async () => {
      const given = inputs(method);
      for (const dtype of ["BF16", "F16", "F64", "F8_E4M3", "F8_E5M2"] as const) {
        const round = (model: Model): Model => new Map([...model].map(([name, data]) => [name, rounded(data, dtype)]));
        const held = { ...given, models: given.models.map(round), ...(given.base && { base: round(given.base) }) };
        expectModel(await merged(gpu, method, { ...held, dtype }), await merged(gpu, method, held), 1e-6);
        const types: Dtype[] = [dtype, "F32", dtype, "F32"];
        expectModel(await merged(gpu, method, { ...held, dtype: types }), await merged(gpu, method, held), 1e-6);
      }
    });

    test("outputs of every type are the result, rounded once", async () => {
      const given = inputs(method);
      const exact = await merged(gpu, method, given);
      for (const outDtype of ["BF16", "F16", "F64", "F8_E4M3", "F8_E5M2"] as const) {
        const found = await merged(gpu, method, { ...given, outDtype });
        for (const [name, values] of exact) {
          const wanted = rounded(values, outDtype);
          // Compilers may fuse differently per variant: a value beside a boundary may round to the other side.
          const step = { BF16: 2 * EPSILON.BF16, F16: 2 * EPSILON.F16, F64: 1e-6, F8_E4M3: 2 ** -3, F8_E5M2: 2 ** -2 };
          const off = [...wanted].filter((x, i) => !Object.is(x, found.get(name)![i]) && x !== found.get(name)![i]);
          expectWithin(
            found.get(name)!,
            wanted,
            (i) => step[outDtype] * Math.abs(wanted[i]!) + 1e-6,
            `value of ${name}`,
          );
          if (outDtype !== "F64") expect([name, off.length <= 1 + 0.01 * wanted.length]).toEqual([name, true]);
        }
      }
    });

    if (method.passes === "one" && !method.survey) {
      test("reads every byte once, as a pipe gives it", async () => {
        const once = (entry: TensorEntry): TensorEntry => {
          const seen = new Uint8Array(entry.bytes);
          return {
            ...entry,
            async read(into, offset) {
              if (seen.subarray(offset, offset + into.length).some((x) => x !== 0)) throw new Error("read twice");
              seen.fill(1, offset, offset + into.length);
              await entry.read(into, offset);
            },
          };
        };
        const given = inputs(method);
        const found = await merged(gpu, method, { ...given, wrap: once, settings: { chunkValues: 100 } });
        expectModel(found, await merged(gpu, method, given), 0);
      });
    }
  });
}
