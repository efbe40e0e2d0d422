/**
 * Matching Training Trajectories: rows on which a short training goes where one on the real rows went.
 *
 * Cazenavette et al., Dataset Distillation by Matching Training Trajectories, CVPR 2022,
 * https://arxiv.org/abs/2203.11932
 */
import { synthesisMethod } from "../data/contract.ts";
import { checkMatching, drawnRows, MATCHING, matched } from "../data/matching.ts";

export const method = synthesisMethod({
  name: "mtt",
  title: "Matching training trajectories",
  about: "rows on which a short training goes where one on the real rows went",
  cite: "arXiv:2203.11932",
  model: "config",
  rows: "needed",
  steps: 200,
  options: MATCHING,
  check: (values) => checkMatching(values),
  make: (setting) =>
    matched(setting, {
      ...{ smoothing: {}, momentum: 0, between: false },
      first: () => drawnRows(setting.rows!, setting.network.classes, setting.perClass, setting.seed),
      begin: (weights) => weights,
      factor: () => 1,
    }),
});
