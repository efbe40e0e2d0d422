/**
 * Score forgetting distillation: a denoiser that knows classes becomes a generator of one step which, asked for one of
 * them, gives another. It learns from the denoiser phi, frozen, and its own draws; no row is read.
 *
 *   x_0 = G(s z, c),  x_t = x_0 + sigma e;   D_m(x_t, c) is what a denoiser m says that x_t was
 *
 *   fake psi     w |D_psi(x_t, c) - sg x_0|^2 / sigma^2                     follows what G draws
 *   generator G  w <d, (D_phi(x_t, c') - x_0) - alpha d> / omega,   d = D_phi(x_t, c') - D_psi(x_t, c)
 *
 * omega is the mean of |D_phi - x_0| over a row, at least 1e-5; c' = c and w = 1 for classes that stay, and for the one
 * to forget c' = c* and w = w_f. Both begin as phi. "Score Forgetting Distillation", ICLR 2025,
 * https://arxiv.org/abs/2409.11219. Levels are those of its 1000 steps of linear DDPM noise (38 to 712, the
 * generator's input at 440), as standard deviations beside a row of scale 1. Both steps are taken at once, so that G
 * meets psi as it was a step before. The result's sigma_max is the level s of the generator's input.
 */

import { UserError } from "../../../errors.ts";
import type { Json } from "../../../model/architecture.ts";
import type { Model } from "../../../model/model.ts";
import { normals, StepDraws } from "../../../run/denoising/draws.ts";
import type { NoiseBatch } from "../../../run/denoising/noise-source.ts";
import { denoised, fillLevels, fixedLevel, recordLevels, valuesOf } from "../../../run/denoising/noised.ts";
import type { Objective } from "../../../run/training/objective.ts";
import { abs, add, clamp, div, mul, scale, square, stopGradient, sub } from "../../../tensor/ops/elementwise.ts";
import { dot, rowSum } from "../../../tensor/ops/reduce.ts";
import { Parameter } from "../../../tensor/parameter.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { defineDataFree } from "../../contract.ts";

/** Steps of DDPM's noise: the first and the last that are drawn, and the generator's. */
const [FIRST, LAST, START] = [38, 712, 440];

/** Level of a step, from 0, of 1000: beta rises in a line from 1e-4 to 0.02. */
export function ddpmLevel(step: number): number {
  let kept = 1;
  for (let t = 0; t <= step; t++) kept *= 1 - (1e-4 + (t / 999) * (0.02 - 1e-4));
  return Math.sqrt((1 - kept) / kept);
}

interface Setting {
  readonly forget: number;
  /** A class drawn anew for every row when undefined. */
  readonly override: number | undefined;
  readonly weight: number;
  readonly alpha: number;
  /** Level of the generator's input. */
  readonly start: number;
  readonly seed: number;
}

/** The three models: the generator learns, its fake learns beside it, the original is frozen. */
interface Models {
  readonly generator: Model;
  readonly original: Model;
  /** Weights of the fake, in the place of the generator's. */
  readonly fake: ReadonlyMap<Parameter, Parameter>;
}

