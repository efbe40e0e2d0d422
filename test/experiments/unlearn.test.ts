/**
 * What the objectives of unlearning are for, each against a baseline, on a small language model that knows a world by
 * heart.
 *
 * Losses are means over tokens; a model that never saw the people to forget would have 2.7 to 3.3 on them. "At 4": the
 * least of a run once what is to be forgotten is at 4. "Other": people whom the model knows and the unlearner never
 * sees. What is tested holds on seed 2, with the margins below, and on the other seeds of 0 to 3 but for what is named.
 *
 *   retain at 4    ascent 1.4 to 3.0, npo 0.10 to 0.25, on every seed
 *   other at 4     ascent 1.9 to 2.9, npo 0.4 to 1.1: at equal forgetting it is the retain term that saves them, npo
 *     without rows to keep is only slower
 *   simnpo, ce-u   spare more than npo and ascent where both have forgotten a little; on seed 1 by less than tested
 *   pdu            brings the retain loss below its limit and forgets beyond 4; on seeds 0 and 1 to 2.9 and 3.9
 *   learnt again   forget loss after 12 rows, npo to npo with sam: 1.79 to 2.30, 1.99 to 2.32, 2.37 to 2.59, and on
 *     seed 3 no less: 2.62 to 2.53
 *   other answers  altpo gives none of the forgotten answers any more, on seed 0 three of twelve
 *   --pd           the same prompts in another context are kept, at equal forgetting; on seed 1 forgetting is less
 *
 * Tracing finds an effect of the MLPs where the subject ends in the first block or in the first two, never in the last:
 * what that makes of a subject nobody reads. The effect is small, 0.002 to 0.010. Trained by itself the first block
 * forgets more than the others on every seed: after 30 steps 5.3 to 6.7, the second 3.6 to 5.0, the third 2.3 to 3.4.
 */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Curve, type Group, kept, World } from "./unlearn-world.ts";

setDefaultTimeout(300_000);
const folder = mkdtempSync(join(tmpdir(), "ingot-unlearn-world-"));
const world = new World(folder);

const RUNS = {
  ascent: "--method grad-ascent --lr 5e-4 --steps 30",
  npo: "--method npo --lr 5e-4 --steps 48 RETAIN",
  "npo-alone": "--method npo --retain-weight 0 --lr 5e-4 --steps 30",
  sam: "--method npo --smooth sam --rho 0.1 --retain-weight 2.25 --lr 5e-4 --steps 48 RETAIN",
  "grad-diff": "--method grad-diff --lr 5e-4 --steps 30 RETAIN",
  "kl-min": "--method kl-min --lr 5e-4 --steps 30 RETAIN",
  isolate: "--method isolate --layers 0 --lr 2e-3 --steps 30 RETAIN",
  follows: "--method isolate --layers 0 --lr 5e-3 --steps 24 RETAIN",
  fixed: "--method isolate --layers 0 --lr 5e-3 --steps 24 --fixed RETAIN",
  "isolate-1": "--method isolate --layers 1 --lr 2e-3 --steps 30 RETAIN",
  "isolate-2": "--method isolate --layers 2 --lr 2e-3 --steps 30 RETAIN",
  wga: "--method wga --lr 5e-4 --steps 30 RETAIN",
  satimp: "--method satimp --forget-weight 1 --retain-weight 0.1 --lr 1e-3 --steps 39 RETAIN",
  simnpo: "--method simnpo --forget-weight 1 --lr 1e-3 --steps 48 RETAIN",
  undial: "--method undial --lr 5e-4 --steps 30",
  "ce-u": "--method ce-u --lr 5e-4 --steps 15",
  pdu: "--method pdu --retain-weight 1 --rate 5 --limit 0.3 --lr 1e-3 --steps 30 RETAIN",
  "pdu-fixed": "--method pdu --retain-weight 1 --rate 0 --limit 0.3 --lr 1e-3 --steps 30 RETAIN",
  rmu: "--method rmu --lr 1e-3 --steps 30 RETAIN",
  dpo: "--method dpo --beta 0.02 --lr 1e-3 --steps 30 RETAIN",
  altpo: "--method altpo --beta 0.5 --lr 5e-4 --steps 60 --eval-every 60 RETAIN",
  "npo-same": "--method npo --beta 0.5 --lr 5e-4 --steps 60 --eval-every 60 RETAIN",
  pd: "--method grad-ascent --pd harmless.jsonl --lr 5e-4 --steps 30",
} as const;
type Run = keyof typeof RUNS;

