import { expect, test } from "bun:test";
import { type Neighbours, neighbourLoss } from "../../../src/tensor/ops/neighbours.ts";
import { covers } from "../../support/covers.ts";
import { sharedGpu } from "../../support/gpu.ts";
import { checkOp, hardware, runOp } from "../../support/program.ts";
import { normals } from "../../support/random.ts";

covers("neighbours/vote");

const gpu = await sharedGpu();
const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);

interface Case {
  readonly n: number;
  readonly m: number;
  readonly k: number;
  readonly form: Neighbours["form"];
  readonly tau: number;
}

/** Labels of four kinds, one of which few entries have; every fifth place is empty. */
const tagsOf = (m: number) =>
  Array.from({ length: m }, (_, j) => ({ label: j % 5 === 4 ? -1 : j % 9 === 1 ? 3 : j % 3, id: j % 7 }));

/** The card's formula, in float64. */
function lossOf(cosines: readonly number[], label: number, own: number, { k, form, tau, m }: Case): number {
  const tags = tagsOf(m);
  const counts = cosines.map((s, j) => ({ s, ...tags[j]! })).filter(({ label: l, id }) => l >= 0 && id !== own);
  const sorted = [...counts].sort((a, b) => b.s - a.s);
  const near = sorted.slice(0, k);
  if (label < 0 || near.length === 0) return 0;
  const right = () => near.filter(({ label: l }) => l === label);
  if (form === "likelihood" && right().length === 0) {
    const nearest = sorted.find(({ label: l }) => l === label);
    if (!nearest) return 0;
    near.push(nearest);
  }
  const mass = (of: typeof near) => sum(of.map(({ s }) => Math.exp((s - sorted[0]!.s) / tau)));
  const share = mass(right()) / mass(near);
  return form === "vote" ? -Math.log(Math.min(1, share + 1e-5)) : -Math.log(share);
}

const given = ({ n, m }: Case) =>
  ({
    cosines: { shape: [n, m], data: normals(n + m, n * m, 0.5) },
    targets: { shape: [n], data: Int32Array.from({ length: n }, (_, i) => (i % 6 === 5 ? -1 : i % 4)), dtype: "i32" },
    own: { shape: [n], data: Int32Array.from({ length: n }, (_, i) => (i % 3 === 0 ? i % 7 : -1)), dtype: "i32" },
    tags: { shape: [m, 2], data: Float32Array.from(tagsOf(m).flatMap(({ label, id }) => [label, id])), grad: false },
  }) as const;

const CASES: readonly Case[] = [
  { n: 7, m: 31, k: 4, form: "likelihood", tau: 0.5 },
  { n: 66, m: 257, k: 9, form: "likelihood", tau: 0.2 },
  { n: 5, m: 40, k: 40, form: "likelihood", tau: 1 },
  { n: 7, m: 31, k: 6, form: "vote", tau: 0.5 },
  { n: 13, m: 131, k: 20, form: "vote", tau: 1 },
];

test.each(CASES)("agrees with its formula in float64, forward and back: %j", async (one) => {
  const inputs = given(one);
  for (const profile of [undefined, hardware])
    await checkOp(gpu, `neighbours ${one.form}`, {
      inputs,
      ...(profile ? { profile } : {}),
      build: (rec, { cosines, targets, own, tags }) =>
        neighbourLoss(rec, cosines!, {
          ...{ targets: targets!, own: own!, tags: tags!, k: one.k, inverse: 1 / one.tau, form: one.form },
        }),
      reference: ({ cosines }) =>
        Float64Array.from({ length: one.n }, (_, i) =>
          lossOf([...cosines!.subarray(i * one.m, (i + 1) * one.m)], inputs.targets.data[i]!, inputs.own.data[i]!, one),
        ),
      // Near enough that no difference changes who the nearest are.
      step: 1e-6,
      forward: 5e-6,
      backward: 2e-5,
    });
});

test("with all entries it is the loss of neighbourhood components; it is 0 where all have the label", async () => {
  const one: Case = { n: 5, m: 40, k: 40, form: "likelihood", tau: 1 };
  const run = async (label: (j: number) => number) => {
    const tags = Float32Array.from(Array.from({ length: one.m }, (_, j) => [label(j), 100 + j]).flat());
    const { outputs, gradients } = await runOp(gpu, {
      inputs: {
        ...given(one),
        cosines: { ...given(one).cosines, grad: true },
        targets: { shape: [one.n], data: new Int32Array(one.n).fill(1), dtype: "i32" },
        tags: { shape: [one.m, 2], data: tags },
      },
      build: (rec, { cosines, targets, own, tags: t }) =>
        neighbourLoss(rec, cosines!, {
          ...{ targets: targets!, own: own!, tags: t!, k: one.k, inverse: 1, form: one.form },
        }),
      seeds: { y: new Float32Array(one.n).fill(1) },
    });
    return { losses: outputs.y!, slopes: gradients.cosines! };
  };
  const { data } = given(one).cosines;
  const found = await run((j) => j % 2);
  for (let i = 0; i < one.n; i++) {
    const e = Array.from(data.subarray(i * one.m, (i + 1) * one.m), Math.exp);
    expect(found.losses[i]).toBeCloseTo(-Math.log(sum(e.filter((_, j) => j % 2 === 1)) / sum(e)), 5);
  }
  const same = await run(() => 1);
  for (const x of same.losses) expect(Math.abs(x)).toBeLessThan(1e-6);
  for (const x of same.slopes) expect(Math.abs(x)).toBeLessThan(1e-6);
  const none = await run(() => -1);
  expect([...none.losses, ...none.slopes].every((x) => x === 0)).toBe(true);
});
