/**
 * ADO: fits a scaling law to every group's training loss as it falls, and draws more where it falls fastest. Jiang et
 * al. 2024, https://arxiv.org/abs/2410.11820.
 *
 *   L_k(n) = floor_k + scale_k n^(-a_k),  d_k = (a_k / n) (L_k - floor_k)
 *   rho_k in proportion to mu_k h_k^s d_k,  p = gamma rho + (1 - gamma) h
 *
 * n counts rows of the group that were drawn, h is the average of p over the steps so far, mu the prior. Until a group
 * has `least_points` measurements the prior holds. Beyond 256 measurements of a group every second one is dropped.
 */

import { normalised, smoothed } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { bySize, EVERY, MIXTURE, mixtureOf } from "../../mixture-options.ts";
import { fitPowerLaw, powerLawSlope } from "../../power-law-fit.ts";
import { kept } from "../../sampler-state.ts";

const MOST_POINTS = 256;

export const method = defineSampler({
  name: "ado",
  title: "ADO",
  about: "fits a scaling law to every group's loss, draws where it falls fastest",
  cite: "arXiv:2410.11820",
  needs: ["training"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "the floor of a power law is at least 0",
    stepZero: "it has no step size",
  },
  options: {
    mixture: { ...MIXTURE, help: `prior: ${MIXTURE.help}; by size when left out` },
    s: { type: "0 <= number <= 1", default: 0.5, help: "power of the share that a group had so far" },
    gamma: { type: "0 <= number <= 1", default: 0.1, help: "weight of the new preference against the average so far" },
    floor: { type: "0 <= number < 1", default: 0.01, help: "least share of a group" },
    least_points: { type: "number.integer >= 3", default: 5, help: "measurements of every group before the first fit" },
    every: EVERY,
  },
  make({ groups, values: { mixture, s, gamma, floor, least_points, every } }) {
    const prior = mixtureOf(mixture, groups) ?? bySize(groups);
    const memory = {
      p: prior,
      history: prior,
      step: 0,
      seen: groups.map(() => 0),
      points: groups.map(() => [] as [number, number][]),
    };
    const preference = () => {
      const slopes = memory.points.map((points, i) =>
        prior[i] === 0 ? 0 : powerLawSlope(fitPowerLaw(points), memory.seen[i]!),
      );
      // Where nothing falls, the prior and the history decide.
      const flat = slopes.every((slope) => slope === 0);
      return normalised(slopes.map((slope, i) => prior[i]! * memory.history[i]! ** s * (flat ? 1 : slope)));
    };
    return {
      ...kept(memory),
      segment: () => ({ probs: memory.p, steps: every }),
      update({ step, training = [], drawn }) {
        const share = step > 0 ? (step - memory.step) / step : 1;
        memory.history = memory.history.map((h, i) => h + share * (memory.p[i]! - h));
        memory.step = step;
        for (const [i, points] of memory.points.entries()) {
          const middle = memory.seen[i]! + drawn[i]! / 2; // where the mean loss of the segment stands
          memory.seen[i]! += drawn[i]!;
          const loss = training[i] ?? Number.NaN;
          if (drawn[i]! > 0 && Number.isFinite(loss)) points.push([middle, loss]);
          if (points.length > MOST_POINTS) memory.points[i] = points.filter((_, at) => at % 2 === 0);
        }
        if (memory.points.some((points, i) => prior[i]! > 0 && points.length < least_points)) return;
        const rho = preference();
        const mixed = memory.history.map((h, i) => gamma * rho[i]! + (1 - gamma) * h);
        memory.p = smoothed(mixed, Math.min(1, floor * groups.length));
      },
    };
  },
});
