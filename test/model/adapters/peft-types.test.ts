/** What types of PEFT fold to, in plain arithmetic over their tensors. */
import { describe, expect, test } from "bun:test";
import { isRowPatch, type Patch } from "../../../src/checkpoint/checkpoint.ts";
import { loadMethod } from "../../../src/method/registry.ts";
import { cayleyOnHost, neumannWeights, skewOnHost } from "../../../src/model/adapters/rotations.ts";
import { twoFactors } from "../../../src/model/adapters/two-factors.ts";
import { normals } from "../../support/random.ts";

type Shapes = Readonly<Record<string, readonly number[]>>;

/** Tensors of these shapes with drawn values. */
const drawn = (shapes: Shapes) =>
  new Map(
    Object.entries(shapes).map(([name, shape], i) => [
      name,
      {
        shape,
        values: normals(
          i + 1,
          shape.reduce((all, side) => all * side, 1),
        ),
      },
    ]),
  );

/** W (out, in), and what it becomes. */
async function folded(name: string, json: object, [out, into]: readonly [number, number], shapes: Shapes) {
  const { format } = await loadMethod("adapter", name);
  const tensors = drawn(shapes);
  const tensor = (part: string) => tensors.get(part)!;
  const module = { module: "m", into, out, transposed: false, tensor, shared: tensor };
  const [found] = await format!.fold!(JSON.parse(JSON.stringify(json)), "here", [module]);
  const weight = normals(99, out * into);
  const result = applied(found!.weight!, weight, into);
  const at = (part: string, row: number, column: number) => tensor(part).values[row * tensor(part).shape[1]! + column]!;
  return { weight, result, at, values: (part: string) => tensor(part).values };
}

function applied(patch: Patch, weight: Float32Array, into: number): Float32Array {
  const result = weight.slice();
  if (isRowPatch(patch)) {
    // In two parts, as chunks are.
    patch.change(result.subarray(0, into), 0);
    patch.change(result.subarray(into), 1);
    return result;
  }
  for (let at = 0; at < result.length; at++) {
    let sum = 0;
    for (let r = 0; r < patch.rank; r++)
      sum += patch.b[Math.floor(at / into) * patch.rank + r]! * patch.a[r * into + (at % into)]!;
    result[at]! += patch.scale * sum;
  }
  return result;
}

const sum = (count: number, value: (k: number) => number): number =>
  Array.from({ length: count }, (_, k) => value(k)).reduce((a, b) => a + b, 0);

test("VeRA: b B d A of the first rows and columns", async () => {
  const shapes = {
    "base_model.vera_A": [2, 3],
    "base_model.vera_B": [4, 2],
    vera_lambda_b: [4],
    vera_lambda_d: [2],
  };
  const { weight, result, at, values } = await folded("vera", { r: 2 }, [4, 3], shapes);
  const [b, d] = [values("vera_lambda_b"), values("vera_lambda_d")];
  for (const [place, found] of result.entries()) {
    const [o, i] = [Math.floor(place / 3), place % 3];
    const change = sum(2, (r) => b[o]! * at("base_model.vera_B", o, r) * d[r]! * at("base_model.vera_A", r, i));
    expect(found).toBeCloseTo(weight[place]! + change, 5);
  }
});

test("LoHa: an entry-wise product of two products", async () => {
  const shapes = { hada_w1_a: [4, 2], hada_w1_b: [2, 3], hada_w2_a: [4, 2], hada_w2_b: [2, 3] };
  const { weight, result, at } = await folded("loha", { r: 2, alpha: 6 }, [4, 3], shapes);
  for (const [place, found] of result.entries()) {
    const [o, i] = [Math.floor(place / 3), place % 3];
    const side = (k: number) => sum(2, (r) => at(`hada_w${k}_a`, o, r) * at(`hada_w${k}_b`, r, i));
    expect(found).toBeCloseTo(weight[place]! + 3 * side(1) * side(2), 4);
  }
});

test.each([
  ["whole", { r: 4, alpha: 2 }, { lokr_w1: [2, 2], lokr_w2: [3, 4] }],
  [
    "low-rank",
    { r: 1, alpha: 1, decompose_both: true, decompose_factor: 4 },
    {
      lokr_w1_a: [2, 1],
      lokr_w1_b: [1, 4],
      lokr_w2_a: [3, 1],
      lokr_w2_b: [1, 2],
    },
  ],
  ["low-rank second", { r: 1, alpha: 1 }, { lokr_w1: [2, 2], lokr_w2_a: [3, 1], lokr_w2_b: [1, 4] }],
] as const)("LoKr: a Kronecker product, %s", async (_, json, shapes) => {
  const [out, into] = [6, 8];
  const { weight, result, at } = await folded("lokr", json, [out, into], shapes);
  const sides: Shapes = shapes;
  const factor = (name: string, row: number, column: number) =>
    sides[name] ? at(name, row, column) : at(`${name}_a`, row, 0) * at(`${name}_b`, 0, column);
  const rows = (name: string) => (sides[name] ?? sides[`${name}_a`])![0]!;
  const columns = (name: string) => (sides[name] ?? sides[`${name}_b`])![1]!;
  const [b, d] = [rows("lokr_w2"), columns("lokr_w2")];
  expect([rows("lokr_w1") * b, columns("lokr_w1") * d]).toEqual([out, into]);
  for (const [place, found] of result.entries()) {
    const [o, i] = [Math.floor(place / into), place % into];
    const first = factor("lokr_w1", Math.floor(o / b), Math.floor(i / d));
    const change = (json.alpha / json.r) * first * factor("lokr_w2", o % b, i % d);
    expect(found).toBeCloseTo(weight[place]! + change, 5);
  }
});

