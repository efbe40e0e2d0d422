/** Training under samplers, as a user runs it: mixtures that are drawn by, logged, and drawn by again. */
import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { samplers } from "../curriculum/world.ts";
import { DATA, HELD, openLab, RUN } from "./curriculum-lab.ts";

const lab = openLab();

/** Settings as flags. */
const flagsOf = (settings: Readonly<Record<string, unknown>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `--${name.replaceAll("_", "-")}${value === true ? "" : ` ${value}`}`)
    .join(" ");

const FOUR = ["a", "b", "c", "d"];
const four = (flag: string, ending: string) => FOUR.map((name) => `${flag} ${name}=${name}${ending}.jsonl`).join(" ");
const ALL = `${four("--data", "")} ${four("--eval-data", "-held")}`;

describe.each(samplers.map((method) => [method.name, method] as const))("%s", (name, method) => {
  test("runs, and logs every mixture that it draws by", async () => {
    const [trial = {}] = method.trials ?? [];
    const settings = flagsOf({
      ...trial,
      ...("every" in method.options ? { every: 4 } : {}),
    });
    await lab.succeeds(`model --method ${name} ${settings} ${ALL} ${RUN} --steps 24 --log ${name}.log -o ${name}/`);
    expect(await lab.apart("model", name)).toBeGreaterThan(1e-3);
    const logged = lab.mixtures(`${name}.log`);
    expect(logged[0]!.step).toBe(0);
    for (const { groups, probs } of logged) {
      expect(groups).toEqual(FOUR);
      expect(Math.abs(probs.reduce((sum, p) => sum + p, 0) - 1)).toBeLessThan(1e-9);
      for (const p of probs) expect(p).toBeGreaterThanOrEqual(0);
    }
    // What is not in the mixture is not in the batches.
    for (const step of lab.events(`${name}.log`, "step")) {
      const { groups, probs } = logged.findLast((mixture) => mixture.step < step.step)!;
      for (const [g, group] of groups.entries()) if (probs[g] === 0) expect(step[`loss.${group}`]).toBeUndefined();
    }
    expect(existsSync(lab.at(`${name}-state`))).toBe(false);
  }, 120_000);
});

/** Runs of 12 steps on three groups, whose mixtures are known. */
const KNOWN = {
  aioli: "--round 5 --passes 1 --lp-steps 1 --prior-steps 1",
  coba: "--every 3 --burn-in 3 --window 2",
  dmt: "--special a,b --first 0.5",
  mpts: "--every 3 --ratio 3 --burn-in 1",
  powerlaw: "",
  "skill-it": "--graph graph.json --round 6 --every 2",
  static: "--mixture 0,3,1",
  "task-balance": "--strategy dwa --every 3",
} as const;
type Known = keyof typeof KNOWN;

/** Runs one of them once; its log and its weights have its name. */
const ran = (name: Known) =>
  lab.once(
    `model --method ${name} ${KNOWN[name]} ${DATA} ${HELD} ${RUN} --steps 12 --log known-${name}.log -o known-${name}/`,
  );

describe("mixtures are those that the options ask for", () => {
  const probs = async (name: Known) => {
    await ran(name);
    return lab.mixtures(`known-${name}.log`).map((mixture) => mixture.probs);
  };
  const steps = (name: Known) => lab.mixtures(`known-${name}.log`).map(({ step }) => step);

  test("fixed ones", async () => {
    expect(await probs("static")).toEqual([[0, 0.75, 0.25]]);
    expect((await probs("powerlaw")).map((all) => all.map((p) => Number(p.toFixed(6))))).toEqual([
      [1, 0, 0],
      [0.3, 0.7, 0],
      [0.1, 0.2, 0.7],
    ]);
    expect(steps("powerlaw")).toEqual([0, 4, 8]);
    await ran("dmt");
    expect(steps("dmt")).toEqual([0, 6]);
  }, 120_000);

  test("groups with metadata, then without", async () => {
    const pair = "--data a=a.jsonl --data b=b.jsonl";
    await lab.succeeds(
      `model --method meco --conditioned a --plain b --cooldown-share 0.25 ${pair} ${RUN} --steps 12 --log pair.log -o pair/`,
    );
    expect(lab.mixtures("pair.log").map(({ step, probs }) => [step, probs])).toEqual([
      [0, [1, 0]],
      [9, [0, 1]],
    ]);
  }, 120_000);

  test("those that answer to losses change at the steps that were asked for", async () => {
    const probes = (await probs("aioli")).slice(1, 4);
    for (const probe of probes) expect([...probe].sort()).toEqual([0.25, 0.25, 0.5]);
    expect(steps("aioli")).toEqual([0, 1, 2, 3, 4, 6, 7, 8, 9]);
    for (const name of ["mpts", "skill-it"] as const)
      expect(new Set((await probs(name)).map(String)).size).toBeGreaterThan(1);
    expect(steps("mpts")).toEqual([0, 3, 6, 9]);
    expect(steps("skill-it")).toEqual([0, 2, 4, 6, 8, 10]);
    for (const name of ["coba", "task-balance"] as const) {
      await ran(name);
      const weights = lab.mixtures(`known-${name}.log`).map((mixture) => String(mixture.weights));
      expect(new Set(weights).size).toBeGreaterThan(1);
    }
  }, 120_000);

  test("the drawn rows follow the mixture", async () => {
    await ran("static");
    const drawn = { a: 0, b: 0, c: 0 };
    for (const step of lab.events("known-static.log", "step"))
      for (const group of ["a", "b", "c"] as const) drawn[group] += Number(step[`loss.${group}`] !== undefined);
    expect(drawn.a).toBe(0);
    expect(drawn.b).toBeGreaterThan(drawn.c);
    expect(drawn.c).toBeGreaterThan(0);
  }, 120_000);
});