const curves = new Map<Run, Promise<Curve>>();
/** The curves of runs, each of which is done once. */
const done = <R extends readonly Run[]>(...names: R) =>
  Promise.all(
    names.map((name) => {
      const curve = curves.get(name) ?? world.unlearn(name, RUNS[name].replace("RETAIN", "--retain retain.jsonl"));
      curves.set(name, curve);
      return curve;
    }),
  ) as Promise<{ [I in keyof R]: Curve }>;
const last = (curve: Curve): Readonly<Record<Group, number>> => curve.at(-1)!;

beforeAll(() => world.make(2));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("npo", () => {
  test("keeps what gradient ascent destroys, at equal forgetting", async () => {
    const [ascent, npo] = await done("ascent", "npo");
    expect(kept(ascent, 4, "retain")).toBeGreaterThan(1);
    expect(kept(npo, 4, "retain")).toBeLessThan(0.4);
    expect(kept(npo, 4, "other")).toBeLessThan(0.6 * kept(ascent, 4, "other"));
  });

  test("falls apart more slowly than ascent without rows to keep too", async () => {
    const [ascent, alone] = await done("ascent", "npo-alone");
    expect(last(ascent).forget).toBeGreaterThan(8);
    expect(last(alone).forget).toBeLessThan(0.8 * last(ascent).forget);
    expect(last(alone).other).toBeLessThan(0.8 * last(ascent).other);
  });

  test("with sam regains less when it is taught the rows again", async () => {
    const [npo, sam] = await done("npo", "sam");
    // It keeps as much, and has not forgotten so much more that it has further to go.
    expect(last(sam).other).toBeLessThan(last(npo).other + 0.3);
    expect(last(sam).forget).toBeLessThan(last(npo).forget + 0.1);
    const losses = await world.relearn(["npo", "sam"]);
    for (const budget of [1, 2, 3]) {
      const gain = (name: string) => losses[name]![0]! - losses[name]![budget]!;
      expect(gain("npo")).toBeGreaterThan(0.4);
      expect(gain("sam")).toBeLessThan(0.95 * gain("npo"));
    }
    expect(losses.sam!.at(-1)!).toBeGreaterThan(losses.npo!.at(-1)! + 0.05);
  });
});

describe("rows to keep are held by", () => {
  test.each([
    ["grad-diff", 4],
    ["kl-min", 4],
    ["isolate", 4],
    ["rmu", 3],
  ] as const)("%s", async (name, level) => {
    const [ascent, curve] = await done("ascent", name);
    expect(kept(curve, level, "retain")).toBeLessThan(0.5 * kept(ascent, level, "retain"));
  });
});

describe("what no one was shown is spared more than by gradient difference, with weights on tokens:", () => {
  test.each(["wga", "satimp"] as const)("%s", async (name) => {
    const [difference, curve] = await done("grad-diff", name);
    expect(kept(curve, 3, "other")).toBeLessThan(0.75 * kept(difference, 3, "other"));
  });
});

test("simnpo spares more than npo where both have forgotten a little", async () => {
  const [npo, simnpo] = await done("npo", "simnpo");
  expect(kept(simnpo, 1.75, "retain")).toBeLessThan(0.1);
  expect(kept(simnpo, 1.75, "other")).toBeLessThan(0.75 * kept(npo, 1.75, "other"));
});

