/**
 * A point in the plane that a force draws to the origin: per axis position p and velocity v,
 *
 *   p' = p + dt v,   v' = (1 - drag) v + dt u + noise,   reward -(p^2 + effort u^2)
 *
 * Dynamics are linear and costs quadratic, so the best policy is u = -K (p, v), and its value -(p, v) P (p, v) - c,
 * with P of the discounted Riccati equation (Kalman 1960). Forces have no bound, which would make the optimum unknown.
 */
import type { Random } from "../random.ts";
import type { Environment } from "./contract.ts";

/** Position and velocity: x, y, then their speeds. */
export type Point = readonly number[];
/** A force along x and y. */
export type Force = readonly number[];

export const DT = 0.2;
export const DRAG = 0.1;

export interface PointOptions {
  /** What a square of the force costs. */
  readonly effort: number;
  /** Deviation of the noise of a velocity. */
  readonly noise: number;
  readonly discount: number;
}

/** A symmetric matrix of position and velocity: pp, pv, vv. */
type Square = readonly [pp: number, pv: number, vv: number];

/** A force of -(gain of p, gain of v), with noise of a deviation. */
export interface Controller {
  readonly gains: readonly [number, number];
  readonly deviation: number;
}

/** Six digits, so that states are in rows what they are here. */
const rounded = (x: number): number => Math.round(x * 1e6) / 1e6 + 0; // 0 for -0, which JSON does not keep

const form = ([pp, pv, vv]: Square, p: number, v: number): number => pp * p * p + 2 * pv * p * v + vv * v * v;

export class Pointmass implements Environment<Point, Force> {
  readonly observed = 4;
  readonly discount: number;
  /** The best gains. */
  readonly gains: readonly [number, number];
  readonly #effort: number;
  readonly #noise: number;
  readonly #best: Square;

  constructor({ effort, noise, discount }: PointOptions) {
    this.discount = discount;
    this.#effort = effort;
    this.#noise = noise;
    let best: Square = [1, 0, 0];
    for (let change = 1; change > 1e-13; ) {
      const next = this.#costs(this.#gainsFor(best), best);
      change = Math.max(...next.map((x, i) => Math.abs(x - best[i]!) / (1 + Math.abs(x))));
      best = next;
    }
    this.#best = best;
    this.gains = this.#gainsFor(best);
  }

  /** The gains that are best where the next state costs so much. */
  #gainsFor([, pv, vv]: Square): [number, number] {
    const scale = (this.discount * DT) / (this.#effort + this.discount * DT * DT * vv);
    return [scale * pv, scale * (DT * pv + (1 - DRAG) * vv)];
  }

  /** What a state costs under gains where the next one costs so much. */
  #costs([gp, gv]: readonly [number, number], [pp, pv, vv]: Square): Square {
    // The next state: p + dt v, and a p + b v.
    const [a, b] = [-DT * gp, 1 - DRAG - DT * gv];
    const d = this.discount;
    return [
      1 + this.#effort * gp * gp + d * (pp + 2 * pv * a + vv * a * a),
      this.#effort * gp * gv + d * (DT * pp + pv * (b + DT * a) + vv * a * b),
      this.#effort * gv * gv + d * (DT * DT * pp + 2 * DT * pv * b + vv * b * b),
    ];
  }

  /** The mean value of a controller over the states to begin in; of an axis twice. */
  returnOf({ gains, deviation }: Controller): number {
    let costs: Square = [0, 0, 0];
    for (let change = 1; change > 1e-13; ) {
      const next = this.#costs(gains, costs);
      change = Math.max(...next.map((x, i) => Math.abs(x - costs[i]!) / (1 + Math.abs(x))));
      costs = next;
    }
    const shaken = this.#noise ** 2 + (DT * deviation) ** 2;
    const steady = (this.#effort * deviation ** 2 + this.discount * shaken * costs[2]) / (1 - this.discount);
    return -2 * (costs[0] / 3 + steady); // p is uniform in [-1, 1], v is 0
  }

  /** A force of a controller. */
  static force({ gains: [gp, gv], deviation }: Controller, [x, y, vx, vy]: Point, random: Random): Force {
    const along = (p: number, v: number) => rounded(-gp * p - gv * v + deviation * random.normal());
    return [along(x!, vx!), along(y!, vy!)];
  }

  reset(random: Random): Point {
    return [rounded(2 * random.uniform() - 1), rounded(2 * random.uniform() - 1), 0, 0];
  }

  step([x, y, vx, vy]: Point, [fx, fy]: Force, random: Random) {
    const sped = (v: number, force: number) => rounded((1 - DRAG) * v + DT * force + this.#noise * random.normal());
    const next = [rounded(x! + DT * vx!), rounded(y! + DT * vy!), sped(vx!, fx!), sped(vy!, fy!)];
    return { next, reward: rounded(this.#reward(x!, fx!) + this.#reward(y!, fy!)), done: false };
  }

  #reward(position: number, force: number): number {
    return -(position ** 2 + this.#effort * force ** 2);
  }

  observe(state: Point): number[] {
    return [...state];
  }

  bestAction([x, y, vx, vy]: Point): Force {
    const [gp, gv] = this.gains;
    return [-gp * x! - gv * vx!, -gp * y! - gv * vy!];
  }

  /** What noise costs from now on, of one axis. */
  get #steady(): number {
    return (this.discount * this.#noise ** 2 * this.#best[2]) / (1 - this.discount);
  }

  bestValue([x, y, vx, vy]: Point): number {
    return -form(this.#best, x!, vx!) - form(this.#best, y!, vy!) - 2 * this.#steady;
  }

  bestActionValue([x, y, vx, vy]: Point, [fx, fy]: Force): number {
    const along = (p: number, v: number, force: number) => {
      const next = form(this.#best, p + DT * v, (1 - DRAG) * v + DT * force) + this.#noise ** 2 * this.#best[2];
      return this.#reward(p, force) - this.discount * (next + this.#steady);
    };
    return along(x!, vx!, fx!) + along(y!, vy!, fy!);
  }
}
