/**
 * Refresh learning beside any continual method: importances of earlier tasks, and a move before each step that they
 * damp (refresh-step.ts). F <- tau F + F_task, F_task the mean over rows of p(y | x) (gradient of log p(y | x))^2.
 */
import { measureFisher } from "../../run/fisher/fisher.ts";
import { Anchor } from "../../run/training/rules/anchor.ts";
import { RefreshStep } from "../../run/training/rules/refresh-step.ts";
import type { Learner, Stream } from "./contract.ts";
import { measuredRows } from "./penalty.ts";
import { NEW } from "./source.ts";

export interface RefreshValues {
  readonly refresh_delta: number;
  readonly refresh_noise: number;
  readonly refresh_tau: number;
  readonly refresh_rows: number;
}

/** The learner of a method, whose steps on new rows are refreshed. A delta of 0 changes nothing. */
export function refreshed(learner: Learner, stream: Stream<unknown>, values: RefreshValues): Learner {
  const { gpu, model, seed, signal, dry } = stream;
  const { refresh_delta: delta, refresh_noise: noise, refresh_tau: tau, refresh_rows: rows } = values;
  if (delta === 0) return learner;
  const anchor = new Anchor(gpu, model.trainable(), { weighed: true, of: "refresh: " });
  const held = new Map(anchor.weights.map(({ parameter, importance }) => [parameter, importance!]));
  const measured = { ...stream, values: { importance_rows: rows } };
  return {
    async stage(stage) {
      const work = (await learner.stage?.(stage)) ?? {};
      const importances = stage.old.length > 0 ? (p: Parameters<typeof held.get>[0]) => held.get(p)!.buffer : undefined;
      const rule = new RefreshStep(gpu, model.trainable(), { delta, noise, seed, part: NEW, importances });
      return { ...work, updates: [...(work.updates ?? []), rule] };
    },
    async learned(stage) {
      await learner.learned?.(stage);
      if (stage.isLast || dry) return;
      const options = { labels: "empirical", byLikelihood: true, seed: seed + stage.index, signal } as const;
      const found = await measureFisher(model, measuredRows(measured, stage), options);
      await anchor.add((parameter) => found.of.get(parameter)!.buffer, tau);
      found.free();
    },
    finish: () => learner.finish?.(),
    state: () => learner.state?.() ?? null,
    load: (state) => learner.load?.(state),
    ...(learner.memorySeen ? { memorySeen: learner.memorySeen.bind(learner) } : {}),
    ...(learner.memoryRows ? { memoryRows: learner.memoryRows.bind(learner) } : {}),
    // A method may have it from its first task on alone.
    get classify() {
      return learner.classify?.bind(learner);
    },
    ...(learner.measure ? { measure: learner.measure.bind(learner) } : {}),
    ...(learner.results ? { results: learner.results.bind(learner) } : {}),
    ...(learner.tells ? { tells: learner.tells.bind(learner) } : {}),
    kept: () => [...(learner.kept?.() ?? []), ...[...held.values()]],
    memory: () => ({ ...learner.memory?.(), refresh: anchor.bytes }),
    free() {
      learner.free?.();
      anchor.free();
    },
  };
}
