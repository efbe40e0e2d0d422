import { expect, test } from "bun:test";
import fc from "fast-check";
import { liveSteps, planMemory } from "../../src/tensor/placement.ts";
import type { Step } from "../../src/tensor/recorder.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

const activation = (id: number, bytes: number): Tensor => ({
  id,
  root: id,
  label: `t${id}`,
  shape: [bytes / 4],
  dtype: "f32",
  storage: { id, bytes, kind: "activation", label: `t${id}` },
  offset: 0,
  needsGrad: false,
});

const touching = (...tensors: Tensor[]): Step => ({
  kernel: "none",
  bind: Object.fromEntries(tensors.map((x, i) => [`b${i}`, x])),
});

test("a chain needs two slots", () => {
  const chain = Array.from({ length: 10 }, (_, i) => activation(i, 1024));
  const steps = chain.slice(1).map((x, i) => touching(chain[i]!, x));
  const plan = planMemory(steps, new Set());
  expect(plan.slots).toEqual([1024, 1024]);
  expect(plan.bytes).toBe(plan.alive);
});

test("tensors that are alive together never share, and no plan is below what is alive", () => {
  const sizes = fc.constantFrom(256, 512, 4096, 16384);
  const graph = fc.array(fc.record({ bytes: sizes, from: fc.nat(40), length: fc.nat(20) }), {
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(graph, (spans) => {
      const tensors = spans.map(({ bytes }, id) => activation(id, bytes));
      const steps = Array.from({ length: 61 }, (_, at) =>
        touching(...tensors.filter((_, i) => at === spans[i]!.from || at === spans[i]!.from + spans[i]!.length)),
      );
      const plan = planMemory(steps, new Set());
      expect(plan.bytes).toBeGreaterThanOrEqual(plan.alive);
      for (const [i, a] of spans.entries()) {
        expect(plan.slots[plan.slotOf.get(i)!]!).toBeGreaterThanOrEqual(a.bytes);
        for (const [j, b] of spans.entries()) {
          if (i >= j || plan.slotOf.get(i) !== plan.slotOf.get(j)) continue;
          expect(a.from > b.from + b.length || b.from > a.from + a.length).toBe(true);
        }
      }
    }),
  );
});

test("a step lives if what it writes is kept, or feeds a step that lives", () => {
  const [a, b, c, d] = [0, 1, 2, 3].map((id) => activation(id, 256)) as [Tensor, Tensor, Tensor, Tensor];
  const steps = [touching(a, b), touching(b, c), touching(b, d)];
  const live = liveSteps(steps, new Set([2]), () => ["b1"]);
  expect(live).toEqual([steps[0]!, steps[1]!]);
});
