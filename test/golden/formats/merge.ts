/**
 * The format of test/golden/merge: mergekit's recipes, inputs and results. Runs a recipe through the planner and the
 * machinery of `merge`, and holds the result to the README's table. Nothing here knows a method.
 */

import { readFileSync } from "node:fs";
import path from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import { decodeFloats } from "../../../src/checkpoint/decode.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { parseRecipe } from "../../../src/checkpoint/lineage/recipe/read-recipe.ts";
import { type Recipe, recipeReferences } from "../../../src/checkpoint/lineage/recipe/recipe.ts";
import { open } from "../../../src/checkpoint/open.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import { parseFile } from "../../../src/checkpoint/safetensors/header.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import { mergeTensors } from "../../../src/merge/job/run.ts";
import { planMerge } from "../../../src/merge/plan/merge-plan.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { readIndex, required } from "./index-file.ts";
import { largest } from "./tensors.ts";

export interface GoldenTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

export type GoldenOutput = ReadonlyMap<string, GoldenTensor>;

const VARIANTS = ["exact", "f32", "mixed", "bf16", "random"] as const;

/** A case of index.json. Random ones have no expected tensors but statistics over `seeds` seeds. */
export interface GoldenCase {
  readonly id: string;
  readonly method: string;
  readonly variant: (typeof VARIANTS)[number];
  /** Its recipe and its expected values; cases/<id>.yml and expected/<id>.safetensors when left out. */
  readonly config?: string;
  readonly expected?: string;
  readonly selects?: boolean;
  readonly tied?: { readonly file: string };
  readonly seeds?: number;
  readonly kept_fraction_mean?: Readonly<Record<string, number>>;
  readonly kept_by_row_rank_decile_2d?: readonly number[];
}

interface Index {
  readonly cases?: readonly GoldenCase[];
  readonly random?: readonly Omit<GoldenCase, "variant">[];
}

const floats = ({ bytes, dtype }: GoldenTensor): Float32Array => decodeFloats(bytes, dtype);

/** Seeds of a random case: enough for a normal mean of every element. */
const SEEDS = 32;

/** Begins the names of the means in the statistics of a random case. */
const MEAN = "mean_delta.";

export interface RunOptions {
  readonly gpu: Gpu;
  readonly seed?: number;
  readonly compatBugs?: boolean;
  readonly chunkValues?: number;
}

/** Position on the number line of BF16: neighbours differ by 1, both zeros are 0. */
function bf16Place(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0]! >>> 16;
  return bits & 0x8000 ? -(bits & 0x7fff) : bits;
}

/** How far an element may be off, by variant; README, "What to expect". */
function within(variant: GoldenCase["variant"], found: number, wanted: number, scale: number): boolean {
  const apart = Math.abs(found - wanted);
  if (variant === "f32") return apart <= 2e-6 * scale;
  return apart <= 1e-6 * scale || Math.abs(bf16Place(found) - bf16Place(wanted)) <= 1;
}

const rms = (values: readonly number[]): number =>
  Math.sqrt(values.reduce((sum, value) => sum + value * value, 0) / Math.max(1, values.length));

function compareExact(output: GoldenOutput, expected: GoldenOutput): string[] {
  const differing = [...expected].filter(([name, { bytes }]) => Buffer.compare(output.get(name)!.bytes, bytes) !== 0);
  return differing.map(([name]) => `${name} is not a copy`);
}

/** Share of a matrix's kept entries by decile of the magnitude rank (0 to 1) within the row, added to `sums`. */
function addDeciles(sums: { kept: number[]; seen: number[] }, delta: Float32Array, kept: boolean[], columns: number) {
  const order = new Uint32Array(columns);
  for (let row = 0; row < delta.length; row += columns) {
    for (let c = 0; c < columns; c++) order[c] = c;
    order.sort((a, b) => Math.abs(delta[row + a]!) - Math.abs(delta[row + b]!));
    for (const [rank, c] of order.entries()) {
      const decile = Math.min(9, Math.floor((10 * rank) / (columns - 1)));
      sums.seen[decile]!++;
      if (kept[row + c]) sums.kept[decile]!++;
    }
  }
}

