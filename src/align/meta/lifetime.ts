/**
 * A lifetime of a learner: a softmax policy over the arms of a bandit, by policy gradient with an entropy bonus, whose
 * rate and bonus a schedule multiplies as the lifetime goes on.
 *
 *   theta += lr m_lr ((r - b) grad ln pi(a) + c m_c grad H(pi)),   b += (r - b) / 10
 *
 * Williams 1992, https://doi.org/10.1007/BF00992696
 */
import { Random } from "../../data/random.ts";
import { bandit } from "../../data/worlds/bandit.ts";

/** What the rate and the bonus are multiplied by at a share `progress` of `length` steps. */
export type Multipliers = (progress: number, length: number) => readonly [rate: number, entropy: number];

/** Steps for which multipliers hold. */
const EVERY = 10;

export interface Learner {
  readonly arms: number;
  /** Deviation of rewards, whose means are 0, 1/(K-1), .., 1. */
  readonly noise: number;
  readonly lr: number;
  readonly entropy: number;
}

/** The mean reward of the policy at the end of a lifetime; a function of the learner, the schedule, length and key. */
export function lifetime(
  { arms, noise, lr, entropy }: Learner,
  multipliers: Multipliers,
  length: number,
  key: number,
): number {
  const means = (bandit.open(key, { contexts: 1, arms, risk: 0 }).facts.means as number[][])[0]!;
  const random = new Random("lifetime", key, length);
  const theta = new Float64Array(arms);
  const [p, logs] = [new Float64Array(arms), new Float64Array(arms)];
  const act = () => {
    let [most, sum] = [Number.NEGATIVE_INFINITY, 0];
    for (const x of theta) most = Math.max(most, x);
    for (let i = 0; i < arms; i++) {
      p[i] = Math.exp(theta[i]! - most);
      sum += p[i]!;
    }
    const log = most + Math.log(sum);
    for (let i = 0; i < arms; i++) {
      p[i]! /= sum;
      logs[i] = theta[i]! - log;
    }
  };
  let baseline = 0.5;
  let [rate, bonus] = [1, 1];
  for (let step = 0; step < length; step++) {
    act();
    if (step % EVERY === 0) [rate, bonus] = multipliers(step / length, length);
    let left = random.uniform();
    let arm = 0;
    while (arm < arms - 1 && left >= p[arm]!) left -= p[arm++]!;
    const gain = means[arm]! + noise * random.normal() - baseline;
    baseline += gain / 10;
    let negative = 0; // minus the entropy
    for (let i = 0; i < arms; i++) negative += p[i]! * logs[i]!;
    for (let i = 0; i < arms; i++) {
      const slope = gain * (Number(i === arm) - p[i]!) - entropy * bonus * p[i]! * (logs[i]! - negative);
      theta[i]! += lr * rate * slope;
    }
  }
  act();
  return p.reduce((sum, x, i) => sum + x * means[i]!, 0);
}
