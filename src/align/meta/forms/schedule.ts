/**
 * A schedule: a small network of how far a lifetime has come and how long it is, that multiplies a learner's rate and
 * its entropy bonus.
 *
 *   m = 10^tanh(psi(2 t/T - 1, ln T scaled)),  two multipliers, 1 where psi's last layer is 0
 *
 * Jackson et al., Discovering Temporally-Aware Reinforcement Learning Algorithms, ICLR 2024,
 * https://arxiv.org/abs/2402.05828
 */
import { Random } from "../../../data/random.ts";
import { Mlp } from "../../../run/small-nets/mlp.ts";
import { clockOf, type Form, type Rival } from "../form.ts";
import { lifetime, type Multipliers } from "../lifetime.ts";
import type { Lab } from "../tabular.ts";
import { tabularLifetime } from "../tabular-lifetime.ts";

/** What constants are tried. */
const GRID = [0.3, 1, 3];

export function scheduleForm(
  lab: Lab,
  hidden: readonly number[],
  lengths: readonly [number, number],
  sees: boolean,
): Form & Required<Pick<Form, "multipliers">> {
  const clock = clockOf(lengths, sees);
  const sizes = [2, ...hidden, 2];
  const netOf = (weights: Float64Array) => new Mlp(sizes, weights);
  const multipliers = (weights: Float64Array): Multipliers => {
    const net = netOf(weights);
    return (progress, length) => {
      const [rate = 0, entropy = 0] = net.output(Float64Array.from(clock(progress, length)), 1);
      return [10 ** Math.tanh(rate), 10 ** Math.tanh(entropy)];
    };
  };
  const own = (by: Multipliers, length: number, key: number) =>
    lab.world === "bandit" ? lifetime(lab, by, length, key) : tabularLifetime(lab, by, length, key);
  const rival = (name: string, rate: number, entropy: number): Rival => ({
    name,
    live: (length, key) => own(() => [rate, entropy], length, key),
  });
  return {
    first: (seed) => Mlp.fresh(sizes, new Random(seed, "schedule"), 0).weights,
    live: (weights, length, key) => own(multipliers(weights), length, key),
    tensors: (weights) => netOf(weights).tensors("schedule"),
    base: rival("as it is", 1, 1),
    constants: GRID.flatMap((rate) =>
      [0, ...GRID].map((entropy) => rival(`rate x ${rate}, entropy x ${entropy}`, rate, entropy)),
    ),
    multipliers,
  };
}
