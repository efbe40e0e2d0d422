/** Which of the answers of a rollout are trained on, for methods that choose among them. */
import type { Bound } from "../../method/bind.ts";
import type { Choosable, PolicyMethod } from "./contract.ts";
import type { HeldAnswer } from "./held-rollout.ts";

export interface Picked {
  /** As many of every group as the method keeps at most; those that only fill up count nothing. */
  readonly kept: readonly HeldAnswer[];
  /** Places of those that count, among all answers. */
  readonly used: ReadonlySet<number>;
  readonly told: Readonly<Record<string, number>>;
}

/** Picks answers of whole groups; all of them for a method without a choice. */
export function pick(
  { method, values }: Bound<PolicyMethod>,
  answers: readonly HeldAnswer[],
  given: Choosable<never>,
): Picked {
  const { choice } = method;
  if (!choice) return { kept: answers, used: new Set(answers.keys()), told: {} };
  const { group } = given;
  const most = choice.most(values);
  const used = new Set<number>();
  const kept = choice.of(given).flatMap((places, g) => {
    const own = answers.slice(g * group, (g + 1) * group);
    for (const place of places) used.add(g * group + place);
    const others = own.filter((_, i) => !places.includes(i));
    const fillers = others.map((answer): HeldAnswer => ({ ...answer, advantage: 0, uncounted: true, isFiller: true }));
    return [...places.map((place) => own[place]!), ...fillers].slice(0, most);
  });
  return { kept, used, told: { chosen: used.size / Math.max(1, answers.length) } };
}
