/**
 * What divergences make of a student that is too small for its teacher: two likely labels for every input, and three
 * numbers to hold them (test/experiments/distill-worlds.ts).
 *
 * Measured on seeds 1 to 3, from the same student, after the same 300 steps. Every divergence is the smallest where it
 * is what was minimised. Forward KL covers (0.16 to 0.20 of its mass lies where the teacher has next to none, entropy
 * 2.03 to 2.10 for the teacher's 1.70 to 1.73), reverse KL concentrates (0.05, entropy 1.63 to 1.67).
 *
 * TAID ends between the two: below forward KL in reverse KL (by 0.07 to 0.14), total variation (0.004 to 0.012),
 * Jensen-Shannon divergence and mass outside. In forward KL itself, which the other minimises, it is 0.004 to 0.04
 * worse.
 */
import { beforeAll, expect, test } from "bun:test";
import { sharedGpu } from "../support/gpu.ts";
import { type ModeFigures, twoModes } from "./distill-worlds.ts";

let found: Map<string, ModeFigures>;
beforeAll(async () => {
  found = await twoModes(await sharedGpu(), 3);
}, 120_000);
const of = (name: string) => found.get(name)!;

test.each([
  ["kd", "forward"],
  ["reverse-kl", "reverse"],
  ["jsd", "jensen"],
  ["tvd", "variation"],
] as const)("%s leaves the least %s divergence of the four", (name, figure) => {
  for (const other of ["kd", "reverse-kl", "jsd", "tvd"])
    if (other !== name) expect(of(name)[figure]).toBeLessThan(0.97 * of(other)[figure]);
});

test("forward KL covers, reverse KL concentrates, and JSD lies between", () => {
  const [wide, between, narrow] = [of("kd"), of("jsd"), of("reverse-kl")];
  expect(wide.entropy).toBeGreaterThan(between.entropy + 0.08);
  expect(between.entropy).toBeGreaterThan(narrow.entropy + 0.1);
  expect(wide.outside).toBeGreaterThan(1.3 * between.outside);
  expect(between.outside).toBeGreaterThan(1.3 * narrow.outside);
  expect(narrow.forward).toBeGreaterThan(1.5 * wide.forward);
  expect(wide.reverse).toBeGreaterThan(1.5 * narrow.reverse);
});

test("skewing draws both KLs towards each other", () => {
  expect(of("skew-kl").reverse).toBeLessThan(0.9 * of("kd").reverse);
  expect(of("skew-kl").outside).toBeLessThan(0.9 * of("kd").outside);
  expect(of("skew-rkl").forward).toBeLessThan(0.85 * of("reverse-kl").forward);
  expect(of("skew-rkl").entropy).toBeGreaterThan(of("reverse-kl").entropy + 0.05);
});

test.each(["akl", "bd-kd"])("%s is nearer in both directions together than either KL", (name) => {
  const both = ({ forward, reverse }: ModeFigures) => forward + reverse;
  expect(both(of(name))).toBeLessThan(0.93 * both(of("kd")));
  expect(both(of(name))).toBeLessThan(0.9 * both(of("reverse-kl")));
});

test("TAID averages modes less than forward KL and drops fewer than reverse KL", () => {
  const [taid, wide, narrow] = [of("taid"), of("kd"), of("reverse-kl")];
  expect(taid.reverse).toBeLessThan(0.93 * wide.reverse);
  expect(taid.variation).toBeLessThan(0.985 * wide.variation);
  expect(taid.jensen).toBeLessThan(0.97 * wide.jensen);
  expect(taid.outside).toBeLessThan(0.93 * wide.outside);
  expect(taid.forward).toBeLessThan(0.8 * narrow.forward);
});
