/** The work of a training put together of parts, each of which brings what it needs and frees what it holds. */
import type { Objective } from "./objective.ts";
import type { Work } from "./technique.ts";

/** What takes part in a training beside its objective. */
export type WorkPart<B> = Partial<Omit<Work<B>, "objective">>;

/** What of a name the parts give, of which there is one at most. Throws TypeError where several do. */
function single<B, K extends keyof WorkPart<B>>(parts: readonly WorkPart<B>[], name: K): Pick<WorkPart<B>, K> | object {
  const [first, second] = parts.filter((part) => part[name] !== undefined);
  if (second) throw new TypeError(`two parts of a training give ${name}`);
  return first ? { [name]: first[name] } : {};
}

/**
 * Joins parts in their order: controllers, updates and parameters one after the other, memory and numbers that are told
 * by name. All are freed; ends run one after the other. Throws TypeError where two parts give batches, a rate or a
 * stage.
 */
export function joinWork<B>(objective: Objective<B>, given: readonly (WorkPart<B> | undefined)[]): Work<B> {
  const parts = given.filter((part) => part !== undefined);
  const merged = (of: (part: WorkPart<B>) => Readonly<Record<string, number>> | undefined) =>
    Object.fromEntries(parts.flatMap((part) => Object.entries(of(part) ?? {})));
  return {
    objective,
    ...single(parts, "source"),
    ...single(parts, "place"),
    ...single(parts, "multiplier"),
    ...single(parts, "stage"),
    ...single(parts, "result"),
    extra: parts.flatMap(({ extra = [] }) => extra),
    controllers: parts.flatMap(({ controllers = [] }) => controllers),
    updates: parts.flatMap(({ updates = [] }) => updates),
    memory: merged(({ memory }) => memory),
    told: () => merged((part) => part.told?.()),
    async end(lineage) {
      for (const part of parts) await part.end?.(lineage);
    },
    free() {
      for (const part of parts) part.free?.();
    },
  };
}
