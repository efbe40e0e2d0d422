/** Score forgetting distillation: its losses at the beginning, who learns from which, and what is drawn in the end. */
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bindDefaults } from "../../src/method/bind.ts";
import { Model } from "../../src/model/model.ts";
import { denoised, fixedLevel } from "../../src/run/denoising/noised.ts";
import { Programs } from "../../src/run/programs.ts";
import type { Built } from "../../src/run/training/technique.ts";
import { Program, profileOf } from "../../src/tensor/program.ts";
import { Recorder } from "../../src/tensor/recorder.ts";
import { ddpmLevel, method as sfd } from "../../src/unlearn/methods/data-free/sfd.ts";
import { runScript } from "../support/command.ts";
import { sharedGpu } from "../support/gpu.ts";

setDefaultTimeout(120_000);
const gpu = await sharedGpu();
const SHAPE = { model_type: "denoiser", input_size: 2, hidden_size: 32, num_hidden_layers: 1, num_labels: 4 };
const START = ddpmLevel(440);

/** What is trained of a new denoiser. */
async function begun(more: Record<string, unknown>) {
  const model = await Model.fresh(gpu, { ...SHAPE, sigma_max: START }, "m", { seed: 1 });
  const original = await Model.fresh(gpu, SHAPE, "m", { seed: 1, freeze: () => true });
  const built = { model, gpu, resumed: false, original: async () => original } as Partial<Built> as Built;
  const { values } = bindDefaults(sfd, { forget_cond: 1, override: 3, ...more });
  const work = await sfd.work({ built, values, seed: 4 });
  return { model, original, work };
}

/** Losses and gradients of the first step, and what the program was filled with. */
async function firstStep(more: Record<string, unknown>, rows = 16) {
  const { model, original, work } = await begun(more);
  const { objective, extra = [] } = work;
  const rec = new Recorder(profileOf(gpu));
  const { backward, metrics } = objective.record(rec, { rows }, "");
  rec.output("loss", metrics.loss!);
  rec.output("fake", metrics.fake_loss!);
  rec.backward(backward);
  const program = await Program.compile(gpu, rec);
  const filled = new Map<string, number[]>();
  const write = program.write.bind(program);
  program.write = (name, values) => {
    filled.set(name, Array.from(values));
    write(name, values);
  };
  objective.begin?.(1);
  objective.fill(program, { rows }, rows, "");
  program.run({ accumulate: 0 });
  const [loss, fake] = [(await program.read("loss"))[0]!, (await program.read("fake"))[0]!];
  const length = async (of: readonly { readonly gradient: GPUBuffer; readonly size: number }[]) => {
    let sum = 0;
    for (const { gradient, size } of of) for (const g of await gpu.readFloats(gradient, size)) sum += g * g;
    return Math.sqrt(sum);
  };
  const found = { loss, fake, filled, own: await length(model.trainable()), beside: await length(extra) };
  program.free();
  const free = () => {
    work.free?.();
    model.free();
  };
  return { ...found, model, original, free };
}

/** What a model says of rows of several levels and classes. */
async function said(model: Model, x: readonly number[], sigma: number, label: number): Promise<number[]> {
  const programs = new Programs(gpu);
  const { program } = await programs.get("", (rec) => {
    const noise = fixedLevel(rec, model, sigma, rec.constant(Int32Array.of(label), [1], "class"));
    rec.output("d", denoised(rec, model, { x: rec.constant(Float32Array.from(x), [1, 2], "x"), noise }));
  });
  program.run();
  const d = [...(await program.read("d"))];
  programs.free();
  return d;
}

test("levels are those of DDPM's line of 1000 steps", () => {
  expect(ddpmLevel(0)).toBeCloseTo(Math.sqrt(1e-4 / (1 - 1e-4)), 8);
  expect([ddpmLevel(38), ddpmLevel(440), ddpmLevel(712)].map((level) => level.toFixed(2))).toEqual([
    "0.14",
    "2.50",
    "13.11",
  ]);
});

test("with nothing to forget the generator has nothing to learn at first, and its fake has", async () => {
  const { loss, own, beside, fake, free } = await firstStep({ sfd_weight: 0 });
  expect(Math.abs(loss)).toBeLessThan(1e-6);
  expect(own).toBeLessThan(1e-5);
  expect(fake).toBeGreaterThan(0);
  expect(beside).toBeGreaterThan(1e-3);
  free();
});

test("the loss of the class to forget is that of the card", async () => {
  const { loss, own, filled, original, model, free } = await firstStep({ sfd_weight: 0.5, sfd_alpha: 0.7 });
  const of = (name: string) => filled.get(name)!;
  expect(of("wanted classes")).toEqual(of("own classes").map((label) => (label === 1 ? 3 : label)));
  let wanted = 0;
  for (const [row, label] of of("own classes").entries()) {
    if (label !== 1) continue;
    const at = (name: string) => of(name).slice(2 * row, 2 * row + 2);
    const x0 = await said(
      model,
      at("own z").map((z) => START * z),
      START,
      1,
    );
    const x = x0.map((value, i) => value + at("own noise")[i]!);
    const sigma = Math.sqrt(1 / of("own level into")[row]! ** 2 - 0.25);
    const [real, fake] = [await said(original, x, sigma, 3), await said(original, x, sigma, 1)];
    const d = real.map((value, i) => value - fake[i]!);
    const omega = real.reduce((sum, value, i) => sum + Math.abs(value - x0[i]!), 0) / 2;
    const product = d.reduce((sum, value, i) => sum + value * (real[i]! - x0[i]! - 0.7 * value), 0);
    wanted += (0.5 / 16) * (product / omega);
    expect(of("own weights")[row]).toBeCloseTo(0.5 / 16, 6);
  }
  expect(wanted).not.toBe(0);
  expect(loss / wanted).toBeCloseTo(1, 2);
  expect(own).toBeGreaterThan(1e-4);
  free();
});

