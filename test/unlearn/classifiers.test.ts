/** Baselines of unlearning for classifiers: what their files say, and runs on small ones of every form. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open } from "../../src/checkpoint/open.ts";
import type { Example } from "../../src/data/examples.ts";
import { Random } from "../../src/data/random.ts";
import { bindDefaults } from "../../src/method/bind.ts";
import type { UnlearnObjective } from "../../src/unlearn/contract.ts";
import { method as badTeacher } from "../../src/unlearn/methods/objectives/bad-teacher.ts";
import { method as negGrad } from "../../src/unlearn/methods/objectives/neg-grad.ts";
import { method as scrub } from "../../src/unlearn/methods/objectives/scrub.ts";
import { relabelledExamples, relabelledSequences } from "../../src/unlearn/relabel.ts";
import { largest } from "../../src/unlearn/salient-weights.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";
import { checkOp } from "../support/program.ts";
import { normals } from "../support/random.ts";

const folder = mkdtempSync(join(tmpdir(), "ingot-classifiers-"));
const at = (name: string) => join(folder, name);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("other labels", () => {
  const example = (label: number, place: string): Example => ({
    x: Float32Array.of(1),
    shape: [1],
    label,
    group: 0,
    place,
  });
  test("every row has another one, all are as likely, and a row's hangs on its place and the seed alone", () => {
    const rows = Array.from({ length: 600 }, (_, i) => example(i % 3, `rows.jsonl:${i}`));
    const found = relabelledExamples(rows, 3, 5);
    const shifts = found.map(({ label }, i) => (label - rows[i]!.label + 3) % 3);
    expect(shifts.filter((by) => by === 0)).toEqual([]);
    expect(Math.abs(shifts.filter((by) => by === 1).length - 300)).toBeLessThan(75);
    expect(relabelledExamples(rows.slice(7, 9), 3, 5)).toEqual(found.slice(7, 9));
    expect(relabelledExamples(rows, 3, 6)).not.toEqual(found);
    expect(relabelledExamples([example(-100, "a")], 3, 5)[0]!.label).toBe(-100);
    expect(() => relabelledExamples(rows, 1, 5)).toThrow(
      "rows to forget get another label, and the model has one alone",
    );
  });

  test("of text what counts is another token, and what is read stays", () => {
    const ids = Int32Array.of(4, 5, 6, 7);
    const rows = [{ ids, labels: Int32Array.of(-100, -100, 6, 7), group: 0, place: "a:1" }];
    const [found] = relabelledSequences(rows, 9, 1);
    expect(found!.ids).toBe(ids);
    expect([...found!.labels.subarray(0, 2)]).toEqual([-100, -100]);
    for (const t of [2, 3]) {
      expect(found!.labels[t]).not.toBe(ids[t]!);
      expect(found!.labels[t]).toBeWithin(0, 9);
    }
  });
});

test("salient are the weights of the largest gradients over all tensors; equal ones count alike", () => {
  const gradients = [Float32Array.of(-4, 1, 0.5), Float32Array.of(3, 0.5)];
  expect(largest(gradients, 0.4).map((mask) => [...mask])).toEqual([
    [1, 0, 0],
    [1, 0],
  ]);
  expect(largest(gradients, 0.8).map((mask) => [...mask])).toEqual([
    [1, 1, 1],
    [1, 1],
  ]);
  expect([...largest([Float32Array.of(0, 0, 2)], 0.9)[0]!]).toEqual([0, 0, 1]);
});

describe("steps in turns", () => {
  const weightsOf = (method: UnlearnObjective, values: Record<string, number>) => {
    const adaptive = method.adaptive!({
      ...bindDefaults(method, values),
      weights: { forget: 2, retain: 3 },
      steps: 12,
      perEpoch: 2,
      passes: { forget: 2, retain: 3 },
    });
    return Array.from({ length: 12 }, (_, i) => adaptive.values(i + 1)).map(
      ({ forget_weight: forget, retain_weight: retain }) =>
        forget === 2 && retain === 0 ? "f" : retain === 3 && forget === 0 ? "r" : "?",
    );
  };
  test("neg-grad climbs for its passes, then repairs", () => {
    expect(weightsOf(negGrad, { ascent_epochs: 2 }).join("")).toBe("ffffrrrrrrrr");
    expect(weightsOf(negGrad, { ascent_epochs: 0.5 }).join("")).toBe("frrrrrrrrrrr");
  });
  test("scrub takes a pass of each in turns, then keeps alone", () => {
    expect(weightsOf(scrub, { max_passes: 2 }).join("")).toBe("ffrrrffrrrrr");
    expect(weightsOf(scrub, { max_passes: 0 }).join("")).toBe("rrrrrrrrrrrr");
  });
});

describe("losses", async () => {
  const gpu = await sharedGpu();
  const [N, V, T] = [5, 4, 4];
  const targets = { shape: [N], data: Int32Array.of(3, 0, -100, 1, 2), dtype: "i32" } as const;
  const inputs = {
    z: { shape: [N, V], data: normals(5, N * V, 2) },
    theirs: { shape: [N, V], data: normals(6, N * V, 2), grad: false },
    targets,
  };
  const none = (): never => {
    throw new Error("the loss asks for another model");
  };
  const logSoft = (x: ArrayLike<number>, n: number, t: number) => {
    const row = Array.from({ length: V }, (_, v) => x[n * V + v]! / t);
    const sum = Math.log(row.reduce((a, b) => a + Math.exp(b), 0));
    return row.map((value) => value - sum);
  };
  const kl = (z: ArrayLike<number>, z0: ArrayLike<number>, n: number, t: number) => {
    const [p, q] = [logSoft(z0, n, t), logSoft(z, n, t)];
    return t * t * p.reduce((sum, x, v) => sum + Math.exp(x) * (x - q[v]!), 0);
  };
  const each = (of: (n: number, target: number) => number) =>
    Float64Array.from(targets.data, (target, n) => (target < 0 ? 0 : of(n, target)));

  test("bad-teacher is the divergence from a network that never learnt", () =>
    checkOp(gpu, "bad-teacher", {
      inputs,
      build: (rec, x) =>
        badTeacher.rows!(rec, {
          logits: x.z!,
          targets: x.targets!,
          original: none,
          untrained: () => x.theirs!,
          ...bindDefaults(badTeacher, { teacher_temperature: 2 }),
        }),
      reference: ({ z, theirs }) => each((n) => kl(z!, theirs!, n, 2)),
    }));

  test("scrub leaves by minus a divergence at temperature 4, and stays by labels and a tenth of it", async () => {
    const chosen = bindDefaults(scrub);
    const given = (x: Record<string, never>) => ({ original: () => x.theirs!, values: chosen.values });
    await checkOp(gpu, "scrub, forget", {
      inputs,
      build: (rec, x) => scrub.rows!(rec, { logits: x.z!, targets: x.targets!, untrained: none, ...given(x as never) }),
      reference: ({ z, theirs }) => each((n) => -kl(z!, theirs!, n, T)),
    });
    await checkOp(gpu, "scrub, retain", {
      inputs,
      build: (rec, x) => scrub.keeps!(rec, { logits: x.z!, targets: x.targets!, ...given(x as never) }),
      reference: ({ z, theirs }) =>
        each((n, target) => -0.99 * logSoft(z!, n, 1)[target]! + 0.1 * kl(z!, theirs!, n, T)),
    });
  });
});

describe("small classifiers", () => {
  const SIDE = 6;
  const FORMS: Readonly<Record<string, object>> = {
    mlp: { model_type: "mlp", input_size: SIDE * SIDE, hidden_sizes: [12], num_labels: 3 },
    vit: {
      model_type: "vit",
      hidden_size: 12,
      intermediate_size: 16,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      image_size: SIDE,
      patch_size: 2,
      num_channels: 1,
      num_labels: 3,
      initializer_range: 0.2,
    },
    convnet: {
      model_type: "convnet",
      num_channels: 1,
      image_size: SIDE,
      num_labels: 3,
      head_pooling: "flatten",
      layers: [{ type: "conv", channels: 6, kernel_size: 3, padding: 1 }],
    },
  };
  /** Images that are bright in the third of their label. */
  const image = (random: Random, label: number) =>
    Array.from({ length: SIDE }, (_, r) =>
      Array.from({ length: SIDE }, () => [random.uniform() + (Math.floor(r / 2) === label ? 2 : 0)]),
    ).flat(2);
  const write = (name: string, seed: number, labels: readonly number[]) => {
    const random = new Random(seed);
    const rows = labels.map((label) => ({ x: image(random, label), label }));
    writeFileSync(at(name), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
  };
  const run = async (script: string, line: string) => {
    const { text, err, code } = await runScript(script, line.split(" "), folder);
    if (code !== 0) throw new Error(`${script} ${line}: ${err}`);
    return text;
  };
  beforeAll(async () => {
    write("forget.jsonl", 1, Array(12).fill(0));
    write("retain.jsonl", 2, [...Array(18).fill(1), ...Array(18).fill(2)]);
    write("holdout.jsonl", 3, [...Array(12).fill(1), ...Array(12).fill(2)]);
    const all = `${readFileSync(at("forget.jsonl"), "utf8")}${readFileSync(at("retain.jsonl"), "utf8")}`;
    writeFileSync(at("all.jsonl"), all);
    for (const [form, json] of Object.entries(FORMS)) {
      writeFileSync(at(`${form}.json`), JSON.stringify(json));
      await run(
        "train",
        `--init ${form}.json --data all.jsonl --steps ${form === "vit" ? 60 : 12} --batch-size 24 --lr 2e-2 -q -o ${form}/`,
      );
    }
  });
  const measured = async (models: string, metrics: string, more = "") => {
    const data = ["forget", "retain", "holdout"].map((name) => `--data ${name}=${name}.jsonl`).join(" ");
    const { rows } = JSON.parse(
      await run("evaluate", `${models} ${data} --metric ${metrics} --bootstrap 0 ${more}--json -q`),
    ) as { rows: { model: string; group: string; metric: string; value: number }[] };
    return (model: string, group: string, metric: string) =>
      rows.find((row) => row.model === model && row.group === group && row.metric === metric)!.value;
  };

  test.each([
    ["mlp", "neg-grad", "--ascent-epochs 2 --steps 10"],
    ["mlp", "scrub", "--max-passes 2 --steps 10"],
    ["mlp", "bad-teacher", "--steps 12"],
    ["mlp", "salun", "--steps 12"],
    ["vit", "random-labels", "--steps 20"],
    ["convnet", "bad-teacher", "--steps 24"],
  ])("a %s forgets a class by %s, and keeps the others", async (form, name, how) => {
    const line = `${form}/ --method ${name} --forget forget.jsonl --retain retain.jsonl --batch-size 12 --lr ${form === "vit" ? 5e-3 : 2e-2} ${how}`;
    await run("unlearn", `${line} -q -o ${form}-${name}/`);
    const value = await measured(`${form} ${form}-${name}/`.replace(/\/$/, ""), "accuracy");
    expect(value(form, "forget", "accuracy")).toBeGreaterThan(0.8);
    expect(value(form, "holdout", "accuracy")).toBeGreaterThan(0.8);
    expect(value(`${form}-${name}`, "forget", "accuracy")).toBeLessThan(0.5);
    expect(value(`${form}-${name}`, "holdout", "accuracy")).toBeGreaterThan(0.8);
  });

  test("salun leaves the weights that are not salient bit for bit, and moves the others", async () => {
    const values = async (ref: string) => {
      const checkpoint = await open(at(ref));
      const found: number[] = [];
      for (const { bytes, read } of checkpoint.tensors.values()) {
        const own = new Uint8Array(bytes);
        await read(own, 0);
        found.push(...new Float32Array(own.buffer));
      }
      checkpoint.close();
      return found;
    };
    const [before, after] = [await values("mlp"), await values("mlp-salun")];
    const still = before.filter((x, i) => Object.is(x, after[i]!)).length / before.length;
    expect(still).toBeWithin(0.45, 0.9);
  });

  test("metrics of forgetting: none forgets like the model itself, and gold is at no distance from itself", async () => {
    await run("train", "--init mlp.json --data retain.jsonl --steps 12 --batch-size 12 --lr 2e-2 -q -o gold/");
    const metrics = "zrf,activation-distance,mia-entropy";
    const value = await measured("mlp gold mlp-bad-teacher", metrics, "--gold gold ");
    expect(value("gold", "forget", "activation-distance")).toBe(0);
    expect(value("mlp", "forget", "activation-distance")).toBeGreaterThan(0.5);
    expect(value("mlp-bad-teacher", "forget", "zrf")).toBeGreaterThan(value("mlp", "forget", "zrf"));
    expect(value("mlp", "all", "mia-entropy")).toBeWithin(0, 1.001);
  });

  test("metrics of classes are refused for want of rows that were learnt", async () => {
    const line = "mlp --data forget=forget.jsonl --data holdout=holdout.jsonl --metric mia-entropy -q";
    const { err, code } = await runScript("evaluate", line.split(" "), folder);
    expect(code).toBe(2);
    expect(err).toContain("--metric mia-entropy needs a group named retain; the data has forget, holdout");
  });

  test("a budget of rows brings a classifier's class back", async () => {
    const line =
      "mlp-bad-teacher --data forget=forget.jsonl --attack relearn --relearn-rows 12 --relearn-epochs 6 --relearn-lr 2e-2 --metric accuracy --json -q";
    const { rows } = JSON.parse(await run("evaluate", line)) as { rows: { values: number[] }[] };
    expect(rows[0]!.values[1]!).toBeGreaterThan(rows[0]!.values[0]!);
  });
});
