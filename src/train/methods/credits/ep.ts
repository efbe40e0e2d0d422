/**
 * Equilibrium propagation: a network that rests is nudged towards its label, and each unit's error is how far it moves.
 * The nudge goes round a circle in the complex plane, so that the error is that of an endless small one.
 *
 *   u(b) = the rest of u_l <- sigmoid(W_l u_{l-1} + V_l u_{l+1} + b_l + b g at the top),
 *   g = -gradient of the loss to u at b = 0
 *   e = 1 / (N |b|) sum_t u(|b| w^t) w^-t,  w = exp(2 pi i / N);  gradient of W_l: -e_l u_{l-1}, of V_l: -e_l u_{l+1}
 *
 * It is the loss's gradient where feedback is the transpose. Where it is not, homeostasis draws it there: J is the
 * Jacobian of the rest in coordinates in which it is symmetric with such feedback, J = D^1/2 W D^1/2 with D the slopes,
 * and
 *
 *   loss_h = mean of |J z|^2 - z J J z over signs z, per unit, which is |J - J^T|^2 / 2 per unit.
 *
 * Laborieux and Zenke, "Improving equilibrium propagation without weight symmetry through Jacobian homeostasis", ICLR
 * 2024, https://arxiv.org/abs/2309.02214, who draw z from normals; g is held as it is at b = 0, and the head learns by
 * its own gradient.
 */
import { type Batch, isTokens } from "../../../data/batch.ts";
import { meanWeights } from "../../../data/targets.ts";
import type { Model } from "../../../model/model.ts";
import { fillInputs, fillTargets, recordInputs, recordTargets } from "../../../run/batch-programs.ts";
import { ofBatch } from "../../../run/training/objective.ts";
import { crossEntropy } from "../../../tensor/ops/cross-entropy.ts";
import { dropout } from "../../../tensor/ops/dropout.ts";
import {
  abs,
  add,
  addScalar,
  cos,
  div,
  exp,
  mul,
  neg,
  scale,
  sigmoid,
  sqrt,
  square,
  stopGradient,
  sub,
} from "../../../tensor/ops/elementwise.ts";
import { linear } from "../../../tensor/ops/linear.ts";
import { dot, mean, sum } from "../../../tensor/ops/reduce.ts";
import { softmax } from "../../../tensor/ops/softmax.ts";
import type { Recorder } from "../../../tensor/recorder.ts";
import type { Tensor } from "../../../tensor/tensor.ts";
import { defineCredit } from "../../credit.ts";

/** The layers of an equilibrium network in a recording. */
export interface Layers {
  readonly count: number;
  /** W u + b of layer `i`, of what is below it; without b where `bare`. */
  up(i: number, below: Tensor, bare?: boolean): Tensor;
  /** V u of layer `i`, of what is above it, added to `heard` where there is something. */
  down(i: number, above: Tensor, heard?: Tensor): Tensor;
}

/** `frozen`: no gradient goes to the weights. */
export function layersOf(rec: Recorder, { parameters }: Model, count: number, frozen: boolean): Layers {
  const read = (name: string) => {
    const tensor = rec.parameter(parameters.get(name)!);
    return frozen ? stopGradient(rec, tensor) : tensor;
  };
  return {
    count,
    up: (i, below, bare = false) =>
      linear(rec, below, read(`layers.${i}.weight`), bare ? {} : { bias: read(`layers.${i}.bias`) }),
    down(i, above, heard) {
      const more = heard ? { add: heard } : {};
      return parameters.has(`feedback.${i}.weight`)
        ? linear(rec, above, read(`feedback.${i}.weight`), more)
        : linear(rec, above, read(`layers.${i + 1}.weight`), { ...more, transposed: true });
    },
  };
}

/** What every layer hears of states of rest. */
const heardBy = (layers: Layers, i: number, states: readonly Tensor[], below: Tensor): Tensor => {
  const own = layers.up(i, below);
  return i + 1 < layers.count ? layers.down(i, states[i + 1]!, own) : own;
};

interface Nudged {
  readonly layers: Layers;
  /** W_0 x + b_0, (B, width). */
  readonly driven: Tensor;
  /** States of rest without a nudge, (B, width) each. */
  readonly states: readonly Tensor[];
  /** The nudge of the top layer, (B, width). */
  readonly nudge: Tensor;
  readonly steps: number;
}

