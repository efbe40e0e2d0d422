/** The curriculum script as a user runs it, on tiny models. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { decodeFloats } from "../../src/checkpoint/decode.ts";
import { openPlain } from "../../src/checkpoint/open.ts";
import type { Json } from "../../src/model/architecture.ts";
import { Model } from "../../src/model/model.ts";
import { saveModel } from "../../src/model/save.ts";
import { orderings, samplers } from "../curriculum/world.ts";
import { runScript, runShell, startScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { randomUnits } from "../support/random.ts";
import { TINY_EXAMPLES, TINY_TEXT } from "../support/tiny-models.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-curriculum-"));
const at = (name: string) => join(folder, name);
const split = (line: string) => line.split(" ").filter((word) => word !== "");
const curriculum = (line: string) => runScript("curriculum", split(line), folder);
const SMALL = { ...TINY_TEXT.llama!, hidden_size: 16, head_dim: 8, num_hidden_layers: 1 };

/** `broken` names a weight that is made NaN. */
async function make(name: string, config: Json, seed: number, broken?: string): Promise<void> {
  const model = await Model.fresh(await sharedGpu(), config, name, { seed });
  if (broken)
    model.parameters.get(broken)!.write(new Float32Array(model.parameters.get(broken)!.size).fill(Number.NaN));
  const files = new Map([["config.json", new TextEncoder().encode(JSON.stringify(config))]]);
  await saveModel(model, at(`${name}/`), { files, lineage: [] });
  model.free();
}

async function tensorsOf(file: string): Promise<Map<string, Float32Array>> {
  const opened = await openPlain(at(file));
  const found = new Map<string, Float32Array>();
  for (const entry of opened.tensors.values()) {
    const bytes = new Uint8Array(entry.bytes);
    await entry.read(bytes, 0);
    found.set(entry.name, decodeFloats(bytes, entry.dtype));
  }
  opened.close();
  return found;
}

/** Largest difference of two checkpoints; 0 when they hold the same numbers. */
async function apart(one: string, other: string): Promise<number> {
  const [a, b] = [await tensorsOf(one), await tensorsOf(other)];
  expect([...b.keys()]).toEqual([...a.keys()]);
  let worst = 0;
  for (const [name, values] of a) {
    const difference = values.reduce((most, x, i) => Math.max(most, Math.abs(x - b.get(name)![i]!)), 0);
    worst = Math.max(worst, Number.isNaN(difference) ? Number.POSITIVE_INFINITY : difference);
  }
  return worst;
}

interface Event {
  readonly event: string;
  readonly step: number;
  readonly [key: string]: unknown;
}
interface Mixture extends Event {
  readonly groups: string[];
  readonly probs: number[];
  readonly weights?: number[];
}

/** Whole lines of a log. */
const events = (log: string, name: string): Event[] =>
  existsSync(at(log))
    ? readFileSync(at(log), "utf8")
        .split("\n")
        .filter((line) => line.includes(`"event":"${name}"`) && line.endsWith("}"))
        .map((line) => JSON.parse(line))
    : [];
const mixtures = (log: string) => events(log, "mixture") as Mixture[];
const losses = (log: string) => events(log, "step").map(({ loss }) => loss as number);
const held = (log: string) =>
  Object.fromEntries(events(log, "eval").flatMap(({ group, value }) => (group ? [[group, value]] : [])));

async function succeeds(line: string, script = "curriculum"): Promise<void> {
  const { err, code } = await runScript(script, split(line), folder);
  expect(err).toBe("");
  expect(code).toBe(0);
}

/** Tokens that count in a row of every group; all rows are equally long, so that few programs are compiled. */
const COUNTED = { a: 15, b: 9, c: 5 };