test("without --override another class is drawn each time", async () => {
  const { filled, free } = await firstStep({ override: undefined }, 200);
  const own = filled.get("own classes")!;
  const others = new Set(filled.get("wanted classes")!.filter((_, row) => own[row] === 1));
  expect([...others].sort()).toEqual([0, 2, 3]);
  free();
});

const folder = mkdtempSync(join(tmpdir(), "ingot-sfd-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const run = (line: string) => {
  const [script, ...argv] = line.split(" ");
  return runScript(script!, [...argv, "-q"], folder);
};
const done = async (line: string) => {
  const { code, text, err } = await run(line);
  if (code !== 0) throw new Error(`${line}: ${err}`);
  return text;
};

/** Modes at the corners of a square. */
const CENTRES = [
  [0.5, 0.5],
  [-0.5, 0.5],
  [-0.5, -0.5],
  [0.5, -0.5],
];

beforeAll(async () => {
  const rows = Array.from({ length: 64 }, (_, i) => {
    const [x, y] = CENTRES[i % 4]!;
    return `${JSON.stringify({ x: [x! + 0.05 * Math.sin(i), y! + 0.05 * Math.cos(3 * i)], label: i % 4 })}\n`;
  });
  writeFileSync(join(folder, "rows.jsonl"), rows.join(""));
  writeFileSync(join(folder, "others.jsonl"), rows.slice(0, 4).join(""));
  writeFileSync(join(folder, "d.json"), JSON.stringify(SHAPE));
  writeFileSync(
    join(folder, "mlp.json"),
    JSON.stringify({ model_type: "mlp", input_size: 2, hidden_sizes: [4], num_labels: 4 }),
  );
  const more = "--data rows.jsonl --batch-size 64 --save-every 0";
  await done(`train --init d.json --loss denoise --steps 250 --lr 1e-2 ${more} -o d/`);
  await done(`train --init mlp.json --steps 1 ${more} -o mlp/`);
});

test("the class to forget is drawn as the other one, the others as before; the same bytes again", async () => {
  const line =
    "unlearn d/ --method sfd --forget-cond 1 --override 3 --sfd-weight 1 --batch-size 64 --lr 2e-3 --beta1 0 --steps 120 --clip 1";
  await done(`${line} --save-every 0 -o forgot/`);
  const shareIn = async (model: string, label: number, mode: number) => {
    const text = await done(`sample vectors ${model} --steps 1 --count 50 --label ${label}`);
    const nearest = text
      .trim()
      .split("\n")
      .map((row) => {
        const { x } = JSON.parse(row) as { x: number[] };
        const away = CENTRES.map((centre) => Math.hypot(x[0]! - centre[0]!, x[1]! - centre[1]!));
        return away.indexOf(Math.min(...away));
      });
    return nearest.filter((found) => found === mode).length / 50;
  };
  expect(await shareIn("forgot/", 1, 3)).toBeGreaterThan(0.95);
  for (const label of [0, 2, 3]) expect(await shareIn("forgot/", label, label)).toBeGreaterThan(0.95);
  const config = JSON.parse(readFileSync(join(folder, "forgot/config.json"), "utf8"));
  expect(config.sigma_max).toBeCloseTo(START, 6);
  const short = line.replace("--steps 120", "--steps 4");
  await done(`${short} --save-every 0 -o a/`);
  await done(`${short} --save-every 0 -o b/`);
  const bytes = (name: string) => readFileSync(join(folder, name, "model.safetensors"));
  expect(bytes("a").equals(bytes("b"))).toBeTrue();
});

test.each([
  ["unlearn d/ --method sfd --forget-cond 4 --steps 1 -o x/", "--forget-cond 4: d/ has 4 classes"],
  ["unlearn d/ --method sfd --forget-cond 1 --override 1 --steps 1 -o x/", "--override 1 is the class to forget"],
  ["unlearn mlp/ --method sfd --forget-cond 1 --steps 1 -o x/", "--method sfd is for denoisers, and mlp/ is a mlp"],
  ["unlearn d/ --method sfd --forget-cond 1 --forget rows.jsonl --steps 1 -o x/", "--forget is of rows"],
  ["unlearn d/ --method sfd --forget-cond 1 -o x/", "no epoch says how long it trains"],
  ["unlearn d/ --method sfd --steps 1 -o x/", "--forget-cond"],
  [
    "unlearn d/ --method random-labels --forget rows.jsonl --retain others.jsonl --steps 1 -o x/",
    "the model is a denoiser",
  ],
])("%s is refused", async (line, why) => {
  const { code, err } = await run(line);
  expect(code).toBe(2);
  expect(err).toContain(why);
});