/** Rests with the nudge times a real number. */
function restReal(rec: Recorder, { layers, driven, states, nudge, steps }: Nudged, by: number): Tensor[] {
  const now = [...states];
  const pushed = scale(rec, nudge, by);
  for (let step = 0; step < steps; step++)
    for (let i = 0; i < layers.count; i++) {
      let heard = i === 0 ? driven : layers.up(i, now[i - 1]!);
      heard = i + 1 < layers.count ? layers.down(i, now[i + 1]!, heard) : add(rec, heard, pushed);
      now[i] = sigmoid(rec, heard);
    }
  return now;
}

/** sigmoid(a + ib). */
function complexSigmoid(rec: Recorder, a: Tensor, b: Tensor): readonly [re: Tensor, im: Tensor] {
  const size = exp(rec, neg(rec, a));
  const real = addScalar(rec, mul(rec, size, cos(rec, b)), 1);
  const turned = mul(rec, size, cos(rec, addScalar(rec, b, -Math.PI / 2))); // size sin b
  const norm = add(rec, square(rec, real), square(rec, turned));
  return [div(rec, real, norm), div(rec, turned, norm)];
}

/** Rests with the nudge times x + iy: real and imaginary parts. */
function restComplex(rec: Recorder, given: Nudged, x: number, y: number): { re: Tensor[]; im: Tensor[] } {
  const { layers, driven, states, nudge, steps } = given;
  const re = [...states];
  const im = states.map((state) => scale(rec, state, 0));
  const [along, across] = [scale(rec, nudge, x), scale(rec, nudge, y)];
  for (let step = 0; step < steps; step++)
    for (let i = 0; i < layers.count; i++) {
      let a = i === 0 ? driven : layers.up(i, re[i - 1]!);
      let b = i === 0 ? undefined : layers.up(i, im[i - 1]!, true);
      if (i + 1 < layers.count) {
        a = layers.down(i, re[i + 1]!, a);
        b = layers.down(i, im[i + 1]!, b);
      } else {
        a = add(rec, a, along);
        b = b ? add(rec, b, across) : across;
      }
      [re[i], im[i]] = complexSigmoid(rec, a, b!);
    }
  return { re, im };
}

/**
 * How far units move by an endlessly small nudge, over its size, (B, width) each; `points` on the circle, 2 or more.
 */
export function errorsOf(rec: Recorder, given: Nudged, points: number, size: number): Tensor[] {
  const errors: (Tensor | undefined)[] = given.states.map(() => undefined);
  const collect = (moved: readonly Tensor[], from: readonly Tensor[] | undefined, share: number) => {
    for (const [i, state] of moved.entries()) {
      const part = scale(rec, from ? sub(rec, state, from[i]!) : state, share / (points * size));
      errors[i] = errors[i] ? add(rec, errors[i], part) : part;
    }
  };
  // Of a point and its conjugate, one is the other's.
  for (let t = 0; t <= points / 2; t++) {
    const angle = (2 * Math.PI * t) / points;
    const [x, y] = [Math.cos(angle), Math.sin(angle)];
    if (t === 0 || 2 * t === points) {
      collect(restReal(rec, given, size * Math.round(x)), given.states, Math.round(x));
      continue;
    }
    const { re, im } = restComplex(rec, given, size * x, size * y);
    collect(re, given.states, 2 * x);
    collect(im, undefined, 2 * y);
  }
  return errors.flatMap((error) => error ?? []);
}

/**
 * |J - J^T|^2 / 2 per unit, the mean over rows, as rows of signs `z` (B, width) see it: (1). Its gradient goes to the
 * weights of `layers` alone.
 */
export function asymmetry(rec: Recorder, layers: Layers, states: readonly Tensor[], z: readonly Tensor[]): Tensor {
  const roots = states.map((u) => sqrt(rec, stopGradient(rec, mul(rec, u, addScalar(rec, neg(rec, u), 1)))));
  const times = (v: readonly Tensor[]) =>
    v.map((_, i) => {
      const below = i > 0 ? layers.up(i, mul(rec, roots[i - 1]!, v[i - 1]!), true) : undefined;
      const heard = i + 1 < layers.count ? layers.down(i, mul(rec, roots[i + 1]!, v[i + 1]!), below) : below;
      return mul(rec, roots[i]!, heard!);
    });
  const once = times(z);
  const twice = times(once);
  const parts = once.map((x, i) => sub(rec, sum(rec, square(rec, x)), dot(rec, z[i]!, twice[i]!)));
  const rows = states[0]!.shape[0]!;
  const units = states.reduce((count, { shape }) => count + shape[1]!, 0);
  return scale(
    rec,
    parts.reduce((a, b) => add(rec, a, b)),
    1 / (rows * units),
  );
}