/** Merges in memory: the tensors, and the files that go with them. `models` by `referenceKey`. */
export async function runRecipe(
  recipe: Recipe,
  models: ReadonlyMap<string, Checkpoint>,
  { gpu, seed = 0, compatBugs = true, chunkValues }: RunOptions,
): Promise<{ output: GoldenOutput; files: ReadonlyMap<string, Uint8Array> }> {
  const method = await loadMethod("merge", recipe.method);
  const { tensors, files } = await planMerge(recipe, models, method);
  const parts = new Map<string, Uint8Array[]>(tensors.map(({ name }) => [name, []]));
  await mergeTensors({
    gpu,
    method,
    tasks: tensors,
    sink: {
      async write(name, bytes) {
        parts.get(name)!.push(bytes.slice());
      },
    },
    settings: { seed, compatRounding: false, compatBugs, ...(chunkValues !== undefined && { chunkValues }) },
  });
  const output = new Map(
    tensors.map(({ name, outDtype, shape }) => {
      const bytes = new Uint8Array(Buffer.concat(parts.get(name)!));
      return [name, { dtype: outDtype, shape, bytes }] as const;
    }),
  );
  return { output, files };
}

/** A folder in this format. Open until `close`. */
export class MergeGoldens {
  /** Those with expected tensors, then the random ones. */
  readonly cases: readonly GoldenCase[];
  readonly #root: string;
  readonly #opened = new Map<string, Checkpoint>();

  /** Throws an Error where index.json is damaged or lists no cases. */
  constructor(folder: string) {
    this.#root = folder;
    const index = readIndex<Index>(path.join(folder, "index.json"));
    this.cases = [
      ...required(index.cases, "index.json: cases"),
      ...(index.random ?? []).map((one) => ({ ...one, variant: "random" as const })),
    ];
  }