test("held-out losses that a sampler hears are logged at the steps at which it hears", async () => {
  await Promise.all([ran("aioli"), ran("coba"), ran("static")]);
  for (const name of ["aioli", "coba"] as const) {
    const log = `known-${name}.log`;
    const heard = new Set(lab.events(log, "eval").map(({ step }) => step));
    for (const { step } of lab.mixtures(log)) if (step > 0) expect(heard.has(step)).toBe(true);
    for (const group of ["a", "b", "c"])
      expect(lab.events(log, "eval").filter((event) => event.group === group).length).toBe(heard.size);
  }
  // A sampler that hears nothing: losses of the end alone.
  expect(lab.events("known-static.log", "eval").every(({ step }) => step === 12)).toBe(true);
}, 120_000);

test("coba weighs the mean losses of the groups of a batch, with or without --task-loss task-token-mean", async () => {
  const line = `model --method coba ${KNOWN.coba} ${DATA} ${HELD} ${RUN} --steps 12`;
  await Promise.all([
    ran("coba"),
    lab.succeeds(`${line} --task-loss task-token-mean --log coba-asked.log -o coba-asked/`),
    lab.succeeds(`${line} --task-loss token-mean --log coba-tokens.log -o coba-tokens/`),
  ]);
  expect(await lab.apart("known-coba", "coba-asked")).toBe(0);
  expect(await lab.apart("known-coba", "coba-tokens")).toBeGreaterThan(1e-4);
  const mixtures = lab.mixtures("known-coba.log");
  for (const step of lab.events("known-coba.log", "step")) {
    const { groups, weights } = mixtures.findLast((mixture) => mixture.step < step.step)!;
    let [sum, all] = [0, 0];
    for (const [g, name] of groups.entries()) {
      const mean = step[`loss.${name}`] as number | undefined;
      if (mean === undefined) continue;
      sum += weights![g]! * mean;
      all += weights![g]!;
    }
    expect(Math.abs((step.loss as number) - sum / all)).toBeLessThan(1e-5);
  }
  for (const { weights, balance } of mixtures) {
    expect(weights).toEqual(balance as number[]);
    expect(weights!.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
  }
  // A batch with rows of some groups only: the others' weights do not count.
  expect(lab.events("known-coba.log", "step").some((step) => step["loss.c"] === undefined)).toBe(true);
}, 120_000);

describe("--schedule-from", () => {
  test.each(["aioli", "mpts", "dmt"] as const)(
    "draws the batches of %s again, and ends with its weights",
    async (name) => {
      await ran(name);
      const log = `known-${name}.log`;
      await lab.succeeds(
        `model --schedule-from ${log} ${DATA} ${RUN} --steps 12 --log again-${name}.log -o again-${name}/`,
      );
      expect(lab.losses(`again-${name}.log`)).toEqual(lab.losses(log));
      expect(await lab.apart(`known-${name}`, `again-${name}`)).toBe(0);
      expect(lab.mixtures(`again-${name}.log`).map(({ step, probs }) => [step, probs])).toEqual(
        lab.mixtures(log).map(({ step, probs }) => [step, probs]),
      );
    },
    60_000,
  );

  test("begins the schedule anew where the stages of dmt did", async () => {
    await ran("dmt");
    const rates = lab.events("known-dmt.log", "step").map(({ lr }) => Number(lr));
    expect(rates.slice(6)).toEqual(rates.slice(0, 6));
    expect(rates[5]).toBeLessThan(rates[0]!);
  }, 60_000);

  test.each(["coba", "task-balance"] as const)(
    "takes the weights of %s too",
    async (name) => {
      await ran(name);
      const out = `again-${name}.safetensors`;
      await lab.succeeds(`model --schedule-from known-${name}.log ${DATA} ${RUN} --steps 12 -o ${out}`);
      expect(await lab.apart(`known-${name}`, out)).toBe(0);
    },
    60_000,
  );

  test("warns of more steps than the log has", async () => {
    await ran("dmt");
    const { err, code } = await lab.run(
      `model --schedule-from known-dmt.log ${DATA} ${RUN} --steps 20 -o longer.safetensors`,
    );
    expect(err).toBe(
      "curriculum: warning: known-dmt.log ends at step 12; its last mixture is used for steps 13 to 20\n",
    );
    expect(code).toBe(0);
  }, 120_000);
});

test("the last line has the loss of every group and the mixture that was drawn by", async () => {
  const line = `model --method static --mixture 2,1,1 ${DATA} ${HELD} --batch-size 8 --lr 0.01 --steps 2 -o told/`;
  const { code, err } = await lab.run(line);
  expect(code).toBe(0);
  const last = err.split("\n").find((text) => text.startsWith("curriculum: step 2, "))!;
  expect(last).toMatch(
    /loss \d\.\d{4} \(.*a \d\.\d{4}.*\), held-out loss \d\.\d{4} \(a .*, b .*, c .*\), best at step 2/,
  );
  expect(last).toEndWith(", mixture a 50.0 %, b 25.0 %, c 25.0 %");
});