test("two factors of a size, as LyCORIS takes them", () => {
  const cases = [
    [256, -1, [16, 16]],
    [128, -1, [8, 16]],
    [127, -1, [1, 127]],
    [24, -1, [4, 6]],
    [128, 4, [4, 32]],
    [24, 8, [8, 3]],
    [24, 5, [4, 6]],
    [250, 20, [10, 25]],
  ] as const;
  for (const [size, factor, wanted] of cases)
    expect([size, factor, twoFactors(size, factor)]).toEqual([size, factor, wanted]);
});

test.each([
  ["names", ["other", "m"], true],
  ["other names", ["other", "n"], false],
  ["an expression for the whole name", "(m|n)", true],
  ["an expression for a part of it", "m.+", false],
] as const)("IA3: inputs or outputs are scaled, by %s", async (_, feedforward_modules, forward) => {
  const shapes: Shapes = { ia3_l: forward ? [1, 3] : [4, 1] };
  const { weight, result, values } = await folded("ia3", { feedforward_modules }, [4, 3], shapes);
  for (const [place, found] of result.entries())
    expect(found).toBeCloseTo(weight[place]! * values("ia3_l")[forward ? place % 3 : Math.floor(place / 3)]!, 5);
});

describe("OFT", () => {
  const sides = { "oft_R.weight": [2, 1] };
  const settings = { r: 0, oft_block_size: 2, num_cayley_neumann_terms: 5 };

  test.each([true, false])("turns pairs of inputs; a power series: %p", async (use_cayley_neumann) => {
    const { weight, result, values } = await folded("oft", { ...settings, use_cayley_neumann }, [2, 4], sides);
    for (const [place, found] of result.entries()) {
      const [o, k] = [Math.floor(place / 4), place % 4];
      const q = values("oft_R.weight")[Math.floor(k / 2)]!;
      // Of Q = q [[0, 1], [-1, 0]]: the series of (I + Q)(I - Q)^-1, or (I - Q)(I + Q)^-1.
      const same = use_cayley_neumann ? 1 - 2 * q ** 2 + q ** 4 : (1 - q ** 2) / (1 + q ** 2);
      const other = use_cayley_neumann ? 2 * q - 2 * q ** 3 : (-2 * q) / (1 + q ** 2);
      const first = k - (k % 2);
      const pair = [weight[o * 4 + first]!, weight[o * 4 + first + 1]!];
      const wanted = k === first ? same * pair[0]! + other * pair[1]! : same * pair[1]! - other * pair[0]!;
      expect(found).toBeCloseTo(wanted, 4);
    }
  });

  test("cuts blocks that turn further than eps / sqrt(blocks), where it is constrained", async () => {
    const constrained = { ...settings, use_cayley_neumann: false, coft: true };
    // Two blocks of one entry each, of lengths sqrt(2) |q|.
    for (const [eps, share] of [
      [1, 1],
      [1, 0],
      [0.05, 1],
      [100, 1],
    ] as const) {
      const blocks = share ? 1 : 2;
      const shapes = { "oft_R.weight": [blocks, 1] };
      const json = { ...constrained, eps, block_share: share === 1 };
      const { weight, result, values } = await folded("oft", json, [2, 4], shapes);
      for (const [place, found] of result.entries()) {
        const [o, k] = [Math.floor(place / 4), place % 4];
        const own = values("oft_R.weight")[share ? 0 : Math.floor(k / 2)]!;
        const limit = eps / Math.sqrt(blocks) / Math.SQRT2;
        const q = Math.sign(own) * Math.min(Math.abs(own), limit);
        const [same, other] = [(1 - q ** 2) / (1 + q ** 2), (-2 * q) / (1 + q ** 2)];
        const first = k - (k % 2);
        const pair = [weight[o * 4 + first]!, weight[o * 4 + first + 1]!];
        const wanted = k === first ? same * pair[0]! + other * pair[1]! : same * pair[1]! - other * pair[0]!;
        expect(found).toBeCloseTo(wanted, 5);
      }
    }
  });

  test("the exact transform is a rotation, by R (I + Q) = I - Q", () => {
    const q = skewOnHost(normals(5, 6, 2), 4);
    expect(skewOnHost(Float32Array.of(1, 2, 3, 4, 5, 6), 4).slice(0, 8)).toEqual(
      Float64Array.of(0, 1, 2, 3, -1, 0, 4, 5),
    );
    const r = cayleyOnHost(q, 4);
    const at = (m: Float64Array, i: number, j: number) => m[i * 4 + j]!;
    const one = (i: number, j: number) => (i === j ? 1 : 0);
    for (let i = 0; i < 4; i++)
      for (let j = 0; j < 4; j++) {
        expect(sum(4, (k) => at(r, i, k) * at(r, j, k))).toBeCloseTo(one(i, j), 10);
        expect(sum(4, (k) => at(r, i, k) * (one(k, j) + at(q, k, j)))).toBeCloseTo(one(i, j) - at(q, i, j), 10);
      }
  });

  test("terms of the series, as PEFT counts them", () => {
    expect([1, 2, 3, 4, 5, 6].map(neumannWeights)).toEqual([
      [1],
      [1, 2],
      [1, 2, 2, 1],
      [1, 2, 2, 1],
      [1, 2, 2, 2, 1],
      [1, 2, 2, 2, 2, 1],
    ]);
  });
});

