/** Power laws of scores over sizes, in logarithms, by least squares. */
import { explained } from "../../run/mixture-laws.ts";
import { powerLaw } from "../../run/probing/power-law.ts";
import { predicted, ridge } from "../../tensor/linear-algebra/ridge.ts";

/** y = a x^b. */
export interface ScalingLaw {
  readonly a: number;
  readonly b: number;
  /** Share of the variance of log y that it explains; NaN where that does not vary. */
  readonly r2: number;
}

type Points = readonly (readonly [x: number, y: number])[];

/** Through the points whose coordinates are above 0; undefined for fewer than two different x among them. */
export function scalingLaw(points: Points): ScalingLaw | undefined {
  const used = points.filter(([x, y]) => x > 0 && y > 0);
  const law = powerLaw(used);
  if (!law) return undefined;
  const logs = used.map(([, y]) => Math.log(y));
  const foretold = used.map(([x]) => Math.log(law.factor) + law.slope * Math.log(x));
  return { a: law.factor, b: law.slope, r2: explained(foretold, logs) };
}

/** The size at which a law comes to a value; undefined for a law that does not move. */
export const sizeAt = ({ a, b }: ScalingLaw, y: number): number | undefined =>
  b === 0 ? undefined : (y / a) ** (1 / b);

/** y = a x^b z^c, such as rows and parameters. */
export interface JointLaw extends ScalingLaw {
  readonly c: number;
}

/** Undefined where either size has fewer than two values among points above 0. */
export function jointLaw(points: readonly (readonly [x: number, z: number, y: number])[]): JointLaw | undefined {
  const used = points.filter((point) => point.every((value) => value > 0));
  const varies = (at: 0 | 1) => new Set(used.map((point) => point[at])).size > 1;
  if (!varies(0) || !varies(1)) return undefined;
  const logs = used.map(([x, z]) => [Math.log(x), Math.log(z)]);
  const values = used.map(([, , y]) => Math.log(y));
  const fit = ridge(logs, values, 1e-9);
  const r2 = explained(
    logs.map((row) => predicted(fit, row)),
    values,
  );
  return { a: Math.exp(fit.intercept), b: fit.weights[0]!, c: fit.weights[1]!, r2 };
}
