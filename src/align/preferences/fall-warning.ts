/**
 * Warns where both answers of the pairs become less likely than they were: the margin may grow all the while, and the
 * model says neither.
 */
import { UserError } from "../../errors.ts";
import type { Controller } from "../../run/training/controller.ts";

/** Steps whose mean counts. */
const WINDOW = 20;
/** Nats by which both have to fall. */
const LEAST = 1;

interface State {
  readonly first: readonly [number, number] | null;
  readonly chosen: readonly number[];
  readonly rejected: readonly number[];
  readonly said: boolean;
}

const areNumbers = (value: unknown): value is readonly number[] =>
  Array.isArray(value) && value.every((one) => typeof one === "number");

function isState(saved: unknown): saved is State {
  const { first, chosen, rejected, said } = (saved ?? {}) as { readonly [key in keyof State]?: unknown };
  const isFirst = first === null || (areNumbers(first) && first.length === 2);
  return isFirst && areNumbers(chosen) && areNumbers(rejected) && typeof said === "boolean";
}

const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length;

/**
 * Follows the log-likelihoods of chosen and rejected answers. `hint` says what may help. One warning in a run, as soon
 * as the means over 20 steps are both a nat below those of the first 20.
 */
export function fallWarning(warn: (text: string) => void, hint: string): Controller {
  let state: State = { first: null, chosen: [], rejected: [], said: false };
  return {
    name: "fall",
    heard({ metrics, step }) {
      const { logp_chosen: up, logp_rejected: down } = metrics;
      if (up === undefined || down === undefined || state.said) return;
      const chosen = [...state.chosen, up].slice(-WINDOW);
      const rejected = [...state.rejected, down].slice(-WINDOW);
      const now = [mean(chosen), mean(rejected)] as const;
      const first = state.first ?? (chosen.length === WINDOW ? now : null);
      const falls = first ? [first[0] - now[0], first[1] - now[1]] : [0, 0];
      const said = falls.every((fall) => fall > LEAST);
      state = { first, chosen, rejected, said };
      if (said)
        warn(
          `step ${step}: chosen answers became less likely by ${falls[0]!.toFixed(1)} nats, and rejected ones by ${falls[1]!.toFixed(1)}: ${hint}`,
        );
    },
    state: () => ({
      ...state,
      first: state.first && [...state.first],
      chosen: [...state.chosen],
      rejected: [...state.rejected],
    }),
    load(saved) {
      if (!isState(saved))
        throw new UserError(
          "the saved likelihoods of chosen and rejected answers cannot be read",
          "remove the state, and align from the start",
        );
      state = saved;
    },
  };
}
