/**
 * A mass that is pushed to the origin: of each axis a place x and a speed v, and a push a.
 *
 *   x' = x + dt v,   v' = v + dt a + noise N(0, 1),   reward = -dt (x^2 + v^2 / 10 + a^2 / 10)
 *
 * dt = 0.2. Episodes start at rest, uniformly in [-1, 1]. Without a bound on pushes the best policy is linear and its
 * value quadratic, by the Riccati recursion over the horizon (Kalman 1960): V_k(s) = -(s' P_k s + c_k). A push is
 * bounded by twice what the best policy does at x = v = 1, so no policy has more, and near the origin one has as much.
 */
import { HORIZON, type World, worldKind } from "./world.ts";

const DT = 0.2;
const SPEED = 0.1;
const PUSH = 0.1;

/** P (xx, xv, vv) and c of one axis, and the gains of the first push, a = -(kx x + kv v). */
function riccati(horizon: number, discount: number, noise: number) {
  let [xx, xv, vv, c] = [0, 0, 0, 0];
  let [kx, kv] = [0, 0];
  for (let round = 0; round < horizon; round++) {
    // A = [1 dt; 0 1], B = [0; dt]: P A and A' P A, B' P A, B' P B
    const pa = [xx, xx * DT + xv, xv, xv * DT + vv] as const;
    const apa = [pa[0], pa[1], DT * pa[1] + pa[3]] as const;
    const bpa = [DT * pa[2], DT * pa[3]] as const;
    const scale = DT * PUSH + discount * DT * DT * vv;
    kx = (discount * bpa[0]) / scale;
    kv = (discount * bpa[1]) / scale;
    c = discount * (c + noise * noise * vv);
    xx = DT + discount * (apa[0] - bpa[0] * kx);
    xv = discount * (apa[1] - bpa[0] * kv);
    vv = DT * SPEED + discount * (apa[2] - bpa[1] * kv);
  }
  return { xx, xv, vv, c, kx, kv };
}

const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

export const pointmass = worldKind({
  name: "pointmass",
  options: {
    axes: { type: "1 <= number.integer <= 8", default: 1, help: "axes, each with a place and a speed" },
    noise: { type: "0 <= number <= 1", default: 0.02, help: "deviation of the chance push of a step" },
    ...HORIZON,
  },

  open(_seed, { axes, noise, discount, horizon }): World {
    const { xx, xv, vv, c, kx, kv } = riccati(horizon, discount, noise);
    const bound = Math.max(1, 2 * (kx + kv));
    const clipped = (a: number) => Math.min(bound, Math.max(-bound, a));
    const sumOf = (of: (axis: number) => number) =>
      Array.from({ length: axes }, (_, axis) => of(axis)).reduce((sum, x) => sum + x, 0);
    return {
      name: "pointmass",
      actions: { dims: axes, bound },
      width: 2 * axes,
      discount,
      horizon,
      optimum: -axes * (xx / 3 + c),
      observe: (state) => state,
      start: (chance) => [
        ...Array.from({ length: axes }, () => rounded(2 * chance.uniform() - 1)),
        ...Array.from({ length: axes }, () => 0),
      ],
      step(state, action, chance) {
        const pushes = (action as readonly number[]).map(clipped);
        const cost = sumOf(
          (i) => state[i]! * state[i]! + SPEED * state[axes + i]! * state[axes + i]! + PUSH * pushes[i]! * pushes[i]!,
        );
        const places = pushes.map((_, i) => rounded(state[i]! + DT * state[axes + i]!));
        const speeds = pushes.map((push, i) => rounded(state[axes + i]! + DT * push + noise * chance.normal()));
        return { reward: -DT * cost, next: [...places, ...speeds], done: false };
      },
      value: (state) =>
        -sumOf((i) => {
          const [x, v] = [state[i]!, state[axes + i]!];
          return xx * x * x + 2 * xv * x * v + vv * v * v + c;
        }),
      best: (state) => Array.from({ length: axes }, (_, i) => clipped(-(kx * state[i]! + kv * state[axes + i]!))),
      half: ([x = 0]) => (x < 0 ? 0 : 1),
      holds: (state) => state.length === 2 * axes && state.every(Number.isFinite),
      facts: { bound, gains: [kx, kv] },
    };
  },
});
