/**
 * What the objectives of unlearning are for, each against a baseline, on a small language model that knows a world by
 * heart.
 *
 * Losses are means over tokens; a model that never saw the people to forget would have 2.7 to 3.3 on them. "At 4": the
 * least of a run once what is to be forgotten is at 4. "Other": people whom the model knows and the unlearner never
 * sees. Measured over seeds 0-3, baseline to method, means:
 *
 *   retain at 4    ascent 2.07 to npo 0.16, grad-diff 0.48, kl-min 0.50, isolate 0.41, rmu 0.13 (of three seeds: one
 *     ends at 3.2)
 *   other at 4     ascent 2.42 to npo 0.77, and npo without rows to keep 2.27: at equal forgetting it is the retain
 *     term that saves them,
 *                  npo alone is only slower (other 5.6 for 9.2 after 30 steps)
 *   other at 3     grad-diff 1.06 to wga 0.43, satimp 0.39      at 1.9   npo 0.64 to simnpo 0.27
 *   retain at 2.5  ascent 0.93 to ce-u 0.54
 *   at the end     other: ascent 9.2 to undial 1.2; retain: pdu 3.15 with a fixed weight to 0.18; refusal: npo 7.0 to
 *     dpo 0.23;
 *                  the same prompts in another context: ascent 4.8 to 0.22 with --pd
 *   other answers  altpo and npo at one beta (0.5), rate and length: neither gives one of the 12 forgotten answers any
 *     more; other 0.24
 *                  (0.19 to 0.30) to 0.13 (0.11 to 0.18), on every seed, at a forget loss of 1.60 to 0.81. What altpo
 *                    says instead is no
 *                  better formed (16 of 48 answers, npo's 14)
 *   learnt again   forget loss after 12 rows: npo 2.10 to 2.38 with sam, on every seed; a retain weight of 2.25 without
 *     sam 1.96.
 *                  At retain weight 1 for both 2.57, at other 0.96 for 0.77
 *
 * Tracing finds the facts in the first block (share of the MLPs' effect where the subject ends 0.50 to 0.94, the first
 * and second together 1: what the last makes of a subject nobody reads). Trained by itself it forgets more than another
 * and keeps what it is shown, on every seed: after 30 steps forget 6.6 for 3.4 and 2.7 of the second and third, retain
 * at 2 0.25 for 0.34 and 0.40. What it is not shown it spares no better (other at 2: 0.58 for 0.65 and 0.63, the third
 * ahead on one seed). The first two against the last two: forget 9.4 for 6.0, other at 2.75 less on three seeds of
 * four. Without subjects, whole prompts made unreadable, all three blocks hold the effect.
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

beforeAll(() => world.make(3));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("npo", () => {
  test("keeps what gradient ascent destroys, at equal forgetting", async () => {
    const [ascent, npo] = await done("ascent", "npo");
    expect(kept(ascent, 4, "retain")).toBeGreaterThan(1.5);
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

test("isolate forgets more in the block that tracing names than in others, and keeps more of what it is shown", async () => {
  const traced = world.run("evaluate", "base --data facts.jsonl --probe trace --json -q");
  const [named, ...others] = await done("isolate", "isolate-1", "isolate-2");
  const [found] = JSON.parse(await traced).rows;
  expect(found.corrupted).toBeLessThan(0.75 * found.clean);
  expect(found).toMatchObject({ facts: 12, layers: "0-0" });
  for (const other of others) {
    expect(last(named).forget).toBeGreaterThan(1.4 * last(other).forget);
    expect(kept(named, 2, "retain")).toBeLessThan(0.9 * kept(other, 2, "retain"));
  }
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
