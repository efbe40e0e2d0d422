/**
 * Logged decisions: what was known, which action was taken, how likely that was, and what it brought.
 *
 *   {"x": [0.2, -1], "label": 2, "propensity": 0.4, "reward": 1}
 *   {"x": [0.2, -1], "label": 2, "propensity": 0.4, "rewards": [1, 0.3]}
 */
import type { GroupReference } from "../../data/groups.ts";
import { readRows } from "../../data/read-rows.ts";
import type { LocatedRow } from "../../data/rows.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";

export interface LoggedRow {
  readonly x: Float32Array;
  /** 0 to actions - 1. */
  readonly action: number;
  /** Probability with which whoever decided took this action. */
  readonly propensity: number;
  readonly reward: number;
  readonly group: number;
  readonly place: string;
}

export interface LoggedShape {
  /** Of one context. */
  readonly inputs: number;
  readonly actions: number;
  /** Weights of several rewards; one reward when left out. */
  readonly weights?: readonly number[] | undefined;
}

const isNumber = (value: Json | undefined): value is number => typeof value === "number" && Number.isFinite(value);

function rewardOf({ row, place }: LocatedRow, weights: readonly number[] | undefined): number {
  const { reward, rewards } = row.extra;
  if (!weights) {
    if (isNumber(reward)) return reward;
    throw new UserError(
      `${place}: reward is ${JSON.stringify(reward)}, expected a number`,
      Array.isArray(rewards) ? "--logged-weights weighs several rewards" : "rows have x, label, propensity and reward",
    );
  }
  if (!Array.isArray(rewards) || rewards.length !== weights.length || !rewards.every(isNumber))
    throw new UserError(
      `${place}: rewards is ${JSON.stringify(rewards)}, expected ${weights.length} numbers`,
      "--logged-weights has a weight for each of them",
    );
  return rewards.reduce<number>((sum, value, i) => sum + weights[i]! * (value as number), 0);
}

function loggedRow(located: LocatedRow, shape: LoggedShape, group: number): LoggedRow {
  const { row, place } = located;
  if (row.form !== "example" || row.shape.length !== 1)
    throw new UserError(
      `${place}: the method learns from logged decisions, found a row of ${row.form}`,
      "rows have x, label, propensity and reward",
    );
  if (row.x.length !== shape.inputs)
    throw new UserError(
      `${place}: x has ${row.x.length} numbers, and the model takes ${shape.inputs}`,
      "take rows and a model of one kind",
    );
  if (row.label < 0 || row.label >= shape.actions)
    throw new UserError(
      `${place}: label ${row.label} is no action; the model knows ${shape.actions}`,
      `the action that was taken, 0 to ${shape.actions - 1}`,
    );
  const { propensity } = row.extra;
  if (!isNumber(propensity) || propensity <= 0 || propensity > 1)
    throw new UserError(
      `${place}: propensity is ${JSON.stringify(propensity)}, expected a probability above 0`,
      "it is how likely the action was when it was taken",
    );
  return { x: row.x, action: row.label, propensity, reward: rewardOf(located, shape.weights), group, place };
}

/** Reads the rows of all groups. Throws UserError for a row that does not fit. */
export async function readLogged(groups: readonly GroupReference[], shape: LoggedShape): Promise<LoggedRow[]> {
  const rows: LoggedRow[] = [];
  for (const [group, source] of groups.entries())
    for await (const located of readRows(source)) rows.push(loggedRow(located, shape, group));
  return rows;
}