beforeAll(async () => {
  await make("model", SMALL, 1);
  await make("mlp", { ...TINY_EXAMPLES.mlp!, hidden_sizes: [16] }, 2);
  await make("broken", SMALL, 3, "model.norm.weight");
  const unit = randomUnits(7);
  const row = (length: number, from: number, counted = length - 1) => {
    const ids = Array.from({ length }, () => from + Math.floor(unit() * 16));
    return JSON.stringify({ input_ids: ids, labels: ids.map((id, t) => (t < length - counted ? -100 : id)) });
  };
  const rows = (count: number, of: (i: number) => string) =>
    `${Array.from({ length: count }, (_, i) => of(i)).join("\n")}\n`;
  // Every group has its own tokens.
  for (const [g, [name, counted]] of Object.entries(COUNTED).entries()) {
    writeFileSync(
      at(`${name}.jsonl`),
      rows(16, () => row(16, 16 * g, counted)),
    );
    writeFileSync(
      at(`${name}-held.jsonl`),
      rows(4, () => row(16, 16 * g, counted)),
    );
  }
  writeFileSync(
    at("mixed.jsonl"),
    rows(40, (i) => row([6, 12, 20][i % 3]!, 0)),
  );
  // Classes are thirds of the first coordinate, in either half of the second.
  for (const [g, name] of ["x", "y"].entries())
    writeFileSync(
      at(`${name}.jsonl`),
      rows(24, () => {
        const x = Array.from({ length: 7 }, () => 2 * unit() - 1);
        return JSON.stringify({ x: x.with(1, Math.abs(x[1]!) * (1 - 2 * g)), label: Math.floor(1.5 * (x[0]! + 1)) });
      }),
    );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const DATA = "--data a=a.jsonl --data b=b.jsonl --data c=c.jsonl";
const HELD = "--eval-data a=a-held.jsonl --eval-data b=b-held.jsonl --eval-data c=c-held.jsonl";
const PAIR = "--data a=a.jsonl --data b=b.jsonl --eval-data a=a-held.jsonl --eval-data b=b-held.jsonl";
const RUN = "--batch-size 4 --lr 0.01 -q";
const GRAPH = [
  [1, 0.5, 0],
  [0, 1, 0],
  [0.2, 0, 1],
];

/** What a sampler needs to run for 12 steps on three groups, and the steps at which its mixtures begin. */
const SAMPLERS: Readonly<Record<string, readonly [options: string, segments: readonly number[]]>> = {
  ado: ["--every 3 --least-points 3", [0, 3, 6, 9]],
  aioli: ["--round 5 --passes 1 --lp-steps 1 --prior-steps 1", [0, 1, 2, 3, 4, 6, 7, 8, 9]],
  coba: ["--every 3 --burn-in 3 --window 2", [0, 3, 6, 9]],
  dmt: ["--special a,b --first 0.5", [0, 6]],
  doremi: ["--every 4 --reference-losses 1,2,3", [0, 4, 8]],
  dump: ["--every 4", [0, 4, 8]],
  meco: ["--conditioned a --plain b --cooldown-share 0.25", [0, 9]],
  mpts: ["--every 3 --ratio 3", [0, 3, 6, 9]],
  powerlaw: ["", [0, 4, 8]],
  progress: ["--every 4", [0, 4, 8]],
  sec: ["--every 4", [0, 4, 8]],
  "skill-it": ["--graph graph.json --round 6 --every 2", [0, 2, 4, 6, 8, 10]],
  "stable-cpt": ["--domain c", [0]],
  static: ["--mixture 0,3,1", [0]],
  stratified: ["", [0]],
  "task-balance": ["--strategy dwa --every 3", [0, 3, 6, 9]],
};

describe("samplers", () => {
  test("all of them are tried here", () => {
    const names = samplers.map(({ name }) => name);
    expect(names.sort()).toEqual(Object.keys(SAMPLERS).sort());
  });

  test.each(Object.entries(SAMPLERS))(
    "%s runs, and logs every mixture that it draws by",
    async (name, [options, segments]) => {
      writeFileSync(at("graph.json"), JSON.stringify(GRAPH));
      const data = name === "meco" ? PAIR : `${DATA} ${HELD}`;
      await succeeds(`model --method ${name} ${options} ${data} ${RUN} --steps 12 --log ${name}.log -o ${name}/`);
      expect(await apart("model", name)).toBeGreaterThan(1e-3);
      const logged = mixtures(`${name}.log`);
      expect(logged.map(({ step }) => step)).toEqual([...segments]);
      for (const { groups, probs } of logged) {
        expect(groups).toEqual(name === "meco" ? ["a", "b"] : ["a", "b", "c"]);
        expect(Math.abs(probs.reduce((sum, p) => sum + p, 0) - 1)).toBeLessThan(1e-9);
        for (const p of probs) expect(p).toBeGreaterThanOrEqual(0);
      }
      // What is not in the mixture is not in the batches.
      for (const step of events(`${name}.log`, "step")) {
        const { groups, probs } = logged.findLast((mixture) => mixture.step < step.step)!;
        for (const [g, group] of groups.entries()) if (probs[g] === 0) expect(step[`loss.${group}`]).toBeUndefined();
      }
      expect(existsSync(at(`${name}-state`))).toBe(false);
    },
    20_000,
  );

  test("mixtures are those that the options ask for", () => {
    const probs = (name: string) => mixtures(`${name}.log`).map((mixture) => mixture.probs);
    expect(probs("static")).toEqual([[0, 0.75, 0.25]]);
    expect(probs("meco")).toEqual([
      [1, 0],
      [0, 1],
    ]);
    expect(probs("powerlaw").map((all) => all.map((p) => Number(p.toFixed(6))))).toEqual([
      [1, 0, 0],
      [0.3, 0.7, 0],
      [0.1, 0.2, 0.7],
    ]);
    // Probes of aioli give one group half; then the law decides.
    for (const probe of probs("aioli").slice(1, 4)) expect([...probe].sort()).toEqual([0.25, 0.25, 0.5]);
    // What hears losses answers to them.
    for (const name of ["ado", "aioli", "doremi", "dump", "mpts", "progress", "sec", "skill-it"])
      expect(new Set(probs(name).map(String)).size).toBeGreaterThan(1);
    for (const name of ["coba", "task-balance"])
      expect(new Set(mixtures(`${name}.log`).map(({ weights }) => String(weights))).size).toBeGreaterThan(1);
  });

  test("coba weighs the mean losses of the groups of a batch, with or without --task-loss task-token-mean", async () => {
    const line = `model --method coba --every 3 --burn-in 3 --window 2 ${DATA} ${HELD} ${RUN} --steps 12`;
    await Promise.all([
      succeeds(`${line} --task-loss task-token-mean --log coba-told.log -o coba-told/`),
      succeeds(`${line} --task-loss token-mean --log coba-tokens.log -o coba-tokens/`),
    ]);
    expect(await apart("coba", "coba-told")).toBe(0);
    expect(await apart("coba", "coba-tokens")).toBeGreaterThan(1e-4);
    const weighted = (log: string, tokens: readonly number[]): number[] =>
      events(log, "step").map((step) => {
        const { groups, weights } = mixtures(log).findLast((mixture) => mixture.step < step.step)!;
        let [sum, all] = [0, 0];
        for (const [g, name] of groups.entries()) {
          const mean = step[`loss.${name}`] as number | undefined;
          if (mean === undefined) continue;
          sum += weights![g]! * tokens[g]! * mean;
          all += weights![g]! * tokens[g]!;
        }
        return sum / all;
      });
    for (const [i, loss] of weighted("coba.log", [1, 1, 1]).entries())
      expect(Math.abs(losses("coba.log")[i]! - loss)).toBeLessThan(1e-5);
    for (const { weights, balance } of mixtures("coba.log")) {
      expect(weights).toEqual(balance as number[]);
      expect(weights!.reduce((a, b) => a + b, 0)).toBeCloseTo(1, 12);
    }
    // A batch with rows of some groups only: the others' weights do not count.
    expect(events("coba.log", "step").some((step) => step["loss.c"] === undefined)).toBe(true);
  }, 20_000);

  test("the drawn rows follow the mixture", () => {
    const drawn = { a: 0, b: 0, c: 0 };
    for (const step of events("static.log", "step"))
      for (const group of ["a", "b", "c"] as const) drawn[group] += Number(step[`loss.${group}`] !== undefined);
    expect(drawn.a).toBe(0);
    expect(drawn.b).toBeGreaterThan(drawn.c);
    expect(drawn.c).toBeGreaterThan(0);
  });
});

describe("--schedule-from", () => {
  test.each(["aioli", "mpts", "dmt"])(
    "draws the batches of %s again, and ends with its weights",
    async (name) => {
      await succeeds(
        `model --schedule-from ${name}.log ${DATA} ${RUN} --steps 12 --log again-${name}.log -o again-${name}/`,
      );
      expect(losses(`again-${name}.log`)).toEqual(losses(`${name}.log`));
      expect(await apart(name, `again-${name}`)).toBe(0);
      expect(mixtures(`again-${name}.log`).map(({ step, probs }) => [step, probs])).toEqual(
        mixtures(`${name}.log`).map(({ step, probs }) => [step, probs]),
      );
    },
    20_000,
  );

  test.each(["coba", "task-balance"])(
    "takes the weights of %s too",
    async (name) => {
      await succeeds(`model --schedule-from ${name}.log ${DATA} ${RUN} --steps 12 -o again-${name}.safetensors`);
      expect(await apart(name, `again-${name}.safetensors`)).toBe(0);
    },
    20_000,
  );
});

test("--schedule-from for more steps than the log tells of is warned of", async () => {
  const { err, code } = await curriculum(
    `model --schedule-from dmt.log ${DATA} ${RUN} --steps 20 -o longer.safetensors`,
  );
  expect(err).toBe("curriculum: warning: dmt.log ends at step 12; steps 13 to 20 are drawn by its last mixture\n");
  expect(code).toBe(0);
}, 20_000);

const ORDERINGS: Readonly<Record<string, readonly [options: string, rows: readonly number[]]>> = {
  competence: ["--c0 0.1 --over 1 --pass 0.5", [4, 12, 20]],
  cyclical: ["", [10, 20, 40]],
  "cyclical-live": ["--score hard", [10, 20, 40]],
  length: ["--start-length 8 --pass 0.2", [8, 8, 8, 8]],
  quality: ["--subset 0.25", [10, 10, 10, 10]],
  "self-paced": ["--start 0.3 --over 0.5", [12, 26, 40]],
};

describe("orderings", () => {
  test("all of them are tried here", () => {
    const names = orderings.map(({ name }) => name);
    expect(names.sort()).toEqual(Object.keys(ORDERINGS).sort());
  });

  test.each(Object.entries(ORDERINGS))(
    "%s runs, and logs the rows of every pass",
    async (name, [options, rows]) => {
      await succeeds(
        `model --method ${name} ${options} --data mixed.jsonl ${RUN} --steps 12 --log ${name}.log -o ${name}/`,
      );
      expect(await apart("model", name)).toBeGreaterThan(1e-3);
      const passes = events(`${name}.log`, "pass");
      expect(passes.map((pass) => pass.rows).slice(0, rows.length)).toEqual([...rows]);
      expect(passes.map((pass) => pass.epoch)).toEqual(passes.map((_, i) => i));
      expect(mixtures(`${name}.log`)).toEqual([]);
    },
    20_000,
  );

  test("length begins with rows of that length", () => {
    const counted = events("length.log", "step").map((step) => step.counted as number);
    for (const tokens of counted.slice(0, 2)) expect(tokens).toBeLessThanOrEqual(4 * (8 - 1));
    expect(Math.max(...counted)).toBeGreaterThan(4 * (8 - 1));
  });
});

describe("plain training", () => {
  const line = "--data mixed.jsonl --batch-size 8 --lr 0.01 --steps 13 -q";
  test("is what one group, and all rows in every pass, come to", async () => {
    await Promise.all([
      succeeds(`model ${line} --weights 1 -o plain-drawn/`, "train"),
      succeeds(`model ${line} -o plain/`, "train"),
      succeeds(`model ${line} --method static -o one-group/`),
      succeeds(`model ${line} --method cyclical --start 1 -o whole-passes/`),
    ]);
    expect(await apart("plain-drawn", "plain")).toBeGreaterThan(1e-4);
    expect(await apart("plain-drawn", "one-group")).toBe(0);
    expect(await apart("plain", "whole-passes")).toBe(0);
  }, 20_000);
});

describe("a run that was killed goes on as if it had not been", () => {
  const RUNS = {
    aioli: `--method aioli --round 5 --passes 1 --lp-steps 1 --gamma 0.2 ${DATA} ${HELD}`,
    "skill-it": `--method skill-it --graph graph.json --round 4 --every 2 ${DATA} ${HELD}`,
    coba: `--method coba --every 2 --burn-in 2 --window 3 ${DATA} ${HELD}`,
    mpts: `--method mpts --every 2 ${DATA}`,
    "cyclical-live": "--method cyclical-live --data mixed.jsonl",
    "self-paced": "--method self-paced --data mixed.jsonl",
  };
  test.each(Object.entries(RUNS))(
    "%s",
    async (name, options) => {
      const line = `model ${options} ${RUN} --accumulate 2 --steps 12 --save-every 1`;
      const whole = succeeds(`${line} -o ${name}-whole/`);
      let kills = 0;
      for (let attempt = 0; ; attempt++) {
        const log = `${name}-cut.log`;
        const child = startScript("curriculum", split(`${line} -o ${name}-cut/ --resume --log ${log}`), folder);
        const goal = 5 + (name.length % 4);
        const reached = () => attempt === 0 && events(log, "step").some(({ step }) => step >= goal);
        while (child.exitCode === null && !reached()) await Bun.sleep(15);
        if (child.exitCode !== null) {
          expect(await new Response(child.stderr).text()).toBe("");
          expect(child.exitCode).toBe(0);
          break;
        }
        child.kill(9);
        await child.exited;
        kills++;
      }
      expect(kills).toBe(1);
      await whole;
      expect(readFileSync(at(`${name}-cut/model.safetensors`))).toEqual(
        readFileSync(at(`${name}-whole/model.safetensors`)),
      );
      expect(existsSync(at(`${name}-cut-state`))).toBe(false);
    },
    60_000,
  );

  test("its log, which says some steps twice, replays as well", async () => {
    await succeeds(
      `model --schedule-from skill-it-cut.log ${DATA} ${RUN} --accumulate 2 --steps 12 -o skill-it-replayed.safetensors`,
    );
    expect(await apart("skill-it-whole", "skill-it-replayed.safetensors")).toBe(0);
  }, 20_000);

  test("with other data it is refused", async () => {
    const line = `model --method stratified ${DATA} ${RUN} --save-every 2 --state kept`;
    const child = startScript("curriculum", split(`${line} --steps 4000 --log kept.log -o kept.safetensors`), folder);
    while (child.exitCode === null && !events("kept.log", "step").some(({ step }) => step > 4)) await Bun.sleep(15);
    child.kill(9);
    await child.exited;
    writeFileSync(at("more.jsonl"), readFileSync(at("b.jsonl"), "utf8") + readFileSync(at("c.jsonl"), "utf8"));
    writeFileSync(at("b-was.jsonl"), readFileSync(at("b.jsonl")));
    writeFileSync(at("b.jsonl"), readFileSync(at("more.jsonl")));
    const { err, code } = await curriculum(`${line} --steps 4000 --resume -o kept.safetensors`);
    writeFileSync(at("b.jsonl"), readFileSync(at("b-was.jsonl")));
    expect(err.split("\n")[0]).toBe(
      "curriculum: kept/last was saved with groups a (16, 256), b (16, 256), c (16, 256), this run has a (16, 256), b (32, 512), c (16, 256)",
    );
    expect(code).toBe(2);
  }, 20_000);
});

describe("graph", () => {
  const line = `${DATA} ${HELD} --batch-size 4 --lr 0.01 --graph-steps 5 -q`;
  interface Graph {
    groups: string[];
    graph: number[][];
    start: number[];
    after: number[][];
  }
  const read = (name: string): Graph => JSON.parse(readFileSync(at(name), "utf8"));
  const near = (a: readonly number[], b: readonly number[]) => {
    for (const [i, x] of a.entries()) expect(Math.abs(x - b[i]!)).toBeLessThan(1e-9);
  };

  test("holds what training on one group does for the others", async () => {
    await succeeds(`graph model ${line} -o approximate.json`);
    const { groups, graph, start, after } = read("approximate.json");
    expect(groups).toEqual(["a", "b", "c"]);
    for (const [i, row] of graph.entries())
      near(
        row,
        start.map((loss, j) => Math.max(0, 1 - after[i]![j]! / loss)),
      );
    // Its runs are those of `curriculum` on that group alone.
    await succeeds(
      `model --method static --mixture 0,1,0 --steps 5 ${DATA} ${HELD} --batch-size 4 --lr 0.01 -q --log alone.log -o alone/`,
    );
    near(Object.values(held("alone.log")) as number[], after[1]!);
  }, 20_000);

  test("--exact compares halves with the whole", async () => {
    await succeeds(`graph model ${line} --exact -o exact.json`);
    const { graph, start, after } = read("exact.json");
    expect(start).toEqual(read("approximate.json").start);
    expect(after).toEqual(read("approximate.json").after);
    await succeeds(
      `model --method static --mixture 1,0,1 --steps 5 ${DATA} ${HELD} --batch-size 4 --lr 0.01 -q --log half.log -o half/`,
    );
    const together = held("half.log") as Record<string, number>;
    const edge = (i: number, j: number, loss: number) => {
      const own = start[j]! - after[j]![j]!;
      expect(own).toBeGreaterThan(0);
      expect(Math.abs(graph[i]![j]! - Math.max(0, (start[j]! - loss - own) / own))).toBeLessThan(1e-9);
    };
    edge(0, 2, together.c!);
    edge(2, 0, together.a!);
    for (const i of [0, 1, 2]) expect(graph[i]![i]).toBe(1);
  }, 20_000);

  test("by hand needs no model, and its groups may come in another order", async () => {
    await succeeds(`graph ${DATA} --edges a:b,c:a -q -o hand.json`);
    expect(read("hand.json").graph).toEqual([
      [1, 0.5, 0],
      [0, 1, 0],
      [0.5, 0, 1],
    ]);
    const other = "--data c=c.jsonl --data a=a.jsonl --data b=b.jsonl";
    const begins = async (data: string, log: string): Promise<Record<string, number>> => {
      const out = log.replace(".log", ".safetensors");
      await succeeds(
        `model --method skill-it --graph hand.json ${data} ${HELD} ${RUN} --steps 1 --log ${log} -o ${out}`,
      );
      const [{ groups, probs }] = mixtures(log) as [Mixture];
      return Object.fromEntries(groups.map((group, i) => [group, probs[i]!]));
    };
    const [one, two] = [await begins(DATA, "abc.log"), await begins(other, "cab.log")];
    expect(Object.keys(two)).toEqual(["c", "a", "b"]);
    const pull = { a: 1.5, b: 1, c: 1.5 };
    const all = Object.values(pull).reduce((sum, x) => sum + Math.exp(0.5 * x), 0);
    for (const [name, x] of Object.entries(pull)) {
      expect(Math.abs(one[name]! - Math.exp(0.5 * x) / all)).toBeLessThan(1e-9);
      expect(Math.abs(two[name]! - one[name]!)).toBeLessThan(1e-9);
    }
  }, 20_000);
});

describe("what sub-commands tell", () => {
  const graph = `graph model ${DATA} ${HELD} --batch-size 4 --graph-steps 2 -q`;
  const run = async (line: string) => {
    const { text, err, code } = await curriculum(line);
    expect(err).toBe("");
    expect(code).toBe(0);
    return text;
  };

  test("--json is the result on stdout; with -o it says what was written", async () => {
    const whole = JSON.parse(await run(`${graph} --json`));
    expect(Object.keys(whole)).toEqual(["groups", "graph", "start", "after"]);
    const told = JSON.parse(await run(`${graph} --json -o told.json`));
    expect(told).toEqual({ file: "told.json", groups: ["a", "b", "c"], runs: 3, steps_per_run: 2 });
    expect(JSON.parse(readFileSync(at("told.json"), "utf8"))).toEqual(whole);
    const hand = JSON.parse(await run(`graph ${DATA} --edges a:b -q --json`));
    expect(hand.graph[0]).toEqual([1, 0.5, 0]);

    const plain = await run("select model --data a.jsonl --keep 4 -q");
    expect(await run("select model --data a.jsonl --keep 4 -q --json")).toBe(plain);
    const chosen = JSON.parse(await run("select model --data a.jsonl --keep 4 -q --json -o told.jsonl"));
    expect(chosen).toMatchObject({ file: "told.jsonl", select_by: "lowest-loss", rows: 16, kept: 4, of: "loss" });
    expect(chosen.groups).toEqual([{ name: "a", rows: 16, kept: 4 }]);
    expect(chosen.mean).toBeLessThan(chosen.mean_of_all);
    expect(readFileSync(at("told.jsonl"), "utf8")).toBe(plain);

    const plan = JSON.parse(await run("plan --parameters 1000 --json -q -o plan.json"));
    expect(plan.file).toBe("plan.json");
    expect(plan).toMatchObject(JSON.parse(readFileSync(at("plan.json"), "utf8")));
    expect(await run("plan --parameters 1000 -q -o plan.txt")).toBe("");
    expect(readFileSync(at("plan.txt"), "utf8")).toContain("train tokens: 20000\n");
  }, 40_000);

  test("--dry-run says what it takes, and neither runs nor writes", async () => {
    const told = await run(`${graph} --exact -n -o never.json --device none`);
    expect(told).toContain("6 runs of 2 steps of 4 rows: 12 steps\n7 evaluations on 12 held-out rows\nweights: ");
    const plan = JSON.parse(await run(`${graph} -n --json --device none`));
    expect(plan).toMatchObject({ runs: 3, steps_per_run: 2, steps: 6, held_out_rows: 12, batch_size: 4 });
    const chosen = await run("select model --data a.jsonl --keep 4 --batch-size 5 -q -n -o never.jsonl --device none");
    expect(chosen).toContain("lowest-loss: keep 4 of 16 rows, 256 tokens\nlosses of 4 batches of 5\nweights: ");
    const rows = JSON.parse(await run("select model --data a.jsonl --select-by craig -q -n --json --device none"));
    expect(rows).toMatchObject({ select_by: "craig", rows: 16, tokens: 256, keep: 4, batches: 2 });
    expect(existsSync(at("never.json")) || existsSync(at("never.jsonl"))).toBe(false);
  }, 40_000);

  test("an input is not replaced", async () => {
    const before = readFileSync(at("a.jsonl"));
    symlinkSync(at("a.jsonl"), at("link.jsonl"));
    for (const [line, other] of [
      ["select model --data ./a.jsonl -q -o link.jsonl", ", as ./a.jsonl"],
      [`graph model ${DATA} ${HELD} -q -o b-held.jsonl`, ""],
    ]) {
      const { err, code } = await curriculum(line!);
      const message = `--out: ${line!.split(" ").at(-1)} is read by this run${other}`;
      expect(err).toBe(`curriculum: ${message}\n  hint: it would be lost; write to another file\n`);
      expect(code).toBe(2);
    }
    expect(readFileSync(at("a.jsonl"))).toEqual(before);
  }, 20_000);

  test("a model that gives no numbers stops the work", async () => {
    const hint = "bun run inspect broken --check looks for NaN in its weights";
    for (const [line, message] of [
      [`graph broken ${DATA} ${HELD} --graph-steps 2`, "broken: the held-out loss of the group a is NaN"],
      ["select broken --data a.jsonl", "broken: the score NaN of a.jsonl:1 is not finite"],
      ["select broken --data a.jsonl --select-by gradient-norm", "broken: the score NaN of a.jsonl:1 is not finite"],
      ["select broken --data a.jsonl --select-by craig", "broken: a hidden state of a.jsonl:1 is not finite"],
    ]) {
      const { err, text, code } = await curriculum(`${line} -q -o nothing`);
      expect(err).toBe(`curriculum: ${message}\n  hint: ${hint}\n`);
      expect(text).toBe("");
      expect(code).toBe(1);
    }
    const { err, code } = await curriculum(
      `graph model ${DATA} ${HELD} --graph-steps 4 --optimizer sgd --lr 1e30 -q -o nothing`,
    );
    expect(err).toMatch(
      /^curriculum: model after 4 steps on a: the held-out loss of the group [abc] is \w+\n {2}hint: lower/,
    );
    expect(code).toBe(1);
    expect(existsSync(at("nothing"))).toBe(false);
  }, 40_000);
});

describe("select", () => {
  const lines = (text: string) => text.split("\n").filter((line) => line !== "");
  const source = (names: readonly string[]) =>
    names.flatMap((name) => lines(readFileSync(at(`${name}.jsonl`), "utf8")));

  test("rows keep their bytes and their order; those of the group that was learnt have the lowest loss", async () => {
    // As no writer of ours would put it.
    const odd = source(["a"]).map((line, i) => `{ "note":"\u00fc${i}",  ${line.slice(1)}`);
    const mixed = source(["b"]).flatMap((line, i) => [line, odd[i]!]);
    writeFileSync(at("to-select.jsonl"), `${mixed.join("\r\n")}\n`);
    const { text, err, code } = await runShell(
      `$CURRICULUM model --method static --mixture 1,0,0 ${DATA} ${RUN} --steps 40 | $CURRICULUM select --data to-select.jsonl --keep 0.5 --log select.log`,
      folder,
    );
    expect(code).toBe(0);
    expect(lines(text)).toEqual(odd);
    expect(err).toMatch(/lowest-loss: kept 16 of 32 rows; mean loss [\d.]+, of all [\d.]+\n/);
    expect(events("select.log", "selected")[0]!.places).toEqual(odd.map((_, i) => `to-select.jsonl:${2 * i + 2}`));
  }, 20_000);

  test("gradients of rows that are known are the smallest", async () => {
    await succeeds(`model --method static --mixture 1,0,0 ${DATA} ${RUN} --steps 40 -o knows-a/`);
    const { text, code } = await curriculum(
      "select knows-a --data to-select.jsonl --select-by gradient-norm --keep 10 -q",
    );
    expect(code).toBe(0);
    expect(lines(text)).toHaveLength(10);
    for (const line of lines(text)) expect(source(["b"])).toContain(line);
  }, 20_000);

  test("coverage takes rows of a group that is rare; the best come first when asked", async () => {
    // Sixteen copies of one row, told apart by a note, and two others.
    const copies = Array.from({ length: 16 }, (_, i) => `{"note":${i},${source(["b"])[0]!.slice(1)}`);
    const all = [...copies, ...source(["c"]).slice(0, 2)];
    writeFileSync(at("rare.jsonl"), `${all.join("\n")}\n`);
    for (const by of ["craig", "dp-means --per-cluster 2"]) {
      await succeeds(`select model --data rare.jsonl --select-by ${by} --keep 4 -q -o plain.jsonl`);
      const plain = lines(readFileSync(at("plain.jsonl"), "utf8"));
      expect(plain).toHaveLength(4);
      expect(plain.some((line) => all.indexOf(line) >= 16)).toBe(true);
      expect(plain.map((line) => all.indexOf(line))).toEqual(
        plain.map((line) => all.indexOf(line)).sort((a, b) => a - b),
      );
      await succeeds(`select model --data rare.jsonl --select-by ${by} --keep 4 --ranked -q -o ranked.jsonl`);
      const ranked = lines(readFileSync(at("ranked.jsonl"), "utf8"));
      expect(ranked).not.toEqual(plain);
      expect([...ranked].sort()).toEqual([...plain].sort());
    }
  }, 20_000);

  test("what it writes is data", async () => {
    await succeeds(`select model ${DATA} --keep 12 -q -o chosen.jsonl`);
    await succeeds(`model --method stratified --data chosen.jsonl ${RUN} --steps 2 -o from-chosen/`);
  }, 20_000);

  test.each([
    ["model --data -", "select reads its rows twice, which stdin cannot", "write them to a file first"],
    ["model --data a.jsonl --overflow split", "--overflow split makes several of one row", "leave it out"],
    ["mlp --data x.jsonl", "mlp is a classifier; select scores rows of text", "give a language model"],
    ["model", "--data is missing", "for example --data rows.jsonl"],
    ["model --data none.jsonl", "none.jsonl cannot be read (ENOENT)", "is the path right?"],
    ["model --data a.jsonl --select-by best", "--select-by: ", ""],
    ["model --data a.jsonl --method length", "--method means nothing to curriculum select", "--select-by chooses how"],
    ["model --data a.jsonl --steps 3", "--steps means nothing to curriculum select", "--select-by chooses how"],
    ["model --data a.jsonl --per-cluster 2", "--per-cluster means nothing without --select-by dp-means", "give both"],
    ["model --data a.jsonl --exact", "--exact means nothing without curriculum graph", "give both or neither"],
  ])(
    "refuses %s",
    async (line, message, hint) => {
      const { err, text, code } = await curriculum(`select ${line} -q`);
      const [first, second = ""] = err.split("\n");
      expect(first!.startsWith(`curriculum: ${message}`)).toBe(true);
      expect(second).toContain(hint);
      expect(text).toBe("");
      expect(code).toBe(2);
    },
    20_000,
  );
});

describe("plan", () => {
  test("C = 6 P N and N = rho P; too few tokens repeat", async () => {
    const { text, code } = await curriculum("plan --flops 1.2e6 --tokens-per-param 20 --tokens 500 --json");
    expect(code).toBe(0);
    const plan = JSON.parse(text);
    expect(plan.parameters).toBeCloseTo(100, 9);
    expect(plan.trainTokens).toBeCloseTo(2000, 6);
    expect(plan.flops).toBeCloseTo(1.2e6, 3);
    expect(plan.epochs).toBeCloseTo(4, 9);
    expect(plan.advice[0]).toBe("data repeat 4.0 times: the loss will be higher than on as many fresh tokens");
  });

  test("from a number of parameters, in words", async () => {
    const { text, err, code } = await curriculum("plan --parameters 1000 --tokens-per-param 5 --batch-size 10 -q");
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(text.split("\n")).toContain("train tokens: 5000");
    expect(text.split("\n")).toContain("flops: 30000000");
    expect(text).not.toContain("epochs"); // nothing is known of the data
  });
});

describe("what rows weigh", () => {
  const line = `model --data a=a.jsonl --data c=c.jsonl --method stratified ${RUN} --steps 6`;
  /** Rows of either group in a batch of 4, from the tokens that count. */
  const rowsOf = ({ counted }: Event) => {
    const a = [0, 1, 2, 3, 4].find((n) => n * COUNTED.a + (4 - n) * COUNTED.c === counted)!;
    return { a, c: 4 - a };
  };
  const of = (step: Event) => ({ a: (step["loss.a"] ?? 0) as number, c: (step["loss.c"] ?? 0) as number });

  test("--task-loss: the mean over tokens, rows, or groups first", async () => {
    const kinds = ["token-mean", "sample-mean", "task-token-mean", "task-sample-mean"];
    await Promise.all([
      ...kinds.map((kind) => succeeds(`${line} --task-loss ${kind} --log ${kind}.log -o ${kind}/`)),
      succeeds(`${line} --task-loss task-focal --focus 0 -o focal-0/`),
      succeeds(`${line} --task-loss task-focal --log focal.log -o focal/`),
    ]);
    const drawn = events("token-mean.log", "step").map(rowsOf);
    expect(drawn.some(({ a, c }) => a > 0 && c > 0 && a !== c)).toBe(true);
    const mean = {
      "token-mean": (n: { a: number; c: number }) => ({ a: n.a * COUNTED.a, c: n.c * COUNTED.c }),
      "sample-mean": (n: { a: number; c: number }) => n,
      "task-token-mean": (n: { a: number; c: number }) => ({ a: Number(n.a > 0), c: Number(n.c > 0) }),
      "task-sample-mean": (n: { a: number; c: number }) => ({ a: Number(n.a > 0), c: Number(n.c > 0) }),
    };
    for (const [kind, weigh] of Object.entries(mean)) {
      for (const [i, step] of events(`${kind}.log`, "step").entries()) {
        const [w, l] = [weigh(drawn[i]!), of(step)];
        const expected = (w.a * l.a + w.c * l.c) / (w.a + w.c);
        expect(Math.abs((step.loss as number) - expected)).toBeLessThan(1e-5);
      }
    }
    expect(await apart("token-mean", "sample-mean")).toBeGreaterThan(1e-4);
    expect(await apart("sample-mean", "task-token-mean")).toBeGreaterThan(1e-4);
    // As many tokens count in every row of a group.
    expect(await apart("task-token-mean", "task-sample-mean")).toBeLessThan(1e-5);
    expect(await apart("task-sample-mean", "focal-0")).toBeLessThan(1e-5);
    expect(await apart("task-sample-mean", "focal")).toBeGreaterThan(1e-4);
    expect(losses("focal.log")[0]!).toBeLessThan(losses("task-sample-mean.log")[0]!);
  }, 30_000);

  test("--sample-weight: far from any temperature it is the mean over rows", async () => {
    const kinds = ["linupper", "quadratic", "extremes"];
    const weighed = "--reweight-temp 0.3 --reweight-warmup 0.34";
    await Promise.all([
      succeeds(`${line} --sample-weight linupper --reweight-temp 1e12 -o even/`),
      ...kinds.map((kind) => succeeds(`${line} --sample-weight ${kind} ${weighed} --log ${kind}.log -o ${kind}/`)),
    ]);
    expect(await apart("sample-mean", "even")).toBeLessThan(1e-5);
    for (const kind of kinds) {
      // Two steps of warm-up out of six.
      const plain = losses("sample-mean.log");
      for (const [i, loss] of losses(`${kind}.log`).entries()) {
        if (i < 2) expect(Math.abs(loss - plain[i]!)).toBeLessThan(1e-5);
      }
      expect(await apart("even", kind)).toBeGreaterThan(1e-4);
    }
    // The hardest rows count at least as much as others.
    expect(losses("linupper.log")[2]!).toBeGreaterThan(losses("sample-mean.log")[2]!);
  }, 30_000);
});

describe("what goes in and out", () => {
  const line = `--method aioli --round 5 --passes 1 --lp-steps 1 ${DATA} ${HELD} ${RUN} --steps 6`;
  test("a stream, to a stream", async () => {
    const { err, code } = await runShell(
      `$MERGE model --method passthrough -q | $CURRICULUM ${line} > streamed.safetensors && $CURRICULUM model ${line} -o named/ && cat a.jsonl | $CURRICULUM model ${line.replace("a=a.jsonl", "a=-")} > piped.safetensors`,
      folder,
    );
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(await apart("named", "streamed.safetensors")).toBe(0);
    expect(await apart("named", "piped.safetensors")).toBe(0);
  }, 20_000);

  test("--lora trains an adapter, the base stays", async () => {
    const before = readFileSync(at("model/model.safetensors"));
    await succeeds(`model ${line} --lora --lora-rank 2 --log lora.log -o lora/`);
    expect([...(await tensorsOf("lora/adapter_model.safetensors")).keys()].every((key) => /lora_[AB]/.test(key))).toBe(
      true,
    );
    expect(readFileSync(at("model/model.safetensors"))).toEqual(before);
    expect(mixtures("lora.log").map(({ step }) => step)).toEqual([0, 1, 2, 3]);
    await succeeds(`model+lora --lora-continue ${line} -o lora-on/`);
    expect(await apart("lora/adapter_model.safetensors", "lora-on/adapter_model.safetensors")).toBeGreaterThan(1e-4);
  }, 20_000);

  test.each([
    "--method progress --every 5",
    "--method doremi --every 30 --eta 0.2 --reference-losses 0.5,0.9",
    "--method self-paced",
    "--method stratified --task-loss task-focal",
    "--method stratified --sample-weight linupper",
  ])(
    "a classifier: %s",
    async (options) => {
      await succeeds(
        `mlp --data x=x.jsonl --data y=y.jsonl --eval-data x=x.jsonl --eval-data y=y.jsonl ${options} --batch-size 8 --steps 60 --lr 0.03 -q --log mlp.log -o mlp-out/`,
      );
      // Far below ln 3, which is knowing nothing.
      for (const loss of Object.values(held("mlp.log"))) {
        expect(loss).toBeLessThan(0.9);
      }
      if (options.includes("progress")) expect(mixtures("mlp.log")).toHaveLength(12);
      rmSync(at("mlp.log"));
    },
    20_000,
  );

  test("--dry-run says the memory and writes nothing", async () => {
    const { text, code } = await curriculum(`model ${line} -n -o never/`);
    expect(code).toBe(0);
    expect(text).toContain("data: a 16 rows, 256 tokens; b 16 rows, 256 tokens; c 16 rows, 256 tokens\n6 steps");
    expect(existsSync(at("never"))).toBe(false);
  });
});

describe("refusals", () => {
  test.each([
    ["--method aioli --round 5 --passes 1 --lp-steps 1", "aioli needs held-out rows of every group", ""],
    [
      `--method progress --eval-data a=a-held.jsonl --eval-data b=b-held.jsonl`,
      "progress needs held-out rows of every group, and there are none of c",
      "give --eval-data c=held-out.jsonl, named as in --data",
    ],
    [
      `--method aioli ${HELD}`,
      "--passes 4 and --lp-steps 4 for 3 groups take 48 steps of a round of 1",
      "give a larger --round, or fewer passes or steps",
    ],
    [`--method skill-it ${HELD}`, "--method skill-it needs --graph", "`curriculum graph` makes one"],
    ["--method stratified --graph graph.json", "stratified reads no --graph", "leave it out"],
    [`--method skill-it ${HELD} --graph none.json`, "--graph none.json cannot be read", "make one"],
    [`--method skill-it ${HELD} --graph two.json`, "--graph is 2 x 2 but there are 3 groups", "one row and one column"],
    [
      `--method skill-it ${HELD} --graph named.json`,
      "--graph named.json does not know the group c",
      "it knows a, b, d",
    ],
    ["--method static --mixture 1,2", "--mixture has 2 values but there are 3 groups", "give one for each of a, b, c"],
    ["--method dmt --special aa", "--special: there is no group aa", "did you mean a?"],
    ["--method doremi", "--reference-losses is missing", ""],
    [
      "--method meco --conditioned a",
      "--conditioned names 1 groups, and there are 2 plain ones",
      "every group with metadata needs its counterpart without",
    ],
    ["--schedule-from none.log", "--schedule-from none.log cannot be read", ""],
    ["--schedule-from empty.log", "empty.log has no mixtures", "give the --log of a curriculum run"],
    [
      "--schedule-from pair.log",
      "pair.log, line 1: the groups were a, b, now they are a, b, c",
      "give the same groups in the same order",
    ],
    [
      "--method stratified --sample-weight linupper --accumulate 2",
      "--sample-weight compares the rows of one batch",
      "give a larger --batch-size instead of --accumulate",
    ],
    [
      "--method stratified --sample-weight linupper --task-loss sample-mean",
      "--sample-weight linupper and --task-loss sample-mean both say what rows weigh",
      "leave one of them out",
    ],
    [
      "--method task-balance --strategy equal --sample-weight extremes",
      "--sample-weight extremes and --method task-balance both weigh rows",
      "leave --sample-weight out",
    ],
    ["--method length --start-length 9 --end-length 8", "--end-length 8 is below --start-length 9", "the limit grows"],
    ["--method cyclical --start 0.5 --end 0.4", "--start 0.5 is above --end 0.4", "a pass has at least --start"],
    ["--method static --focus 3", "--focus means nothing without --task-loss task-focal", "give both or neither"],
    [
      "--method static --reweight-temp 2",
      "--reweight-temp means nothing without --sample-weight linupper, quadratic or extremes",
      "give both or neither",
    ],
    [
      "--method static --select-by craig",
      "--select-by means nothing without curriculum select",
      "give both or neither",
    ],
    ["--method static --graph-steps 3", "--graph-steps means nothing without curriculum graph", "give both or neither"],
    [
      "--method sec --schedule-from pair.log",
      "both --schedule-from and --method sec say what is drawn",
      "leave one of them out",
    ],
    ["--schedule-from pair.log --graph graph.json", "--graph means nothing with --schedule-from", "leave it out"],
    ["--method length --graph graph.json", "length reads no --graph", "leave it out"],
    ["--method skilit", "--method: unknown method skilit", "did you mean skill-it?"],
    [
      "other --method static",
      "unexpected argument other",
      "it takes one model, or graph or select and a model, or plan",
    ],
  ])(
    "%s",
    async (options, message, hint) => {
      writeFileSync(at("graph.json"), JSON.stringify(GRAPH));
      writeFileSync(at("two.json"), "[[1, 0], [0, 1]]");
      writeFileSync(at("named.json"), JSON.stringify({ groups: ["a", "b", "d"], graph: GRAPH }));
      writeFileSync(at("empty.log"), '{"event":"start"}\n');
      writeFileSync(at("pair.log"), '{"event":"mixture","step":0,"groups":["a","b"],"probs":[0.5,0.5]}\n');
      const { err, code } = await curriculum(`model ${options} ${DATA} ${RUN} --steps 12 -o refused/`);
      const [first, second = ""] = err.split("\n");
      expect(first!.startsWith(`curriculum: ${message}`)).toBe(true);
      expect(second).toContain(hint);
      expect(code).toBe(2);
      expect(existsSync(at("refused"))).toBe(false);
    },
    20_000,
  );

  test("graph and plan say what they lack", async () => {
    const refused = async (line: string, message: string) => {
      const { err, code } = await curriculum(line);
      expect(err.split("\n")[0]).toBe(`curriculum: ${message}`);
      expect(code).toBe(2);
    };
    await refused(`graph model --data a=a.jsonl ${HELD} -q`, "a graph needs two groups or more");
    await refused(
      `graph model ${DATA} --eval-data a=a-held.jsonl -q`,
      "a graph needs held-out rows of every group, and there are none of b",
    );
    await refused(`graph ${DATA} --edges a:d -q`, "edge a:d does not name two groups");
    await refused("plan --tokens 100", "a plan needs --flops or --parameters");
    await refused(`model --method stratified ${RUN} --steps 2 -o refused/`, "--data is missing");
  }, 20_000);
});
