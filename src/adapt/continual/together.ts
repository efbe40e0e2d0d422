/** Several learners as one: what each changes of a stage holds together. */
import type { Json } from "../../json.ts";
import type { Learner, StageWork } from "./contract.ts";

/** The first one's rows among the new ones, labels and classes count; terms, parts and rules are those of all. */
export function together(learners: readonly Learner[]): Learner {
  const [first] = learners;
  return {
    async stage(stage) {
      const works: StageWork[] = [];
      for (const learner of learners) works.push((await learner.stage?.(stage)) ?? {});
      return {
        ...works[0],
        terms: works.flatMap(({ terms }) => terms ?? []),
        parts: works.flatMap(({ parts }) => parts ?? []),
        updates: works.flatMap(({ updates }) => updates ?? []),
        controllers: works.flatMap(({ controllers }) => controllers ?? []),
        extra: works.flatMap(({ extra }) => extra ?? []),
      };
    },
    async learned(stage) {
      for (const learner of learners) await learner.learned?.(stage);
    },
    async finish() {
      for (const learner of learners) await learner.finish?.();
    },
    state: (): Json => learners.map((learner) => learner.state?.() ?? null),
    async load(state) {
      for (const [i, learner] of learners.entries()) await learner.load?.((state as Json[])[i]!);
    },
    kept: () => learners.flatMap((learner) => learner.kept?.() ?? []),
    memory: () => Object.assign({}, ...learners.map((learner) => learner.memory?.() ?? {})),
    ...(first?.memorySeen ? { memorySeen: first.memorySeen.bind(first) } : {}),
    ...(first?.memoryRows ? { memoryRows: first.memoryRows.bind(first) } : {}),
    free() {
      for (const learner of learners) learner.free?.();
    },
  };
}