function objectiveOf({ generator, original, fake }: Models, setting: Setting): Objective<NoiseBatch> {
  const width = valuesOf(generator);
  const none = generator.sizes.outputs;
  const levels = Array.from({ length: LAST - FIRST + 1 }, (_, i) => ddpmLevel(FIRST + i));
  const draws = new StepDraws(setting.seed, "sfd");
  /** The inputs of one of both steps, and what is drawn and noised by them. */
  const drawn = (rec: Recorder, rows: number, name: string) => {
    const classes = rec.input(`${name} classes`, [rows], "i32");
    const z = rec.input(`${name} z`, [rows, width]);
    const noise = fixedLevel(rec, generator, setting.start, classes);
    const x = denoised(rec, generator, { x: scale(rec, z, setting.start), noise });
    const e = rec.input(`${name} noise`, [rows, width]); // sigma e
    return { x, e, classes, weights: rec.input(`${name} weights`, [rows]) };
  };
  const level = (rec: Recorder, rows: number, name: string, classes: Tensor) =>
    recordLevels(rec, generator, { rows, name: `${name} level`, classes });
  const byFake = (rec: Recorder, given: Parameters<typeof denoised>[2], fixed: boolean) => {
    const weights = fixed
      ? new Map([...fake].map(([of, own]) => [of, stopGradient(rec, rec.parameter(own))] as const))
      : fake;
    return rec.standingIn(weights, () => denoised(rec, generator, given, { adapter: false }));
  };
  return {
    name: "sfd",
    key: ({ rows }) => `${rows}`,
    counted: ({ rows }) => rows,
    size: ({ rows }) => rows,
    begin: (step) => draws.begin(step),

    record(rec, { rows }) {
      const seen = drawn(rec, rows, "fake");
      const shown = stopGradient(rec, seen.x);
      const followed = { x: add(rec, shown, seen.e), noise: level(rec, rows, "fake", seen.classes) };
      const errors = rowSum(rec, square(rec, sub(rec, byFake(rec, followed, false), shown)), 1 / width);
      const own = drawn(rec, rows, "own");
      const noised = add(rec, own.x, own.e);
      const wanted = rec.input("wanted classes", [rows], "i32");
      const real = denoised(rec, original, { x: noised, noise: level(rec, rows, "own", wanted) });
      const said = byFake(rec, { x: noised, noise: level(rec, rows, "own", own.classes) }, true);
      const d = sub(rec, real, said);
      const away = sub(rec, real, own.x);
      const size = rowSum(rec, abs(rec, stopGradient(rec, away)), 1 / width);
      const omega = clamp(rec, size, 1e-5, 1e30);
      const products = rowSum(rec, mul(rec, d, sub(rec, away, scale(rec, d, setting.alpha))));
      const losses = div(rec, products, omega);
      return {
        backward: [
          [errors, seen.weights],
          [losses, own.weights],
        ],
        metrics: { loss: dot(rec, losses, own.weights), fake_loss: dot(rec, errors, seen.weights) },
      };
    },

    fill(program, { rows }, total) {
      const random = draws.next();
      const weight = (label: number) => (label === setting.forget ? setting.weight : 1) / total;
      for (const name of ["fake", "own"]) {
        const classes = Int32Array.from({ length: rows }, () => random.below(none));
        const sigmas = Float64Array.from({ length: rows }, () => levels[random.below(levels.length)]!);
        program.write(`${name} classes`, classes);
        program.write(`${name} z`, normals(random, rows * width));
        program.write(
          `${name} noise`,
          normals(random, rows * width).map((value, i) => value * sigmas[Math.floor(i / width)]!),
        );
        fillLevels(program, generator, `${name} level`, sigmas);
        const fair = Float32Array.from(classes, weight);
        program.write(`${name} weights`, name === "fake" ? fair.map((share, i) => share / sigmas[i]! ** 2) : fair);
        const other = () => (setting.forget + 1 + random.below(none - 1)) % none;
        if (name === "own")
          program.write(
            "wanted classes",
            classes.map((label) => (label === setting.forget ? (setting.override ?? other()) : label)),
          );
      }
    },
  };
}

export const method = defineDataFree({
  name: "sfd",
  title: "Score forgetting distillation",
  about: "of a denoiser: a one-step generator that gives another class for one, from no rows",
  cite: "arXiv:2409.11219",
  options: {
    forget_cond: { type: "number.integer >= 0", required: true, help: "class to forget", value: "CLASS" },
    override: {
      type: "number.integer >= 0",
      help: "class that stands in its place; one drawn anew each time when left out",
      value: "CLASS",
    },
    sfd_weight: { type: "number >= 0", default: 0.01, help: "weight of the class to forget, 1: as the others" },
    sfd_alpha: { type: "number", default: 1.2, help: "alpha, how much of d's own square is taken off", value: "A" },
  },
  /** The generator begins at the level of its input. */
  changed: () => (json: Json) => ({ ...json, sigma_max: ddpmLevel(START) }),

  check({ forget_cond: forget, override }, { task, ref, architecture, sizes }) {
    if (task !== "denoiser")
      throw new UserError(`--method sfd is for denoisers, and ${ref} is a ${architecture.name}`, "see unlearn --list");
    const { outputs: classes } = sizes;
    if (classes < 2) throw new UserError(`${ref} knows ${classes} classes, and --method sfd puts one for another`);
    for (const [flag, label] of [
      ["--forget-cond", forget],
      ["--override", override],
    ] as const)
      if (label !== undefined && label >= classes)
        throw new UserError(`${flag} ${label}: ${ref} has ${classes} classes`, `give 0 to ${classes - 1}`);
    if (override === forget)
      throw new UserError(`--override ${override} is the class to forget`, "name another, or leave it out");
  },

  async work({ built, values, seed }) {
    const { model, gpu, resumed } = built;
    const original = await built.original();
    const fake = new Map<Parameter, Parameter>();
    for (const [name, parameter] of original.parameters) {
      const own = new Parameter(gpu, `fake of ${name}`, parameter.shape);
      if (!resumed) own.take(parameter);
      fake.set(model.parameters.get(name)!, own);
    }
    const { forget_cond: forget, override, sfd_weight: weight, sfd_alpha: alpha } = values;
    return {
      extra: [...fake.values()],
      objective: objectiveOf(
        { generator: model, original, fake },
        { forget, override, weight, alpha, start: ddpmLevel(START), seed },
      ),
      free() {
        original.free();
        for (const own of fake.values()) own.free();
      },
    };
  },
});