/** Signs that differ from step to step, (B, width) for every layer. */
const signs = (rec: Recorder, states: readonly Tensor[]): Tensor[] =>
  states.map(({ shape: [rows = 0, width = 0] }, i) => {
    const ones = rec.constant(new Float32Array(rows * width).fill(1), [rows, width], "ones");
    return addScalar(rec, dropout(rec, ones, { p: 0.5, key: `signs of layer ${i}` }), -1);
  });

export const method = defineCredit({
  name: "ep",
  title: "Equilibrium propagation",
  about: "a network that rests is nudged, and what moves is its error",
  cite: "arXiv:2309.02214",
  models: ["equilibrium"],
  options: {
    ep_points: {
      type: "number.integer >= 2",
      default: 4,
      help: "nudges on a circle; 2 are one up and one down",
      value: "N",
    },
    ep_nudge: { type: "number > 0", default: 0.2, help: "size of a nudge", value: "B" },
    ep_steps: { type: "number.integer >= 1", default: 15, help: "steps until a nudged network rests", value: "N" },
    ep_homeostasis: {
      type: "number >= 0",
      default: 1,
      help: "weight of the loss that draws feedback of its own towards the transpose",
      value: "W",
    },
  },
  work({ model, widths, values: { ep_points: points, ep_nudge: size, ep_steps: steps, ep_homeostasis: weight } }) {
    const { sizes, parameters } = model;
    const draws = weight > 0 && parameters.has("feedback.0.weight");
    return {
      extra: [],
      objective: {
        name: "equilibrium propagation",
        ...ofBatch<Batch>((batch) => batch),

        record(rec, batch) {
          const { hidden, head, notes } = model.record(rec, recordInputs(rec, batch));
          const [x, ...states] = [0, ...widths].map((_, i) => stopGradient(rec, notes.get(`hidden.${i}`)!));
          const logits = head(stopGradient(rec, hidden));
          const nll = crossEntropy(rec, logits, recordTargets(rec, batch));
          const weights = rec.input("weights", [batch.rows]);
          const share = rec.input("share", [1]);
          const label = rec.input("one-hot", [batch.rows, sizes.outputs]);
          const wrong = sub(rec, label, softmax(rec, stopGradient(rec, logits)));
          const readout = stopGradient(rec, rec.parameter(parameters.get("classifier.weight")!));
          const nudge = linear(rec, wrong, readout, { transposed: true });
          const frozen = layersOf(rec, model, widths.length, true);
          const given = { layers: frozen, driven: frozen.up(0, x!), states, nudge, steps };
          const errors = errorsOf(rec, given, points, size);
          const live = layersOf(rec, model, widths.length, false);
          const column = rec.reshape(weights, [batch.rows, 1]);
          const heard = states.map((_, i) => heardBy(live, i, states, i === 0 ? x! : states[i - 1]!));
          const unrest = heard.map((own, i) =>
            mean(rec, abs(rec, sub(rec, sigmoid(rec, stopGradient(rec, own)), states[i]!))),
          );
          const drawn = draws ? scale(rec, asymmetry(rec, live, states, signs(rec, states)), weight) : undefined;
          return {
            backward: [
              [nll, weights],
              ...heard.map((own, i) => [own, neg(rec, mul(rec, errors[i]!, column))] as const),
              ...(drawn ? [[drawn, share] as const] : []),
            ],
            metrics: {
              loss: dot(rec, nll, weights),
              unrest: mul(
                rec,
                unrest.reduce((a, b) => add(rec, a, b)),
                share,
              ),
              ...(drawn ? { asymmetry: mul(rec, scale(rec, drawn, 1 / weight), share) } : {}),
            },
          };
        },

        fill(program, batch, total) {
          if (isTokens(batch)) throw new TypeError("an equilibrium network takes numbers, not tokens");
          fillInputs(program, batch);
          const targets = fillTargets(program, batch);
          program.write("weights", meanWeights(targets, total));
          program.write("share", Float32Array.of(batch.counted / total));
          const hot = new Float32Array(batch.rows * sizes.outputs);
          for (const [row, target] of targets.entries()) if (target >= 0) hot[row * sizes.outputs + target] = 1;
          program.write("one-hot", hot);
        },
      },
    };
  },
});