test.each([1, 2, 3])("BOFT: s W M^T, M a product of %d butterflies, by whole matrices", async (factors) => {
  const [out, into, side, blocks] = [3, 16, 4, 4];
  const json = { boft_block_size: side, boft_block_num: 0, boft_n_butterfly_factor: factors };
  const shapes = { boft_R: [factors, blocks, side, side], boft_s: [out, 1] };
  const { weight, result, values } = await folded("boft", json, [out, into], shapes);
  type Rows = number[][];
  const times = (a: Rows, b: Rows): Rows =>
    a.map((row) => b[0]!.map((_, j) => sum(b.length, (k) => row[k]! * b[k]![j]!)));
  const turned = (a: Rows): Rows => a[0]!.map((_, j) => a.map((row) => row[j]!));
  const identity = Array.from({ length: into }, (_, i) => Array.from({ length: into }, (_, j) => (i === j ? 1 : 0)));
  let m: Rows = identity;
  for (let f = 0; f < factors; f++) {
    // In stretches of half a block, of every 2^f blocks the even ones come first.
    const chunk = 2 * 2 ** f;
    const sorted = Array.from({ length: chunk }, (_, i) => i).sort((a, b) => (a % 2) - (b % 2) || a - b);
    const order = Array.from({ length: into }, (_, i) => {
      const unit = Math.floor(i / 2);
      return (unit - (unit % chunk) + sorted[unit % chunk]!) * 2 + (i % 2);
    });
    const p = order.map((from) => identity[from]!);
    const b = identity.map((row) => row.map(() => 0));
    for (let e = 0; e < blocks; e++) {
      const r = values("boft_R").subarray((f * blocks + e) * side * side);
      const s = Float64Array.from({ length: side * side }, (_, at) => {
        const [i, j] = [Math.floor(at / side), at % side];
        return 0.5 * (r[i * side + j]! - r[j * side + i]!);
      });
      for (const [at, x] of cayleyOnHost(s, side).entries())
        b[e * side + Math.floor(at / side)]![e * side + (at % side)] = x;
    }
    m = times(times(times(p, b), turned(p)), m);
  }
  const w = Array.from({ length: out }, (_, o) => [...weight.subarray(o * into, (o + 1) * into)]);
  const wanted = times(w, turned(m)).flatMap((row, o) => row.map((x) => values("boft_s")[o]! * x));
  for (const [i, x] of wanted.entries()) expect(result[i]!).toBeCloseTo(x, 4);
});

test.each([
  ["boft", { boft_block_size: 4, boft_block_num: 4 }, "do not say how inputs are cut"],
  ["oft", { oft_block_size: 2 }, "use_cayley_neumann"],
  ["vera", { save_projection: false, projection_prng_key: "a" }, "projection_prng_key is"],
  ["vera", { rank_pattern: { q: 1 } }, "rank_pattern"],
  ["loha", { rank_pattern: { m: 1.5 } }, "expected a whole number"],
  ["oft", { oft_block_size: 2, use_cayley_neumann: true, rank_pattern: { m: 1 } }, "rank_pattern"],
  ["loha", { use_khatri_rao: true }, "use_khatri_rao"],
  ["lokr", { r: 0 }, "expected"],
  ["ia3", { feedforward_modules: "(down" }, "feedforward_modules"],
] as const)("%s refuses %j", async (name, json, message) => {
  const { format } = await loadMethod("adapter", name);
  const tensor = () => ({ shape: [], values: new Float32Array() });
  const module = { module: "m", into: 8, out: 8, transposed: false, tensor, shared: tensor };
  const modules = name === "boft" ? [module] : [];
  await expect(format!.fold!(JSON.parse(JSON.stringify(json)), "here", modules)).rejects.toThrow(message);
});
