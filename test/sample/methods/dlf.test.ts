/** Dynamic logit fusion: its identities, and the choice of strength and expert against a search in plain arithmetic. */
import { expect, test } from "bun:test";
import { bindDefaults } from "../../../src/method/bind.ts";
import { divergence, logProbabilities } from "../../../src/run/combining/log-probabilities.ts";
import { method } from "../../../src/sample/methods/dlf.ts";
import { normals } from "../../support/random.ts";
import { combineWith } from "./combine-with.ts";

const V = 29;
const random = (seed: number, deviation = 1.5) => normals(seed, V, deviation);
function run(said: readonly Float32Array[], values: Record<string, number> = {}) {
  const notes: Record<string, number> = {};
  const logs = logProbabilities(combineWith(bindDefaults(method, values), said.length, { notes })(said));
  return { logs, notes };
}
function expectSame(found: Float64Array, want: Float64Array): void {
  for (const [id, x] of want.entries()) expect(found[id]!).toBeCloseTo(x, 6);
}

test("a large model that is the small one takes strength 1 and becomes the expert", () => {
  const [small, expert] = [random(1), random(2)];
  const { logs, notes } = run([small, expert, small]);
  expect(notes.alpha).toBe(1);
  expect(notes.objective).toBeCloseTo(0, 12);
  expectSame(logs, logProbabilities(expert));
});

test("an expert that learned nothing leaves the large model as it is", () => {
  const [large, small] = [random(3), random(4)];
  expectSame(run([large, small, small]).logs, logProbabilities(large));
  expectSame(run([large, small, small], { dlf_alpha: 1.7 }).logs, logProbabilities(large));
});

test("the best strength of the best expert, by divergences that are computed one by one", () => {
  for (const seed of [0, 10, 20]) {
    const [large, first, second, small] = [1, 2, 3, 4].map((i) => random(seed + i)) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const { notes, logs } = run([large, first, second, small]);
    const [pL, pS] = [logProbabilities(large), logProbabilities(small)];
    const experts = [first, second].map((logits) => logProbabilities(logits));
    const tries = experts.flatMap((own, expert) =>
      Array.from({ length: 21 }, (_, i) => {
        const mixed = logProbabilities(pL.map((x, id) => x + (i / 10) * (own[id]! - pS[id]!)));
        const objective = experts.reduce(
          (sum, each) =>
            sum +
            (divergence(pL, mixed) - divergence(pS, each)) ** 2 +
            (divergence(mixed, pL) - divergence(each, pS)) ** 2,
          0,
        );
        return { expert, alpha: i / 10, objective, mixed };
      }),
    );
    const best = tries.reduce((a, b) => (b.objective < a.objective ? b : a));
    expect(notes.expert).toBe(best.expert);
    expect(notes.alpha).toBeCloseTo(best.alpha, 9);
    expect(notes.objective).toBeCloseTo(best.objective, 9);
    expectSame(logs, best.mixed);
  }
});

test("a fixed strength is proxy tuning", () => {
  const [large, expert, small] = [random(5), random(6), random(7)];
  const want = logProbabilities(large.map((x, id) => x + expert[id]! - small[id]!));
  expectSame(run([large, expert, small], { dlf_alpha: 1 }).logs, want);
});
