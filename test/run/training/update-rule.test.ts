/** Update rules on a loss whose gradients are known: every stage of a step, in the order that is stated. */
import { expect, test } from "bun:test";
import {
  loadStates,
  type PassOptions,
  refuseNamesakes,
  statesOf,
  type UpdateRule,
  UpdateRules,
} from "../../../src/run/training/update-rule.ts";
import { Parameter } from "../../../src/tensor/parameter.ts";
import { sharedGpu } from "../../support/gpu.ts";

const gpu = await sharedGpu();
const GRADIENT: Record<string, readonly number[]> = { a: [1, 0, 2], b: [10, 20, 30], c: [-3, 5, 0.5] };

/** What the gradients are after the stages of a step under rules, and the passes that were made, with what reported. */
async function stepped(parts: readonly string[], rules: readonly UpdateRule[]) {
  const parameter = new Parameter(gpu, "w", [3]);
  const write = (values: readonly number[]) =>
    gpu.write(parameter.gradient, 0, new Uint8Array(Float32Array.from(values).buffer));
  const gradient = async () => [...(await gpu.readFloats(parameter.gradient, 3))];
  write([7, 7, 7]); // of the step before
  const passes: string[] = [];
  const updates = new UpdateRules(gpu, [parameter], parts, rules);
  const run = async (part: string, { fresh, report }: PassOptions) => {
    passes.push(`${part}${fresh ? " fresh" : ""}${report ? " reports" : ""}`);
    const before = fresh ? [0, 0, 0] : await gradient();
    write(GRADIENT[part]!.map((x, i) => x + before[i]!));
  };
  const lent = gpu.pool.lent;
  await updates.gradients(1, run);
  expect(gpu.pool.lent).toBe(lent); // all memory was taken when the rules were made
  await updates.before(1);
  const found = await gradient();
  await updates.after(1);
  await updates.end();
  updates.free();
  parameter.free();
  return { gradient: found, passes };
}

/** Goes twice through its parts and leaves the second gradient, as SAM does. */
const twice = (name: string, parts?: readonly string[]): UpdateRule => ({
  name,
  ...(parts ? { parts } : {}),
  async part(_, pass) {
    await pass({ fresh: true, report: true });
    await pass({ fresh: true, report: false });
  },
});

test("without rules the parts add up, the first into fresh gradients", async () => {
  const { gradient, passes } = await stepped(["a", "b"], []);
  expect(gradient).toEqual([11, 20, 32]);
  expect(passes).toEqual(["a fresh reports", "b reports"]);
});

test("a rule that makes one part's gradient leaves the others as they are", async () => {
  const { gradient, passes } = await stepped(["a", "b"], [twice("sam", ["b"])]);
  expect(gradient).toEqual([11, 20, 32]);
  expect(passes).toEqual(["b fresh reports", "b fresh", "a reports"]);
});

test("a rule on every part does not lose the gradients of the parts before", async () => {
  const { gradient, passes } = await stepped(["a", "b", "c"], [twice("sam")]);
  expect(gradient).toEqual([8, 25, 32.5]);
  expect(passes.filter((pass) => pass.endsWith("reports"))).toEqual([
    "a fresh reports",
    "b fresh reports",
    "c fresh reports",
  ]);
});

test("rules nest, the first outermost; inner passes add up, and one pass reports", async () => {
  const sum: UpdateRule = {
    name: "sum of two",
    async part(_, pass) {
      await pass({ fresh: true, report: false });
      await pass({ fresh: false, report: true });
    },
  };
  const { gradient, passes } = await stepped(["a"], [sum, twice("sam")]);
  expect(gradient).toEqual([2, 0, 4]);
  expect(passes).toEqual(["a fresh", "a fresh", "a fresh reports", "a fresh"]);
});

test("one rule combines the parts, and rules on parts act inside it", async () => {
  const only: UpdateRule = {
    name: "only the last",
    async combine(_, parts, pass) {
      for (const part of parts) await pass(part, { fresh: true, report: true });
    },
  };
  const { gradient, passes } = await stepped(["a", "b"], [twice("sam", ["a"]), only]);
  expect(gradient).toEqual([...GRADIENT.b!]);
  expect(passes).toEqual(["a fresh reports", "a fresh", "b fresh reports"]);
  expect(() => new UpdateRules(gpu, [], ["a"], [only, { ...only, name: "another" }])).toThrow(
    "only the last and another both combine the gradients of parts",
  );
});

test("stages come in their order, and rules of a stage in the order of the list", async () => {
  const heard: string[] = [];
  const rule = (name: string): UpdateRule => ({
    name,
    async part(_, pass) {
      heard.push(`${name} part`);
      await pass({ fresh: true, report: true });
    },
    before: (step) => void heard.push(`${name} before ${step}`),
    after: (step) => void heard.push(`${name} after ${step}`),
    end: () => void heard.push(`${name} end`),
    free: () => void heard.push(`${name} free`),
  });
  await stepped(["a"], [rule("x"), rule("y")]);
  const stages = ["part", "before 1", "after 1", "end", "free"];
  expect(heard).toEqual(stages.flatMap((stage) => [`x ${stage}`, `y ${stage}`]));
});

test("states are saved by name, and two of one name are refused", () => {
  const one = (name: string, state: number) => {
    const kept = {
      name,
      now: state,
      state: () => kept.now,
      load(saved: unknown) {
        kept.now = saved as number;
      },
    };
    return kept;
  };
  const list = [one("ema", 1), { name: "stateless" }, one("sampler", 2)];
  refuseNamesakes(list);
  const saved = statesOf(list);
  expect(saved).toEqual({ ema: 1, sampler: 2 });
  const fresh = [one("sampler", 0), one("ema", 0)];
  loadStates(fresh, saved, "state/last");
  expect(fresh.map(({ now }) => now)).toEqual([2, 1]);
  expect(() => loadStates([one("another", 0)], saved, "state/last")).toThrow("state/last holds no state of another");
  expect(() => refuseNamesakes([one("ema", 1), one("ema", 2)])).toThrow(
    "two controllers or update rules are called ema",
  );
});