  #caseOf(id: string): GoldenCase {
    const found = this.cases.find((one) => one.id === id);
    if (!found) throw new RangeError(`index.json has no case ${id}`);
    if (!VARIANTS.includes(found.variant))
      throw new RangeError(`index.json: the variant of ${id} is ${found.variant}, expected ${VARIANTS.join(", ")}`);
    return found;
  }

  async #input(ref: string): Promise<Checkpoint> {
    const folder = path.join(this.#root, ref);
    const checkpoint = this.#opened.get(folder) ?? (await open(folder));
    this.#opened.set(folder, checkpoint);
    return checkpoint;
  }

  async #recipeOf(id: string): Promise<Recipe> {
    const file = this.#caseOf(id).config ?? `cases/${id}.yml`;
    const [recipe] = await parseRecipe(readFileSync(path.join(this.#root, file), "utf8"), file);
    return required(recipe, `${file}: a recipe`);
  }

  /** Closes the inputs that were opened. */
  close(): void {
    for (const checkpoint of this.#opened.values()) checkpoint.close();
    this.#opened.clear();
  }

  /** Runs a case, a random one over many seeds; gives what is wrong with it, nothing when it is accepted. */
  async check(id: string, gpu: Gpu): Promise<string[]> {
    if (this.#caseOf(id).variant !== "random") return this.accept(id, await this.run(id, { gpu }));
    const outputs: GoldenOutput[] = [];
    for (let seed = 1; seed <= SEEDS; seed++) outputs.push(await this.run(id, { gpu, seed }));
    return this.accept(id, outputs);
  }

  /** Merges a case; the known faults of mergekit are reproduced unless `compatBugs` is false. */
  async run(id: string, options: RunOptions): Promise<GoldenOutput> {
    const recipe = await this.#recipeOf(id);
    const models = new Map<string, Checkpoint>();
    for (const ref of recipeReferences(recipe)) models.set(referenceKey(ref), await this.#input(ref.path));
    return (await runRecipe(recipe, models, options)).output;
  }

  #expectedOf({ id, expected, variant }: GoldenCase): Map<string, GoldenTensor> {
    return this.#readTensors(expected ?? `expected/${id}${variant === "random" ? ".stats" : ""}.safetensors`);
  }

  /** Tensors of a small safetensors file of the golden folder. */
  #readTensors(file: string): Map<string, GoldenTensor> {
    const bytes = new Uint8Array(readFileSync(path.join(this.#root, file)));
    const { tensors, dataStart } = parseFile(bytes, file);
    return new Map(
      tensors.map(({ name, dtype, shape, begin, bytes: length }) => {
        const at = dataStart + begin;
        return [name, { dtype, shape, bytes: bytes.slice(at, at + length) }];
      }),
    );
  }

  /**
   * What is wrong with the output of a case, empty when it is accepted. A random one takes the outputs of many seeds.
   */
  async accept(id: string, output: GoldenOutput | readonly GoldenOutput[]): Promise<string[]> {
    const golden = this.#caseOf(id);
    const outputs = output instanceof Map ? [output as GoldenOutput] : [...(output as readonly GoldenOutput[])];
    if (golden.variant === "random") return this.#compareRandom(golden, outputs);
    const expected = this.#expectedOf(golden);
    const found = outputs[0]!;
    const describe = ({ dtype, shape }: GoldenTensor) => `${dtype} (${shape.join(", ")})`;
    const problems = [...expected].flatMap(([name, wanted]) => {
      const own = found.get(name);
      if (!own) return [`${name} is missing`];
      return describe(own) === describe(wanted) ? [] : [`${name} is ${describe(own)}, expected ${describe(wanted)}`];
    });
    for (const name of found.keys()) if (!expected.has(name)) problems.push(`${name} is not expected`);
    if (problems.length > 0) return problems;
    if (golden.variant === "exact") return compareExact(found, expected);
    if (golden.variant === "bf16") return this.#compareRounding(golden, found, expected);
    return this.#compare(golden, found, expected);
  }

  #compare(golden: GoldenCase, output: GoldenOutput, expected: GoldenOutput): string[] {
    const tied = golden.tied ? this.#readTensors(golden.tied.file) : undefined;
    const problems: string[] = [];
    let off = 0;
    for (const [name, wanted] of expected) {
      const values = floats(output.get(name)!);
      const reference = floats(wanted);
      const scale = largest(reference);
      const free = tied?.get(name)?.bytes;
      let first: number | undefined;
      for (let i = 0; i < values.length; i++) {
        if (free?.[i] || within(golden.variant, values[i]!, reference[i]!, scale)) continue;
        off++;
        first ??= i;
      }
      if (first !== undefined) problems.push(`${name}[${first}] is ${values[first]}, expected ${reference[first]}`);
    }
    const share = golden.selects ? (golden.method === "arcee_fusion" ? 0.003 : 0.001) : 0;
    const elements = [...expected.values()].reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    return off <= share * elements ? [] : [`${off} elements are off`, ...problems];
  }

  /** Of BF16 arithmetic only the error is compared: at most mergekit's own distance to the same merge done in f32. */
  #compareRounding(golden: GoldenCase, output: GoldenOutput, expected: GoldenOutput): string[] {
    const exact = this.#caseOf(golden.id.replace("-bf16", "-mixed"));
    const reference = this.#expectedOf(exact);
    const frees = [golden, exact].flatMap(({ tied }) => (tied ? [this.#readTensors(tied.file)] : []));
    const worst = (from: GoldenOutput): number => {
      let most = 0;
      for (const [name, tensor] of reference) {
        const wanted = floats(tensor);
        const values = floats(from.get(name)!);
        const kept = [...wanted.keys()].filter((i) => !frees.some((free) => free.get(name)?.bytes[i]));
        const apart = rms(kept.map((i) => values[i]! - wanted[i]!));
        most = Math.max(most, apart / Math.max(rms(kept.map((i) => wanted[i]!)), 1e-30));
      }
      return most;
    };
    const [own, mergekits] = [worst(output), worst(expected)];
    return own <= mergekits ? [] : [`relative RMS error ${own} exceeds mergekit's ${mergekits}`];
  }

  /** z tests of the means over seeds; shares of entries kept, where one model is merged. */
  async #compareRandom(golden: GoldenCase, outputs: readonly GoldenOutput[]): Promise<string[]> {
    const stats = this.#expectedOf(golden);
    const recipe = await this.#recipeOf(golden.id);
    const base = await this.#input(required(recipe.base, `the base of ${golden.id}`).path);
    const body = recipe.modules[0]!.body;
    const tuned = body.kind === "models" ? await this.#input(body.models[0]!.ref.path) : base;
    const n = outputs.length;
    const seeds = required(golden.seeds, `index.json: the seeds of ${golden.id}`);
    const problems = [...stats.keys()]
      .filter((key) => key.startsWith(MEAN) && !outputs[0]!.has(key.slice(MEAN.length)))
      .map((key) => `${key.slice(MEAN.length)} is missing`);
    const deciles = { kept: Array<number>(10).fill(0), seen: Array<number>(10).fill(0) };
    let tested = 0;
    let beyond = 0;
    for (const [name, { shape }] of outputs[0]!) {
      const read = async (from: Checkpoint) => {
        const entry = required(from.tensors.get(name), `${from.ref}: ${name}`);
        const data = new Uint8Array(entry.bytes);
        await entry.read(data, 0);
        return decodeFloats(data, entry.dtype);
      };
      const origin = await read(base);
      const delta = (await read(tuned)).map((value, i) => value - origin[i]!);
      const stat = (key: string) => floats(required(stats.get(key), `the statistic ${key}`));
      const [mean, sd] = [stat(`${MEAN}${name}`), stat(`sd_delta.${name}`)];
      const sums = new Float64Array(mean.length);
      let kept = 0;
      for (const output of outputs) {
        const values = floats(output.get(name)!);
        const survives: boolean[] = [];
        for (let i = 0; i < values.length; i++) {
          sums[i]! += values[i]! - origin[i]!;
          survives.push(values[i] !== origin[i]);
          if (survives[i]) kept++;
        }
        if (shape.length === 2 && golden.kept_by_row_rank_decile_2d) addDeciles(deciles, delta, survives, shape[1]!);
      }
      const scale = largest(mean);
      for (let i = 0; i < mean.length; i++) {
        const apart = Math.abs(sums[i]! / n - mean[i]!);
        const error = sd[i]! * Math.sqrt(1 / n + 1 / seeds);
        if (error <= 1e-6 * scale) {
          if (!(apart <= 1e-5 * scale)) problems.push(`${name}[${i}] is constant in mergekit but off by ${apart}`);
          continue;
        }
        tested++;
        if (!(apart <= 2 * error)) beyond++;
        if (!(apart < 5 * error)) problems.push(`${name}[${i}] has a mean ${apart / error} standard errors away`);
      }
      const wanted = golden.kept_fraction_mean?.[name];
      if (wanted === undefined) continue;
      const found = kept / (n * mean.length);
      const error = Math.sqrt((wanted * (1 - wanted) * (1 / n + 1 / seeds)) / mean.length);
      if (!(Math.abs(found - wanted) <= 5 * error)) problems.push(`${name}: ${found} is kept, expected ${wanted}`);
    }
    if (beyond > 0.055 * tested) problems.push(`${beyond} of ${tested} means are beyond two standard errors`);
    for (const [decile, wanted] of (golden.kept_by_row_rank_decile_2d ?? []).entries()) {
      const found = deciles.kept[decile]! / deciles.seen[decile]!;
      const error = Math.sqrt((wanted * (1 - wanted) * (1 + n / seeds)) / deciles.seen[decile]!);
      if (!(Math.abs(found - wanted) <= 5 * error))
        problems.push(`decile ${decile}: ${found} kept, expected ${wanted}`);
    }
    return problems;
  }
}