test("undial stops where the true tokens are gone, and ascent does not", async () => {
  const [ascent, undial] = await done("ascent", "undial");
  expect(last(undial).forget).toBeGreaterThan(1.5);
  expect(last(undial).forget).toBeLessThan(4);
  expect(last(undial).other).toBeLessThan(0.3 * last(ascent).other);
});

test("ce-u harms what is to be kept less than ascent, neither seeing it", async () => {
  const [ascent, ceU] = await done("ascent", "ce-u");
  expect(kept(ceU, 2.5, "retain")).toBeLessThan(0.9 * kept(ascent, 2.5, "retain"));
});

test("pdu brings the retain loss below its limit, which a weight that stays does not", async () => {
  const [pdu, fixed] = await done("pdu", "pdu-fixed");
  expect(last(pdu).forget).toBeGreaterThan(4);
  expect(last(pdu).retain).toBeLessThan(0.3);
  expect(last(fixed).retain).toBeGreaterThan(0.8);
});

test("isolate harms what is to be kept less when its weight follows the loss", async () => {
  const [follows, fixed] = await done("follows", "fixed");
  const harm = (curve: Curve) => curve.slice(2).reduce((sum, { retain }) => sum + retain, 0);
  expect(last(follows).forget).toBeGreaterThan(4);
  expect(harm(follows)).toBeLessThan(0.95 * harm(fixed));
});

test("tracing begins at the first block, in which isolate forgets more than in others", async () => {
  const traced = world.run("evaluate", "base --data facts.jsonl --probe trace --json -q");
  const [first, second, third] = await done("isolate", "isolate-1", "isolate-2");
  const [found] = JSON.parse(await traced).rows;
  expect(found.corrupted).toBeLessThan(0.75 * found.clean);
  expect(found.facts).toBe(12);
  expect(["0-0", "0-1"]).toContain(found.layers);
  expect(found.effects.mlp.subject[2]).toBe(0); // what the last makes of a subject nobody reads
  expect(last(first).forget).toBeGreaterThan(1.15 * last(second).forget);
  expect(last(first).forget).toBeGreaterThan(1.6 * last(third).forget);
  expect(kept(first, 2, "retain")).toBeLessThan(kept(third, 2, "retain"));
});

test("dpo answers with the refusal, which npo does not learn", async () => {
  const [npo, dpo] = await done("npo", "dpo");
  expect(last(dpo).forget).toBeGreaterThan(4);
  expect(last(dpo).refused).toBeLessThan(0.6);
  expect(last(npo).refused).toBeGreaterThan(4);
});

test("altpo gives none of the forgotten answers any more, and spares people it was not shown more than npo", async () => {
  const [npo, altpo] = await done("npo-same", "altpo");
  const wanted = readFileSync(world.at("forget.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { completion: string });
  /** How many answers are the forgotten ones. */
  const given = async (model: string) => {
    const text = await world.run("sample", `${model} --prompts forget.jsonl --temperature 0 --max-tokens 20 --json -q`);
    const answers = text
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { text: string });
    expect(answers).toHaveLength(12);
    return answers.filter(({ text }, i) => text.startsWith(wanted[i]!.completion)).length;
  };
  expect(await given("base")).toBe(12);
  expect(await given("npo-same")).toBeLessThanOrEqual(1);
  expect(await given("altpo")).toBeLessThanOrEqual(1);
  expect(last(altpo).forget).toBeGreaterThan(0.5);
  expect(last(altpo).other).toBeLessThan(0.7 * last(npo).other);
});

test("--pd keeps the same prompts answered in another context, at equal forgetting", async () => {
  const [ascent, pd] = await done("ascent", "pd");
  expect(last(pd).forget).toBeGreaterThan(0.8 * last(ascent).forget);
  expect(last(ascent).harmless).toBeGreaterThan(2);
  expect(last(pd).harmless).toBeLessThan(0.6);
});
